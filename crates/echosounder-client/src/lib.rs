//! The asking side of a stamped echo: it asks. It does not answer and does not print.
//!
//! A [`Peer`] is somebody to ask, at one of the addresses of an endpoint: [`Peer::ask`] sends a message and
//! waits until it has come back. [`Talk`] does so with each line of an input.
//!
//! Time-outs are overall: they bound an operation however many addresses or pieces it takes.
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod clock;
mod connect;
mod error;
mod lines;
mod peer;
mod talk;

pub use connect::{Call, Source};
pub use error::{CallError, Word};
pub use peer::{Heard, Part, Peer, Reply};
pub use talk::{End, Eol, Said, Summary, Talk, TalkError};
