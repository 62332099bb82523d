//! Asks the kernel which UNIX datagram sockets of this network namespace have something to read:
//! sock_diag(7), UNIX_DIAG.

use std::io;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Family, Protocol, Socket, Type};

/// SOCK_DIAG_BY_FAMILY, linux/sock_diag.h.
const BY_FAMILY: u16 = 20;

/// NLM_F_REQUEST and NLM_F_DUMP, netlink(7).
const DUMP: u16 = 0x301;

/// NLMSG_ERROR and NLMSG_DONE, netlink(7).
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// UDIAG_SHOW_NAME and UDIAG_SHOW_RQLEN: what the kernel reports of each socket.
const SHOWN: u32 = 0x11;

/// UNIX_DIAG_NAME and UNIX_DIAG_RQLEN: the attributes in which it reports them.
const NAME: u16 = 0;
const QUEUE: u16 = 4;

/// Lengths of nlmsghdr, unix_diag_req, unix_diag_msg and nlattr in bytes.
const HEADER: usize = 16;
const REQUEST: usize = 24;
const REPORT: usize = 16;
const ATTRIBUTE: usize = 4;

/// More than the kernel puts into one netlink message: `netlink_dump` in net/netlink/af_netlink.c.
const BUFFER: usize = 64 * 1024;

/// A socket that asks for all UNIX sockets.
#[derive(Debug)]
pub(crate) struct UnreadLook {
    socket: Socket,
    sequence: u32,
}

impl UnreadLook {
    /// Opens the socket. No privilege is needed.
    pub(crate) fn new() -> io::Result<Self> {
        let socket = Socket::new(Family::NETLINK, Type::RAW, Protocol::NETLINK_SOCK_DIAG)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Calls `found` for every datagram socket that has a name, with whether its receive queue is
    /// empty. A first message without content counts as an empty queue.
    pub(crate) fn for_each(&mut self, mut found: impl FnMut(&Address, bool)) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send(&request(self.sequence))?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let len = self.socket.recv(&mut buffer)?;
            for (kind, sequence, body) in Messages(&buffer[..len]) {
                match kind {
                    // An earlier look that failed may have left some.
                    _ if sequence != self.sequence => {}
                    DONE => return Ok(()),
                    ERROR => return Err(io::ErrorKind::Unsupported.into()),
                    _ => {
                        if let Some((name, is_empty)) = report(body) {
                            found(&name, is_empty);
                        }
                    }
                }
            }
        }
    }
}

/// Returns the request for a report of every UNIX socket.
fn request(sequence: u32) -> Vec<u8> {
    let len = u32::try_from(HEADER + REQUEST).expect("40");
    let family = u8::try_from(Family::UNIX.0).expect("AF_UNIX is 1");
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(len.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(DUMP.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    // Family, protocol, padding.
    bytes.extend([family, 0, 0, 0]);
    // All states, any inode, what to show, any cookie.
    for word in [u32::MAX, 0, SHOWN, u32::MAX, u32::MAX] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// Returns the address of a datagram socket, and whether its receive queue is empty.
fn report(body: &[u8]) -> Option<(Address, bool)> {
    let kind = i32::from(*body.get(1)?);
    if kind != Type::DGRAM.0 {
        return None;
    }
    let (mut name, mut queue) = (None, None);
    let mut rest = body.get(REPORT..)?;
    while let Some((len, kind)) = u16_at(rest, 0).zip(u16_at(rest, 2)) {
        let value = rest.get(ATTRIBUTE..usize::from(len))?;
        match kind {
            NAME => name = Some(unix_name(value)?),
            QUEUE => queue = u32_at(value, 0),
            _ => {}
        }
        rest = rest.get(usize::from(len).next_multiple_of(4)..).unwrap_or_default();
    }
    Some((name?.into(), queue? == 0))
}

/// Returns the name in `sun_path`.
fn unix_name(path: &[u8]) -> Option<UnixName> {
    match path {
        [] => None,
        [0, name @ ..] => Some(UnixName::Abstract(name.into())),
        path => path.split(|&byte| byte == 0).next().map(|path| UnixName::Path(path.into())),
    }
}

/// The messages of a buffer: type, sequence number and content.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (u16, u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let (kind, sequence) = (u16_at(self.0, 4)?, u32_at(self.0, 8)?);
        let body = self.0.get(HEADER..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, sequence, body))
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..offset + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..offset + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    /// Reports a skipped test as the integration tests do. Their helpers are not in the package.
    #[expect(clippy::print_stdout, reason = "a test reports to its log")]
    fn skip(error: &io::Error) {
        assert!(std::env::var_os("SOUNDER_NO_SKIP").is_none(), "UNIX_DIAG: {error}");
        println!("skipped UNIX_DIAG: {error}");
    }

    #[test]
    fn a_look_shows_which_sockets_have_something_to_read() {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("unread {}", folder.path().display());
        let at_name = SocketAddr::from_abstract_name(&name).unwrap();
        let at_path = SocketAddr::from_pathname(folder.path().join("s")).unwrap();
        let receivers = [at_name, at_path].map(|at| UnixDatagram::bind_addr(&at).unwrap());
        let addresses = receivers
            .each_ref()
            .map(|receiver| Address::from(UnixName::from(receiver.local_addr().unwrap())));
        let mut look = match UnreadLook::new() {
            Ok(look) => look,
            Err(error) => return skip(&error),
        };
        let sender = UnixDatagram::unbound().unwrap();
        for unread in [0, 1, 2, 0] {
            for receiver in &receivers {
                (0..unread)
                    .for_each(|_| drop(sender.send_to_addr(b"hello", &receiver.local_addr().unwrap())));
            }
            let mut found = Vec::new();
            if let Err(error) = look.for_each(|address, is_empty| found.push((address.clone(), is_empty))) {
                return skip(&error);
            }
            for address in &addresses {
                assert!(found.contains(&(address.clone(), unread == 0)), "{address} {unread}");
            }
            for receiver in &receivers {
                (0..unread).for_each(|_| assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 5));
            }
        }
    }
}
