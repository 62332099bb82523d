//! What the bytes of a stamped echo mean.
//!
//! Nothing here opens a socket, reads a clock, or panics, whatever the input: the crate is `no_std`, has no
//! dependency and no `unsafe`. Time comes in as [`WallTime`] and [`MonoTime`]; bytes go out through a buffer
//! that the caller lends.
//!
//! The heart is [`Conversation::answer`]: what a server says to what it heard on a stream. Its counterpart on
//! the asking side is [`EchoReader`], which takes the stamps out of what comes back. Datagrams are judged
//! first, by the rule that keeps two servers from talking for ever: [`DatagramRule::judge`].
//!
//! Whoever measures lets a [`Prober`] say when calls leave and what becomes of each, and a [`PeerClock`] what their
//! answers tell of the other clock.
//!
//! ```
//! use echosounder_proto::{Conversation, Flow, Framing, Scene, Template, WallLabel};
//!
//! let conversation = Conversation { stamp: Template::ctime(), framing: Framing::default() };
//! let label = WallLabel::EXAMPLE; // the server renders it once a second
//! let mut out = Vec::new();
//! let consumed = conversation.answer(b"hello", Flow::Open, &mut Scene::anonymous(&label), &mut out, |_| {});
//! assert_eq!(consumed, 5);
//! assert_eq!(out, b"[Sun Nov 22 12:19:36 2026] hello");
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

extern crate alloc;

mod conversation;
mod datagram;
mod finder;
mod framing;
mod payload;
mod peer_clock;
mod prober;
mod reader;
mod stamp;
mod template;
mod time;

pub use conversation::{Conversation, Scene};
pub use datagram::{Datagram, DatagramRule, PlainEcho, Reason, Sender};
pub use finder::{Finder, Found};
pub use framing::{FRAME_MAX, Flow, Framing};
pub use payload::{NUMBERED_MIN, Payload, Returned};
pub use peer_clock::{Estimate, PeerClock};
pub use prober::{Event, Plan, Prober, Sample, Times};
pub use reader::{Echo, EchoReader, NotAnEcho};
pub use stamp::{Reading, Scan, Stamp, begins_with_stamp, scan};
pub use template::{BLANK, STAMP_MAX, Template, TemplateError};
pub use time::{Moment, MonoTime, WallLabel, WallTime};
