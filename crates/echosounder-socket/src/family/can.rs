//! AF_CAN: controller area networks. See Documentation/networking/can.rst in the kernel's source.
//!
//! - A socket of [`Protocol::CAN_RAW`](super::Protocol::CAN_RAW) is bound to an interface and
//!   receives whole frames: `struct can_frame`, linux/can.h.
//! - A virtual interface for experiments: `ip link add vcan0 type vcan`.
//!
//! ```no_run
//! use echosounder_socket::family::can::CanAddress;
//! use echosounder_socket::{Family, Protocol, Socket, Type, interface_index};
//!
//! let socket = Socket::new(Family::CAN, Type::RAW, Protocol::CAN_RAW)?;
//! socket.bind(CanAddress::new(interface_index("can0")?))?;
//! let mut frame = [0; 16]; // struct can_frame, linux/can.h
//! socket.recv(&mut frame)?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;

use crate::raw_address::RawAddress;

/// The address of a CAN socket: `struct sockaddr_can`, linux/can.h.
///
/// ```
/// use echosounder_socket::Address;
/// use echosounder_socket::family::can::CanAddress;
///
/// let address = Address::from(CanAddress::new(4));
/// assert_eq!(address.to_string(), "interface 4");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct CanAddress {
    /// The index of the network interface; in a bind, 0 means all of them.
    pub interface: u32,
    /// The CAN identifier to receive with [`CAN_ISOTP`](super::Protocol::CAN_ISOTP); 0 for other
    /// protocols.
    pub rx_id: u32,
    /// The CAN identifier to send with [`CAN_ISOTP`](super::Protocol::CAN_ISOTP); 0 for other
    /// protocols.
    pub tx_id: u32,
}

impl CanAddress {
    /// Creates the address of an interface.
    pub const fn new(interface: u32) -> Self {
        Self { interface, rx_id: 0, tx_id: 0 }
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        raw.put(&[0; 2]);
        raw.put(&self.interface.to_ne_bytes());
        raw.put(&self.rx_id.to_ne_bytes());
        raw.put(&self.tx_id.to_ne_bytes());
        raw.put(&[0; 8]);
    }

    /// Decodes an address; `None` for one of J1939, whose fields differ. The kernel may return the
    /// interface alone.
    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        let rest = raw.as_bytes().get(8..)?;
        let rest_is_zero = rest.get(8..).is_none_or(|rest| rest.iter().all(|&byte| byte == 0));
        let id = |at| raw.field(at).map_or(0, u32::from_ne_bytes);
        let address = Self { interface: u32::from_ne_bytes(raw.field(4)?), rx_id: id(8), tx_id: id(12) };
        (rest_is_zero && raw.field(2)? == [0; 2] && matches!(raw.len(), 8 | 16 | 24)).then_some(address)
    }
}

impl fmt::Display for CanAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {}", self.interface)?;
        match (self.rx_id, self.tx_id) {
            (0, 0) => Ok(()),
            (rx_id, tx_id) => write!(f, ", receive {rx_id:#x}, send {tx_id:#x}"),
        }
    }
}

const _: () = assert!(std::mem::offset_of!(libc::sockaddr_can, can_ifindex) == 4);
