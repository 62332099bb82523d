//! AF_XDP: frames that bypass the network stack. See Documentation/networking/af_xdp.rst in the
//! kernel's source.
//!
//! The rings of a socket are in memory that the program shares with the kernel (mmap(2)), which this
//! crate does not offer. It has the address and the number of the family for programs that do.
//!
//! ```no_run
//! use echosounder_socket::family::xdp::XdpAddress;
//! use echosounder_socket::{Family, Protocol, Socket, Type, interface_index};
//!
//! let socket = Socket::new(Family::XDP, Type::RAW, Protocol::DEFAULT)?;
//! // The bind succeeds once the socket has memory and rings: XDP_UMEM_REG and others.
//! socket.bind(XdpAddress::new(interface_index("eth0")?, 0))?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;

use crate::raw_address::RawAddress;

/// The address of an XDP socket: `struct sockaddr_xdp`, linux/if_xdp.h.
///
/// The structure also has a descriptor (`sxdp_shared_umem_fd`), which is 0 here. A bind with
/// XDP_SHARED_UMEM, which uses it, fails with `InvalidInput`: the number could be that of a
/// descriptor of another owner.
///
/// ```
/// use echosounder_socket::Address;
/// use echosounder_socket::family::xdp::XdpAddress;
///
/// let address = Address::from(XdpAddress::new(2, 0).with_flags(XdpAddress::COPY));
/// assert_eq!(address.to_string(), "interface 2, queue 0");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct XdpAddress {
    /// Flags of the bind: [`COPY`](Self::COPY) and others.
    pub flags: u16,
    /// The index of the network interface.
    pub interface: u32,
    /// The number of the interface's queue.
    pub queue: u32,
}

impl XdpAddress {
    /// Copy frames between the kernel and the program: XDP_COPY.
    pub const COPY: u16 = 1 << 1;
    /// Fail unless the driver supports frames without copies: XDP_ZEROCOPY.
    pub const ZEROCOPY: u16 = 1 << 2;
    /// Let the kernel say when it must be woken: XDP_USE_NEED_WAKEUP, since Linux 5.4.
    pub const USE_NEED_WAKEUP: u16 = 1 << 3;

    /// Creates the address of a queue of an interface.
    pub const fn new(interface: u32, queue: u32) -> Self {
        Self { flags: 0, interface, queue }
    }

    /// Returns the address with flags.
    #[must_use]
    pub const fn with_flags(self, flags: u16) -> Self {
        Self { flags, ..self }
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        raw.put(&self.flags.to_ne_bytes());
        raw.put(&self.interface.to_ne_bytes());
        raw.put(&self.queue.to_ne_bytes());
        raw.put(&[0; 4]);
    }

    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        let address = Self {
            flags: u16::from_ne_bytes(raw.field(2)?),
            interface: u32::from_ne_bytes(raw.field(4)?),
            queue: u32::from_ne_bytes(raw.field(8)?),
        };
        (raw.field(12)? == [0; 4] && raw.len() == 16).then_some(address)
    }
}

impl fmt::Display for XdpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {}, queue {}", self.interface, self.queue)
    }
}
