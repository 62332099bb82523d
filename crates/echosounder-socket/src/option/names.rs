//! The names of the options, for people.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::value::SocketOption;
use super::{ip, ipv6, netlink, sctp, socket, tcp, tipc, udp, vsock};

/// Returns the name, the level and the number of every option of this crate.
pub fn list() -> impl Iterator<Item = (&'static str, i32, i32)> {
    [socket::LIST, ip::LIST, ipv6::LIST, tcp::LIST, udp::LIST]
        .into_iter()
        .chain([netlink::LIST, tipc::LIST, vsock::LIST, sctp::LIST])
        .flatten()
        .copied()
}

/// The name of the option, or its level and number.
impl<S, G> fmt::Debug for SocketOption<S, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = list().find(|&(_, level, number)| (level, number) == (self.level(), self.name()));
        match known {
            Some((name, ..)) => f.write_str(name),
            None => write!(f, "SocketOption({}, {})", self.level(), self.name()),
        }
    }
}

impl<S, G> PartialEq for SocketOption<S, G> {
    fn eq(&self, other: &Self) -> bool {
        (self.level(), self.name()) == (other.level(), other.name())
    }
}

impl<S, G> Eq for SocketOption<S, G> {}

impl<S, G> Hash for SocketOption<S, G> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.level(), self.name()).hash(state);
    }
}
