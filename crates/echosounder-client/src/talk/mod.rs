//! Talking to a peer: in lockstep ([`Talk`]), as a pipe ([`Pipe`]), or one request at a time
//! ([`Peer`]).
//!
//! A [`Peer`] is a connected socket that knows which reply belongs to which request. [`Talk`] reads
//! lines from a [`LineSource`] and sends each through the peer; [`Pipe`] passes bytes in both
//! directions and needs a stream. Both write through a [`BackgroundWriter`] and end with the
//! [`WaitLimit`](crate::WaitLimit) of their peer.

mod ask;
mod background_writer;
mod conversation;
mod exchange;
mod line_ending;
mod lines;
mod link;
mod outcome;
mod peer;
mod pipe;
mod received;
mod reply_matcher;

pub use ask::echo;
pub use background_writer::BackgroundWriter;
pub use conversation::{LineFailure, Talk, TalkEvent, TalkMode, TalkSummary};
pub use line_ending::Eol;
pub use lines::{Line, LineSource, Lines};
pub use outcome::{TalkEnd, TalkError};
pub use peer::Peer;
pub use pipe::{Pipe, PipeSummary};
pub use received::{Received, ReceivedKind, RequestOutcome};
