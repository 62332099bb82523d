//! AF_INET and AF_INET6: hosts and ports. See ip(7), ipv6(7).
//!
//! SCTP, with one socket per association:
//!
//! - There is no half-close: a shutdown ends both directions.
//! - An empty send fails with EINVAL, and one that exceeds the send buffer with EMSGSIZE.
//!
//! MPTCP:
//!
//! - A socket supports some options of TCP, more with each kernel version.
//! - After the peer has closed the connection, sends succeed for up to a minute.
//!
//! ```
//! use echosounder_socket::{ServerOptions, create_connection, create_server};
//!
//! let server = create_server("tcp://[::1]:0", ServerOptions::default())
//!     .or_else(|_| create_server("tcp://127.0.0.1:0", ServerOptions::default()))?; // Without IPv6.
//! let client = create_connection(server.local_addr()?, None, None)?;
//! assert_eq!(client.peer_addr()?.port(), server.local_addr()?.port());
//! # Ok::<(), std::io::Error>(())
//! ```

use std::ffi::CString;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};

use crate::endpoint_error::EndpointError;
use crate::lookup::{IpVersion, Side};
use crate::raw_address::RawAddress;
use crate::sys;
use crate::transport::{Kind, Transport};

/// A host in an endpoint.
///
/// [`Endpoint::new`](crate::Endpoint::new) has an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// Empty or `*`: every address for a server, localhost for a client.
    Any,
    /// A name to look up.
    Name(Box<str>),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, with the name or index of the interface if it is link-local.
    V6(Ipv6Addr, Option<Box<str>>),
}

impl Host {
    /// Returns the host of an IPv6 socket address, with its scope id as the interface.
    pub(crate) fn of(address: &SocketAddrV6) -> Self {
        let zone = Some(address.scope_id()).filter(|&scope| scope != 0);
        Self::V6(*address.ip(), zone.map(|scope| scope.to_string().into()))
    }

    /// Returns every address of the host once, in the order in which to try them.
    pub(crate) fn resolve(&self, port: u16, side: Side, version: IpVersion) -> io::Result<Vec<SocketAddr>> {
        let addresses: Vec<SocketAddr> = match self {
            Self::Any if side == Side::Server => {
                vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
            }
            Self::Any => ("localhost", port).to_socket_addrs()?.collect(),
            Self::Name(name) => (&**name, port).to_socket_addrs()?.collect(),
            Self::V4(ip) => vec![(*ip, port).into()],
            Self::V6(ip, zone) => {
                let scope = zone.as_deref().map_or(Ok(0), interface)?;
                vec![SocketAddrV6::new(*ip, port, 0, scope).into()]
            }
        };
        let mut unique = Vec::new();
        for address in addresses {
            if version.admits(&address) && !unique.contains(&address) {
                unique.push(address);
            }
        }
        Ok(unique)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Name(name) => f.write_str(name),
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip, None) => write!(f, "[{ip}]"),
            Self::V6(ip, Some(zone)) if encodes_percent(zone) => write!(f, "[{ip}%25{zone}]"),
            Self::V6(ip, Some(zone)) => write!(f, "[{ip}%{zone}]"),
        }
    }
}

const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in, sin_port) == 2);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in, sin_addr) == 4);
const _: () = assert!(size_of::<libc::sockaddr_in>() == 16);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_port) == 2);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_flowinfo) == 4);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_addr) == 8);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_in6, sin6_scope_id) == 24);
const _: () = assert!(size_of::<libc::sockaddr_in6>() == 28);

pub(crate) fn put_v4(address: &SocketAddrV4, raw: &mut RawAddress) {
    raw.put(&address.port().to_be_bytes());
    raw.put(&address.ip().octets());
    raw.put(&[0; 8]);
}

pub(crate) fn get_v4(raw: &RawAddress) -> Option<SocketAddrV4> {
    raw.field::<8>(8)?;
    Some(SocketAddrV4::new(Ipv4Addr::from(raw.field::<4>(4)?), u16::from_be_bytes(raw.field(2)?)))
}

pub(crate) fn put_v6(address: &SocketAddrV6, raw: &mut RawAddress) {
    raw.put(&address.port().to_be_bytes());
    raw.put(&address.flowinfo().to_ne_bytes());
    raw.put(&address.ip().octets());
    raw.put(&address.scope_id().to_ne_bytes());
}

pub(crate) fn get_v6(raw: &RawAddress) -> Option<SocketAddrV6> {
    Some(SocketAddrV6::new(
        Ipv6Addr::from(raw.field::<16>(8)?),
        u16::from_be_bytes(raw.field(2)?),
        u32::from_ne_bytes(raw.field(4)?),
        u32::from_ne_bytes(raw.field(24)?),
    ))
}

/// Parses `HOST`, `HOST:PORT`, `[V6]`, `[V6%ZONE]:PORT`, `:PORT` or `PORT`.
pub(crate) fn parse(
    text: &str,
    transport: Transport,
    default_port: u16,
) -> Result<(Host, u16), EndpointError> {
    let port = |text| parse_port(text, transport);
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(EndpointError::UnclosedBracket)?;
        let host = parse_v6(inside)?;
        return match after.strip_prefix(':') {
            Some(text) => Ok((host, port(text)?)),
            None if after.is_empty() => Ok((host, default_port)),
            None => Err(EndpointError::BadHost(text.into())),
        };
    }
    if text.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok()) {
        return Err(EndpointError::BareV6(text.into()));
    }
    match text.split_once(':') {
        Some((host, text)) => Ok((parse_host(host)?, port(text)?)),
        None if is_number(text) => Ok((Host::Any, port(text)?)),
        None => Ok((parse_host(text)?, default_port)),
    }
}

/// Parses a host without a port. An IPv6 address may have brackets.
pub(crate) fn parse_plain_host(text: &str) -> Result<Host, EndpointError> {
    if let Some(inside) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return parse_v6(inside);
    }
    if text.contains(':') {
        return parse_v6(text).map_err(|_| EndpointError::BadHost(text.into()));
    }
    parse_host(text)
}

fn parse_host(text: &str) -> Result<Host, EndpointError> {
    if text.is_empty() || text == "*" {
        return Ok(Host::Any);
    }
    if let Ok(ip) = text.parse() {
        return Ok(Host::V4(ip));
    }
    if text.trim_end_matches('.').split('.').all(is_aton_number) {
        return Err(EndpointError::BadV4(text.into()));
    }
    let plausible = text.len() <= 253
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if plausible { Ok(Host::Name(text.into())) } else { Err(EndpointError::BadHost(text.into())) }
}

fn parse_v6(text: &str) -> Result<Host, EndpointError> {
    let bad = || EndpointError::BadV6(text.into());
    let (ip, zone) = match text.split_once('%') {
        Some((ip, zone)) => (ip, Some(if encodes_percent(zone) { &zone[2..] } else { zone })),
        None => (text, None),
    };
    // An interface name has 1 to 15 bytes without a slash or space. A colon or bracket could not be
    // parsed again.
    let fits = |zone: &str| {
        (1..=15).contains(&zone.len())
            && zone
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'[' | b']' | b'%'))
    };
    if !zone.is_none_or(fits) {
        return Err(bad());
    }
    Ok(Host::V6(ip.parse().map_err(|_| bad())?, zone.map(Into::into)))
}

/// Returns whether a zone begins with an encoded percent sign, as in `%25eth0`: RFC 6874. A number
/// is the index of an interface even if it begins with 25.
fn encodes_percent(zone: &str) -> bool {
    zone.starts_with("25") && 2 < zone.len() && !is_number(zone)
}

fn parse_port(text: &str, transport: Transport) -> Result<u16, EndpointError> {
    let bad = || EndpointError::BadPort(text.into());
    if is_number(text) {
        return text.parse().map_err(|_| bad());
    }
    // The service names of RFC 6335, and underscores.
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !is_word {
        return Err(bad());
    }
    // SCTP and MPTCP use the service names of TCP, because the resolver knows neither.
    let (kind, protocol) = match transport.kind() {
        Kind::Datagrams => (libc::SOCK_DGRAM, "udp"),
        Kind::Stream | Kind::Messages => (libc::SOCK_STREAM, "tcp"),
    };
    sys::service::port(text, kind)
        .ok_or_else(|| EndpointError::UnknownService { name: text.into(), protocol })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether inet_aton(3) accepts the text as a part of an address: decimal, octal or
/// hexadecimal.
fn is_aton_number(text: &str) -> bool {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    is_number(text) || hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn interface(zone: &str) -> io::Result<u32> {
    super::number(zone).map_or_else(|| sys::interface::index(&CString::new(zone)?), Ok)
}
