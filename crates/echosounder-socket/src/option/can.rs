//! Options of raw CAN sockets: SOL_CAN_RAW, the kernel's document networking/can. The numbers are
//! those of linux/can/raw.h.

use super::value::{GetValue, SetValue, SocketOption, options};

/// The level of the options: linux/can/raw.h.
const SOL_CAN_RAW: i32 = 101;

/// Receive the frames whose identifier, under the mask, is that of the filter: `struct can_filter`,
/// linux/can.h.
///
/// ```no_run
/// use echosounder_socket::option::{CAN_RAW_FILTER, CanFilter};
/// use echosounder_socket::{Family, Protocol, Socket, Type};
///
/// let socket = Socket::new(Family::CAN, Type::RAW, Protocol::CAN_RAW)?;
/// socket.set_option(CAN_RAW_FILTER, vec![CanFilter { id: 0x123, mask: 0x7ff }])?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "can_filter")]
pub struct CanFilter {
    /// The identifier. CAN_INV_FILTER (0x20000000) inverts the filter.
    pub id: u32,
    /// The bits of the identifier that are compared.
    pub mask: u32,
}

/// At most 512 filters.
impl SetValue for Vec<CanFilter> {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        Some(self.iter().flat_map(|filter| [filter.id, filter.mask]).flat_map(u32::to_ne_bytes).collect())
    }
}

impl GetValue for Vec<CanFilter> {
    const LEN_MAX: usize = 4096;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let decode =
            |bytes: &[u8]| Some(CanFilter { id: u32::decode(bytes)?, mask: u32::decode(bytes.get(4..)?)? });
        bytes.chunks(8).map(decode).collect()
    }
}

options! {
    level SOL_CAN_RAW;
    /// Which error frames to receive, a sum of CAN_ERR_ flags of linux/can/error.h: the kernel's
    /// document networking/can.
    CAN_RAW_ERR_FILTER: SocketOption<u32> = 2;
    /// Send and receive CAN FD frames: Linux 3.6.
    CAN_RAW_FD_FRAMES: SocketOption<bool> = 5;
    /// Receive frames that match at least one filter: the kernel's document networking/can.
    CAN_RAW_FILTER: SocketOption<Vec<CanFilter>> = 1;
    /// Receive only frames that match all filters: Linux 4.1.
    CAN_RAW_JOIN_FILTERS: SocketOption<bool> = 6;
    /// Pass sent frames to the other sockets of this host; on by default: the kernel's document
    /// networking/can.
    CAN_RAW_LOOPBACK: SocketOption<bool> = 3;
    /// Receive the frames that this socket sends: the kernel's document networking/can.
    CAN_RAW_RECV_OWN_MSGS: SocketOption<bool> = 4;
    /// Send and receive CAN XL frames: Linux 6.2.
    CAN_RAW_XL_FRAMES: SocketOption<bool> = 7;
}
