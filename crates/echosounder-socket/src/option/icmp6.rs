//! Options of raw ICMPv6 sockets: SOL_ICMPV6, RFC 3542. The number is that of linux/icmpv6.h.

use super::value::{GetValue, SetValue, SocketOption, options};

/// A set of ICMPv6 types that a raw socket does not receive: `struct icmp6_filter`, RFC 3542.
///
/// ```
/// use echosounder_socket::option::Icmp6Filter;
///
/// let echo_reply = 129;
/// let filter = Icmp6Filter::BLOCK_ALL.pass(echo_reply);
/// assert!(filter.passes(echo_reply) && !filter.passes(128));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "icmp6_filter")]
pub struct Icmp6Filter([u32; 8]);

impl Icmp6Filter {
    /// Receive messages of every type.
    pub const PASS_ALL: Self = Self([0; 8]);
    /// Receive no messages.
    pub const BLOCK_ALL: Self = Self([u32::MAX; 8]);

    /// Returns the filter with one more type that the socket receives.
    #[must_use]
    pub const fn pass(mut self, kind: u8) -> Self {
        self.0[(kind >> 5) as usize] &= !(1 << (kind & 31));
        self
    }

    /// Returns the filter with one more type that the socket does not receive.
    #[must_use]
    pub const fn block(mut self, kind: u8) -> Self {
        self.0[(kind >> 5) as usize] |= 1 << (kind & 31);
        self
    }

    /// Returns whether the socket receives messages of a type.
    pub const fn passes(self, kind: u8) -> bool {
        self.0[(kind >> 5) as usize] & 1 << (kind & 31) == 0
    }
}

impl SetValue for Icmp6Filter {
    type Bytes = [u8; 32];

    fn encode(&self) -> Option<[u8; 32]> {
        let mut bytes = [0; 32];
        for (to, word) in bytes.chunks_mut(4).zip(self.0) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        Some(bytes)
    }
}

impl GetValue for Icmp6Filter {
    const LEN_MAX: usize = 32;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
            *word = u32::decode(bytes)?;
        }
        (bytes.len() == 32).then_some(Self(words))
    }
}

options! {
    level libc::IPPROTO_ICMPV6;
    /// Which ICMPv6 messages a raw socket does not receive: RFC 3542. The level is SOL_ICMPV6.
    ICMP6_FILTER: SocketOption<Icmp6Filter> = 1;
}
