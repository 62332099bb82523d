//! What a server says to what it heard.

use alloc::vec::Vec;
use core::fmt;

use crate::framing::{Framing, Input};
use crate::template::{PREFIX_MAX, TIMESTAMP_PLACEHOLDER, Template, decimal, starts_with_placeholder};
use crate::time::{LocalTime, WallTime};

/// How a server answers: the same for all who talk to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    /// What stands before each message.
    pub stamp: Template,
    /// What is one message on a stream.
    pub framing: Framing,
}

/// What a stamp may tell: the time, and who talks.
#[derive(Clone, Copy)]
pub struct StampContext<'a> {
    /// The time of day, for `{ctime}`, `{rfc3339}` and `{unix}`.
    pub label: &'a LocalTime,
    /// When the message arrived.
    pub rx: WallTime,
    /// When its answer leaves.
    pub tx: WallTime,
    /// Who asks.
    pub peer: &'a dyn fmt::Display,
    /// Who was asked.
    pub local: &'a dyn fmt::Display,
    /// This machine's name.
    pub host: &'a str,
    /// How many messages this responder has answered.
    pub seq: u64,
    /// The stamp, if it was rendered already: [`Template::render_per_second`].
    pub stamp: Option<&'a [u8]>,
}

impl<'a> StampContext<'a> {
    /// A context in which nobody has a name and everything happens at the label's time.
    pub fn anonymous(label: &'a LocalTime) -> Self {
        Self { label, rx: label.wall, tx: label.wall, peer: &"", local: &"", host: "", seq: 0, stamp: None }
    }
}

impl Responder {
    /// Answers `input` piece by piece, appends the answers to `out`, and says how much of `input` is done with.
    ///
    /// What it leaves is either an unfinished piece, or too much for one turn: it appends at most twice the
    /// input's length and one stamp ([`PREFIX_MAX`]), so that one-byte messages cannot grow without bound. Call
    /// it again with the rest when the answers have left. Of an input that holds a piece it always takes one.
    ///
    /// `heard` is told each piece as it is answered; `context.seq` counts them.
    pub fn answer(
        &self,
        input: &[u8],
        input_kind: Input,
        context: &mut StampContext<'_>,
        out: &mut Vec<u8>,
        mut heard: impl FnMut(&[u8]),
    ) -> usize {
        let full = out.len() + 2 * input.len() + PREFIX_MAX;
        let mut rest = input;
        while let Some(len) = self.framing.frame_len(rest, input_kind) {
            if full < out.len() + PREFIX_MAX + len {
                break;
            }
            let (message, after) = rest.split_at(len);
            context.seq += 1;
            if starts_with_placeholder(message) {
                out.extend_from_slice(&filled(context));
                out.extend_from_slice(&message[TIMESTAMP_PLACEHOLDER.len()..]);
            } else {
                self.put_stamp(context, out);
                out.extend_from_slice(message);
            }
            heard(message);
            rest = after;
        }
        input.len() - rest.len()
    }

    /// Appends the reply to a message without content: the timestamp prefix alone.
    pub fn answer_empty(&self, context: &mut StampContext<'_>, out: &mut Vec<u8>) {
        context.seq += 1;
        self.put_stamp(context, out);
    }

    /// Prepares the answer to one datagram: what `stamp` holds afterwards, then `message`, in which a blank
    /// has been filled in. The [`DatagramFilter`](crate::DatagramFilter) says first whether it is answered at all.
    pub fn answer_datagram(&self, message: &mut [u8], context: &mut StampContext<'_>, stamp: &mut Vec<u8>) {
        stamp.clear();
        context.seq += 1;
        if starts_with_placeholder(message) {
            message[..TIMESTAMP_PLACEHOLDER.len()].copy_from_slice(&filled(context));
        } else {
            self.put_stamp(context, stamp);
        }
    }

    fn put_stamp(&self, context: &StampContext<'_>, out: &mut Vec<u8>) {
        match context.stamp {
            Some(stamp) => out.extend_from_slice(stamp),
            None => self.stamp.render(context, out),
        }
    }

    /// Whether the answers to `input` show times that are to be read around this very receive.
    ///
    /// For lines it always says so: looking for one costs more than reading the clock.
    pub fn needs_exact_time(&self, input: &[u8]) -> bool {
        self.stamp.uses_rx_tx()
            || match self.framing {
                Framing::Size(size) => input.chunks(size.get()).any(starts_with_placeholder),
                Framing::Message => starts_with_placeholder(input),
                Framing::Line(_) => true,
            }
    }
}

/// The blank with both its fields filled in, at the same length.
fn filled(context: &StampContext<'_>) -> [u8; TIMESTAMP_PLACEHOLDER.len()] {
    let mut stamp = *TIMESTAMP_PLACEHOLDER;
    stamp[1..20].copy_from_slice(&decimal::<19>(context.rx.as_nanos()));
    stamp[21..40].copy_from_slice(&decimal::<19>(context.tx.as_nanos()));
    stamp
}
