//! The protocol of an echo with timestamps, without I/O.
//!
//! Nothing here opens a socket, reads a clock, or panics on any input: the crate is `no_std`, has no
//! `unsafe`, and no dependency but the HMAC of [`stamp`]. Times are passed in as [`WallTime`] and
//! [`MonoTime`]; bytes go out through a buffer that the caller lends.
//!
//! A server passes what it receives to a [`Responder`], which appends the reply; a
//! [`DatagramFilter`] decides before which datagrams are replied to, so that two servers never
//! reply to each other endlessly, and a [`ReplyMeter`] how much is sent to sources that may be
//! forged. A client separates the echo from the timestamps with an
//! [`EchoReader`].
//!
//! A client that measures lets a [`Prober`] decide when requests are sent and what becomes of each,
//! in the form of a [`ProbeFormat`]: [`TextEcho`], [`IcmpEcho`] or a
//! [`StampSender`](stamp::StampSender). [`InFlight`] is the table of its
//! outstanding requests, and a [`PeerClock`] estimates the offset of the server's clock from the
//! replies.
//!
//! The module [`stamp`] has the packets, the reflector and the sender of STAMP (RFC 8762).
//!
//! ```
//! use echosounder_proto::{Responder, Input, Framing, StampContext, Template, LocalTime};
//!
//! let responder = Responder { stamp: Template::ctime(), framing: Framing::default() };
//! let local_time = LocalTime::EXAMPLE; // the server renders it once a second
//! let mut out = Vec::new();
//! let consumed = responder.respond(b"hello", Input::More, &mut StampContext::anonymous(&local_time), &mut out, |_| {});
//! assert_eq!(consumed, 5);
//! assert_eq!(out, b"[Sun Nov 22 12:19:36 2026] hello");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![doc(test(attr(deny(unused))))]

extern crate alloc;

mod datagram;
mod failure;
mod finder;
mod framing;
mod header_fields;
mod icmp;
mod in_flight;
mod metering;
mod payload;
mod peer_clock;
mod placeholder;
mod probe_format;
mod prober;
mod reader;
mod responder;
mod sample;
mod schedule;
pub mod stamp;
mod stamp_context;
mod template;
mod text_echo;
mod time;
mod timestamp;

pub use datagram::{Datagram, DatagramFilter, DropReason, PlainEcho, Sender};
pub use failure::{FailureKind, LossReason, LossReport};
pub use finder::{Finder, Found};
pub use framing::{FRAME_MAX, Framing, Input};
pub use header_fields::{HEADER_PLACEHOLDER, HeaderFields};
pub use icmp::{ICMP_PAYLOAD_MAX, ICMP_PAYLOAD_MIN, IcmpEcho, IcmpError, IcmpVersion};
pub use in_flight::{InFlight, Match};
pub use metering::{ReplyForm, ReplyLimits, ReplyMeter, Source, SourcePrefix};
pub use payload::{NUMBERED_MIN, Payload, Returned};
pub use peer_clock::{DelayVariation, OffsetEstimate, PeerClock};
pub use placeholder::TIMESTAMP_PLACEHOLDER;
pub use probe_format::{ProbeFormat, ProbeReply, Seen};
pub use prober::{ProbeEvent, ProbeInput, ProbeOutput, ProbePlan, Prober, SendStage};
pub use reader::{Echo, EchoReader, NotAnEcho};
pub use responder::Responder;
pub use sample::{Sample, Times};
pub use schedule::ProbePace;
pub use stamp_context::StampContext;
pub use template::{PREFIX_MAX, Template, TemplateError};
pub use text_echo::TextEcho;
pub use time::{Clock, LocalTime, Moment, MonoTime, WallTime};
pub use timestamp::{Reading, Scan, Timestamp, scan, starts_with_timestamp};
