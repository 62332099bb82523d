//! The names of the options, for people.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::value::SocketOption;
use super::{
    alg, can, icmp, icmp6, ip, ipv6, mptcp, netlink, packet, sctp, socket, tcp, tipc, tls, udp, udplite,
    vsock, xdp,
};

/// Returns the name, the level and the number of every option of this crate.
pub fn list() -> impl Iterator<Item = (&'static str, i32, i32)> {
    let all = [
        socket::LIST,
        ip::LIST,
        ipv6::LIST,
        icmp::LIST,
        icmp6::LIST,
        tcp::LIST,
        tls::LIST,
        mptcp::LIST,
        udp::LIST,
        udplite::LIST,
        netlink::LIST,
        tipc::LIST,
        vsock::LIST,
        sctp::LIST,
        packet::LIST,
        can::LIST,
        alg::LIST,
        xdp::LIST,
    ];
    all.into_iter().flatten().copied()
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
