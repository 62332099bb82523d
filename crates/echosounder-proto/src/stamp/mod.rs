//! STAMP, the Simple Two-way Active Measurement Protocol of RFC 8762, and its extensions of RFC
//! 8972.
//!
//! A Session-Sender sends requests that a Session-Reflector returns with its times of receipt and of
//! sending. [`SenderPacket`] and [`ReflectorPacket`] are their fields in one of two [`Layout`]s,
//! [`TimestampFormat`] and [`ErrorEstimate`] their times, and [`tlv`] the extensions behind them.

mod auth;
mod packet;
mod time;
pub mod tlv;

pub use auth::Key;
pub use packet::{Layout, REQUEST_MAX, ReflectorPacket, SenderPacket};
pub use time::{ErrorEstimate, TimestampFormat};

/// The UDP port that IANA assigned to STAMP reflectors (RFC 8762 section 4.1).
pub const PORT: u16 = 862;
