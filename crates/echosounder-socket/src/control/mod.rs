//! Control messages, also called ancillary data: descriptors, credentials, timestamps and addresses
//! that accompany a message. See cmsg(3).
//!
//! Received ones are [`ControlMessage`]s; those to send are [`SendControl`]s. Unknown types are
//! kept as bytes.

mod decode;
mod encode;
mod error;
mod number;
mod packet_info;
mod raw;
mod received;
mod records;
mod send;
mod space;
mod timestamp;

pub use error::{ErrorProtocol, ExtendedError, ZerocopyCompletion};
pub(crate) use number::SCM_PIDFD;
pub use packet_info::PacketInfo;
pub use raw::{RawControl, RawControlBuf};
pub use received::ControlMessage;
pub use records::{PacketAuxData, SctpReceiveInfo, SctpSendInfo};
pub use send::SendControl;
pub(crate) use send::{put_segment_size, put_traffic_class};
pub use space::ControlSpace;
pub use timestamp::{Timestamp, TimestampResolution};
