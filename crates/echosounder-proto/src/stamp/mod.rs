//! STAMP, the Simple Two-way Active Measurement Protocol of RFC 8762, and its extensions of RFC
//! 8972.
//!
//! A Session-Sender sends requests that a Session-Reflector returns with its times of receipt and of
//! sending. [`SenderPacket`] and [`ReflectorPacket`] are their fields in one of two [`Layout`]s,
//! [`TimestampFormat`] and [`ErrorEstimate`] their times, and [`tlv`] the extensions behind them.
//! A [`Reflector`] turns requests into replies, and a [`StampSender`] is the
//! [`ProbeFormat`](crate::ProbeFormat) of a measurement.
//!
//! ```
//! use std::hash::RandomState;
//! use echosounder_proto::WallTime;
//! use echosounder_proto::stamp::{ErrorEstimate, Layout, Reflector, ReflectorConfig, ReflectorPacket, RequestContext, SenderPacket, TimestampFormat};
//!
//! let now = WallTime::from_nanos(1_795_346_376_123_456_789);
//! let request = SenderPacket {
//!     sequence: 0,
//!     timestamp: TimestampFormat::Ntp.encode(now),
//!     error_estimate: ErrorEstimate::UNKNOWN,
//!     ssid: 1,
//! };
//! let mut packet = [0; 44];
//! assert!(request.write(Layout::Unauthenticated, &mut packet));
//!
//! let mut reflector = Reflector::new(ReflectorConfig::default(), RandomState::new());
//! let context = RequestContext::new("192.0.2.1:40000".parse().unwrap(), now);
//! let reply = reflector.reflect(&mut packet, 44, &context, ErrorEstimate::UNKNOWN, now).unwrap();
//! assert_eq!(reply.len, 44);
//! reflector.finish(&mut packet[..reply.len], now); // right before the send
//! let fields = ReflectorPacket::read(Layout::Unauthenticated, &packet).unwrap();
//! assert_eq!(fields.receive_time(now), now);
//! ```

mod auth;
mod loss_direction;
mod packet;
mod reflector;
mod sender;
mod sessions;
mod time;
pub mod tlv;

pub use auth::Key;
pub use loss_direction::{LossDirection, LossDirections};
pub use packet::{Layout, REQUEST_MAX, ReflectorPacket, SenderPacket};
pub use reflector::{Reflected, Reflector, ReflectorConfig, RequestContext};
pub use sender::{SenderConfig, StampSender};
pub use sessions::{Session, Sessions};
pub use time::{ErrorEstimate, TimestampFormat};

/// The UDP port that IANA assigned to STAMP reflectors (RFC 8762 section 4.1).
pub const PORT: u16 = 862;
