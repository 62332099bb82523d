//! From an endpoint to the addresses that are tried, in their order.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use echosounder_proto::FailureKind;
use echosounder_socket::family::inet::Host;
use echosounder_socket::internal::interleave;
use echosounder_socket::{Address, Error, Name, Side, is_out_of_descriptors};

use super::options::{ConnectOptions, Source};
use crate::clock::Deadline;
use crate::error::{ClientError, Operation};
use crate::wait_limit::WaitLimit;

/// How many addresses of a name are tried. The name server chooses them, and could list thousands.
const ADDRESSES_MAX: usize = 16;

/// How many descriptors getaddrinfo(3) opens at once, at most.
const DESCRIPTORS: usize = 4;

/// Returns the addresses of the endpoint in the order in which to try them.
pub(super) fn addresses(
    options: &ConnectOptions,
    deadline: Deadline,
    limit: &WaitLimit,
) -> Result<VecDeque<Address>, ClientError> {
    let mut addresses = look_up(options, deadline, limit)?;
    if let Some(Source::Address(ip)) = &options.source {
        addresses.retain(|address| matches!(address, Address::Inet6(_)) == ip.is_ipv6());
        if addresses.is_empty() {
            let reason = format!("the name has no address of the family of {ip}");
            let error = io::Error::new(io::ErrorKind::NotFound, reason);
            return Err(ClientError::Local(Error::new(
                Operation::Resolve.as_str(),
                &options.target(),
                error,
            )));
        }
    }
    Ok(in_order(addresses))
}

/// Looks a name up on a thread of its own, since getaddrinfo(3) has no timeout. An address is
/// converted at once, so that a busy machine cannot make it time out.
fn look_up(
    options: &ConnectOptions,
    deadline: Deadline,
    limit: &WaitLimit,
) -> Result<Vec<Address>, ClientError> {
    if !matches!(options.endpoint.name(), Name::Inet(Host::Name(_), _)) {
        let addresses = options.endpoint.resolve(Side::Client, options.ip_version);
        return addresses.map_err(|error| lookup_error(options, error));
    }
    let (endpoint, version) = (options.endpoint.clone(), options.ip_version);
    let lookup = move || endpoint.resolve(Side::Client, version);
    match limit.call_blocking("resolver", deadline, lookup) {
        Ok(Some(addresses)) => addresses.map_err(|error| lookup_error(options, error)),
        Ok(None) if limit.is_stopped() => Err(ClientError::Stopped),
        Ok(None) => Err(ClientError::timeout(Operation::Resolve, &options.target())),
        Err(error) => {
            Err(ClientError::Local(Error::new(Operation::Resolve.as_str(), &options.target(), error)))
        }
    }
}

/// Returns whose failure a failed lookup is. An error of the kernel is this machine's: the
/// interface of a scope does not exist, for instance. An error of the resolver means that the name
/// has no address, unless this machine has no descriptors left: getaddrinfo(3) takes a file that it
/// cannot open for a file without names.
fn lookup_error(options: &ConnectOptions, error: Error) -> ClientError {
    match (error.cause().raw_os_error(), check_descriptors()) {
        (Some(_), _) => ClientError::Local(error),
        (None, Err(missing)) if is_out_of_descriptors(&missing) => {
            ClientError::Local(Error::new(Operation::Resolve.as_str(), &options.target(), missing))
        }
        (None, _) => ClientError::Peer(FailureKind::Dns, error),
    }
}

fn check_descriptors() -> io::Result<()> {
    let files: io::Result<Vec<File>> = (0..DESCRIPTORS).map(|_| File::open("/dev/null")).collect();
    files.map(drop)
}

/// Alternates between the address families (RFC 8305 §4), and keeps the first addresses only.
fn in_order(addresses: Vec<Address>) -> VecDeque<Address> {
    let mut addresses = interleave(addresses);
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn at_most_sixteen_addresses_are_tried_from_both_families() {
        let v6 = (0..3000_u16).map(|n| (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n), 7).into());
        let v4 = (0..3000_u16).map(|n| (Ipv4Addr::from(0xcb00_7100 + u32::from(n)), 7).into());
        let tried = in_order(v6.chain(v4).collect());
        assert_eq!(tried.len(), ADDRESSES_MAX);
        assert_eq!(
            tried.iter().filter(|address| matches!(address, Address::Inet6(_))).count(),
            ADDRESSES_MAX / 2
        );
        let few = in_order((0..3).map(|n| (Ipv4Addr::new(192, 0, 2, n), 7).into()).collect());
        assert_eq!(few.len(), 3);
    }
}
