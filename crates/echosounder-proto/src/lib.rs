//! What the bytes of a stamped echo mean.
//!
//! Nothing here opens a socket, reads a clock, or panics, whatever the input: the crate is `no_std`, has no
//! dependency and no `unsafe`. Time comes in as [`WallTime`] and [`MonoTime`]; bytes go out through a buffer
//! that the caller lends.
//!
//! The heart is [`Responder::answer`]: what a server says to what it heard on a stream. Its counterpart on
//! the asking side is [`EchoReader`], which takes the stamps out of what comes back. Datagrams are judged
//! first, by the rule that keeps two servers from talking for ever: [`DatagramFilter::check`].
//!
//! Whoever measures lets a [`Prober`] say when calls leave and what becomes of each, and a [`PeerClock`] what their
//! answers tell of the other clock.
//!
//! ```
//! use echosounder_proto::{Responder, Input, Framing, StampContext, Template, LocalTime};
//!
//! let responder = Responder { stamp: Template::ctime(), framing: Framing::default() };
//! let label = LocalTime::EXAMPLE; // the server renders it once a second
//! let mut out = Vec::new();
//! let consumed = responder.answer(b"hello", Input::More, &mut StampContext::anonymous(&label), &mut out, |_| {});
//! assert_eq!(consumed, 5);
//! assert_eq!(out, b"[Sun Nov 22 12:19:36 2026] hello");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

extern crate alloc;

mod datagram;
mod failure;
mod finder;
mod framing;
mod in_flight;
mod payload;
mod peer_clock;
mod probe_format;
mod prober;
mod reader;
mod responder;
mod sample;
mod schedule;
mod template;
mod text_echo;
mod time;
mod timestamp;

pub use datagram::{Datagram, DatagramFilter, DropReason, PlainEcho, Sender};
pub use failure::{FailureKind, LossReason};
pub use finder::{Finder, Found};
pub use framing::{FRAME_MAX, Framing, Input};
pub use in_flight::{InFlight, Match};
pub use payload::{NUMBERED_MIN, Payload, Returned};
pub use peer_clock::{OffsetEstimate, PeerClock};
pub use probe_format::{ProbeFormat, ProbeReply};
pub use prober::{ProbeEvent, ProbeInput, ProbeOutput, ProbePlan, Prober};
pub use reader::{Echo, EchoReader, NotAnEcho};
pub use responder::{Responder, StampContext};
pub use sample::{Sample, Times};
pub use schedule::ProbePace;
pub use template::{PREFIX_MAX, TIMESTAMP_PLACEHOLDER, Template, TemplateError};
pub use text_echo::TextEcho;
pub use time::{Clock, LocalTime, Moment, MonoTime, WallTime};
pub use timestamp::{Reading, Scan, Timestamp, scan, starts_with_timestamp};
