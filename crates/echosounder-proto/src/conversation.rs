//! What a server says to what it heard.

use alloc::vec::Vec;
use core::fmt;

use crate::framing::{Flow, Framing};
use crate::template::{BLANK, STAMP_MAX, Template, begins_with_blank, decimal};
use crate::time::{WallLabel, WallTime};

/// How a server answers: the same for all who talk to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// What stands before each message.
    pub stamp: Template,
    /// What is one message on a stream.
    pub framing: Framing,
}

/// What a stamp may tell: the time, and who talks.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The time of day, for `{ctime}`, `{rfc3339}` and `{unix}`.
    pub label: &'a WallLabel,
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
    /// How many messages this conversation has answered.
    pub seq: u64,
    /// The stamp, if it was rendered already: [`Template::of_the_second`].
    pub stamp: Option<&'a [u8]>,
}

impl<'a> Scene<'a> {
    /// A scene in which nobody has a name and everything happens at the label's time.
    pub fn anonymous(label: &'a WallLabel) -> Self {
        Self { label, rx: label.wall, tx: label.wall, peer: &"", local: &"", host: "", seq: 0, stamp: None }
    }
}

impl Conversation {
    /// Answers `input` piece by piece, appends the answers to `out`, and says how much of `input` is done with.
    ///
    /// What it leaves is either an unfinished piece, or too much for one turn: it appends at most twice the
    /// input's length and one stamp ([`STAMP_MAX`]), so that one-byte messages cannot grow without bound. Call
    /// it again with the rest when the answers have left. Of an input that holds a piece it always takes one.
    ///
    /// `heard` is told each piece as it is answered; `scene.seq` counts them.
    pub fn answer(
        &self,
        input: &[u8],
        flow: Flow,
        scene: &mut Scene<'_>,
        out: &mut Vec<u8>,
        mut heard: impl FnMut(&[u8]),
    ) -> usize {
        let full = out.len() + 2 * input.len() + STAMP_MAX;
        let mut rest = input;
        while let Some(len) = self.framing.piece_len(rest, flow) {
            if full < out.len() + STAMP_MAX + len {
                break;
            }
            let (message, after) = rest.split_at(len);
            scene.seq += 1;
            if begins_with_blank(message) {
                out.extend_from_slice(&filled(scene));
                out.extend_from_slice(&message[BLANK.len()..]);
            } else {
                self.put_stamp(scene, out);
                out.extend_from_slice(message);
            }
            heard(message);
            rest = after;
        }
        input.len() - rest.len()
    }

    /// Appends the reply to a message without content: the timestamp prefix alone.
    pub fn answer_empty(&self, scene: &mut Scene<'_>, out: &mut Vec<u8>) {
        scene.seq += 1;
        self.put_stamp(scene, out);
    }

    /// Prepares the answer to one datagram: what `stamp` holds afterwards, then `message`, in which a blank
    /// has been filled in. The [`DatagramRule`](crate::DatagramRule) says first whether it is answered at all.
    pub fn answer_datagram(&self, message: &mut [u8], scene: &mut Scene<'_>, stamp: &mut Vec<u8>) {
        stamp.clear();
        scene.seq += 1;
        if begins_with_blank(message) {
            message[..BLANK.len()].copy_from_slice(&filled(scene));
        } else {
            self.put_stamp(scene, stamp);
        }
    }

    fn put_stamp(&self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        match scene.stamp {
            Some(stamp) => out.extend_from_slice(stamp),
            None => self.stamp.render(scene, out),
        }
    }

    /// Whether the answers to `input` show times that are to be read around this very receive.
    ///
    /// For lines it always says so: looking for one costs more than reading the clock.
    pub fn needs_exact_time(&self, input: &[u8]) -> bool {
        self.stamp.is_exact()
            || match self.framing {
                Framing::Size(size) => input.chunks(size.get()).any(begins_with_blank),
                Framing::Message => begins_with_blank(input),
                Framing::Line(_) => true,
            }
    }
}

/// The blank with both its fields filled in, at the same length.
fn filled(scene: &Scene<'_>) -> [u8; BLANK.len()] {
    let mut stamp = *BLANK;
    stamp[1..20].copy_from_slice(&decimal::<19>(scene.rx.as_nanos()));
    stamp[21..40].copy_from_slice(&decimal::<19>(scene.tx.as_nanos()));
    stamp
}
