//! The echo rule of a server: from the bytes of a connection or a datagram to their reply.

use alloc::vec::Vec;

use crate::framing::{Framing, Input};
use crate::header_fields::HEADER_PLACEHOLDER;
use crate::placeholder::{TIMESTAMP_PLACEHOLDER, decimal, starts_with_placeholder};
use crate::stamp_context::StampContext;
use crate::template::{PREFIX_MAX, Template};

/// The echo rule of one endpoint: every message is returned after a timestamp prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Responder {
    /// The prefix of each reply.
    pub stamp: Template,
    /// How a stream is split into messages.
    pub framing: Framing,
}

impl Responder {
    /// Appends the replies to the messages in `input` to `out`, and returns how many bytes of
    /// `input` they cover.
    ///
    /// The rest is an unfinished message, or too much for one turn: a call appends at most twice
    /// the length of the input and one prefix ([`PREFIX_MAX`]), so that one-byte messages cannot
    /// grow without bound. Call it again with the rest when the replies have been sent. If the
    /// input holds a message, at least one is replied to.
    ///
    /// Each message is passed to `received`; `context.seq` counts them.
    pub fn respond(
        &self,
        input: &[u8],
        input_kind: Input,
        context: &mut StampContext<'_>,
        out: &mut Vec<u8>,
        mut received: impl FnMut(&[u8]),
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
                self.append_stamp(context, out);
                out.extend_from_slice(message);
            }
            received(message);
            rest = after;
        }
        input.len() - rest.len()
    }

    /// Appends the reply to a message without content: the timestamp prefix alone.
    pub fn respond_to_empty(&self, context: &mut StampContext<'_>, out: &mut Vec<u8>) {
        context.seq += 1;
        self.append_stamp(context, out);
    }

    /// Prepares the reply to one datagram: the contents of `stamp`, then `message`, in which a
    /// placeholder has been filled in. The [`DatagramFilter`](crate::DatagramFilter) decides before
    /// whether a datagram is replied to at all.
    pub fn respond_to_datagram(
        &self,
        message: &mut [u8],
        context: &mut StampContext<'_>,
        stamp: &mut Vec<u8>,
    ) {
        self.prefix_of_datagram(message, context, stamp);
        Self::fill_placeholder(message, context);
    }

    /// Writes the prefix of the reply to one datagram to `stamp`: nothing if `message` begins with a
    /// placeholder. The reply exceeds the message by the length of `stamp`, which a
    /// [`ReplyMeter`](crate::ReplyMeter) limits. [`fill_placeholder`](Self::fill_placeholder)
    /// completes the reply.
    pub fn prefix_of_datagram(&self, message: &[u8], context: &mut StampContext<'_>, stamp: &mut Vec<u8>) {
        stamp.clear();
        context.seq += 1;
        if !starts_with_placeholder(message) {
            self.append_stamp(context, stamp);
        }
    }

    /// Fills in the placeholder that a datagram begins with, if any, and the
    /// [placeholder of the header fields](HEADER_PLACEHOLDER) right after it, if the context has
    /// them.
    pub fn fill_placeholder(message: &mut [u8], context: &StampContext<'_>) {
        if starts_with_placeholder(message) {
            let (stamp, rest) = message.split_at_mut(TIMESTAMP_PLACEHOLDER.len());
            stamp.copy_from_slice(&filled(context));
            if let Some(header) = context.header {
                header.fill(rest);
            }
        }
    }

    /// Returns whether a datagram asks for its header fields.
    pub fn asks_for_header(message: &[u8]) -> bool {
        // Compared first, because nearly every other request has a digit there.
        message.get(TIMESTAMP_PLACEHOLDER.len()..).is_some_and(|rest| rest.starts_with(HEADER_PLACEHOLDER))
            && starts_with_placeholder(message)
    }

    fn append_stamp(&self, context: &StampContext<'_>, out: &mut Vec<u8>) {
        match context.stamp {
            Some(stamp) => out.extend_from_slice(stamp),
            None => self.stamp.render(context, out),
        }
    }

    /// Returns whether the replies to `input` show times that must be read right after the receive.
    ///
    /// For lines it always does: to look for a placeholder costs more than to read the clock.
    pub fn needs_exact_time(&self, input: &[u8]) -> bool {
        self.stamp.uses_rx_tx()
            || match self.framing {
                Framing::Size(size) => input.chunks(size.get()).any(starts_with_placeholder),
                Framing::Message => starts_with_placeholder(input),
                Framing::Line(_) => true,
            }
    }
}

/// Returns the placeholder with both fields filled in, at the same length.
fn filled(context: &StampContext<'_>) -> [u8; TIMESTAMP_PLACEHOLDER.len()] {
    let mut stamp = *TIMESTAMP_PLACEHOLDER;
    stamp[1..20].copy_from_slice(&decimal::<19>(context.rx.as_nanos()));
    stamp[21..40].copy_from_slice(&decimal::<19>(context.tx.as_nanos()));
    stamp
}
