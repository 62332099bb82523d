//! When the kernel may hold much for a connection, and when little.
//!
//! The kernel enlarges the receive buffer of a TCP connection while its input is read: up to
//! tcp_rmem\[2\], tcp(7). A client that sends without reading its replies then keeps megabytes of it
//! full when the server stops reading. So the buffer stays small until the client has taken many
//! replies. The same holds for the send buffer of a UNIX stream, which is large from the beginning.

/// Number of bytes in one receive from which input counts as bulk.
const BULK_MIN: usize = 16 * 1024;

/// Number of bytes of replies after which a client counts as one that reads them: more than the
/// receive buffer of its kernel (tcp_rmem\[1\]) and our send buffer hold together.
const PROOF_MIN: usize = 384 * 1024;

/// Bytes per unit of the count. A send of fewer bytes does not count.
const UNIT: usize = 64;

/// The bits of the count.
const COUNT: u16 = 0x7fff;
const _: () = assert!(PROOF_MIN / UNIT < COUNT as usize, "the proof fits into the count");

/// Whether the buffers of a connection are limited. A connection begins without the limit or with it,
/// gets it with its first bulk input or unsent reply, and loses it for ever when its client has
/// taken [`PROOF_MIN`] of replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BufferLimit {
    /// The lower 15 bits count replies in units of 64 bytes, the upper one says whether the limit
    /// is on: each connection has one of these.
    bits: u16,
}

impl BufferLimit {
    /// Returns a limit that is on from the beginning.
    pub(crate) fn begun() -> Self {
        Self { bits: !COUNT }
    }

    /// Returns whether the limit is on.
    pub(crate) fn is_on(self) -> bool {
        self.bits & !COUNT != 0
    }

    /// Records a receive.
    pub(crate) fn on_received(&mut self, len: usize) {
        if BULK_MIN <= len {
            self.begin();
        }
    }

    /// Records a send of `sent` of `len` bytes.
    pub(crate) fn on_sent(&mut self, sent: usize, len: usize) {
        let count = usize::from(self.bits & COUNT) + sent / UNIT;
        let count = u16::try_from(count).unwrap_or(COUNT).min(COUNT);
        let is_on = if Self::is_proof(count) { 0 } else { self.bits & !COUNT };
        self.bits = count | is_on;
        if sent < len {
            self.begin();
        }
    }

    fn begin(&mut self) {
        if !Self::is_proof(self.bits & COUNT) {
            self.bits |= !COUNT;
        }
    }

    fn is_proof(count: u16) -> bool {
        PROOF_MIN / UNIT <= usize::from(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_input_or_an_unsent_reply_begins_the_limit() {
        let mut limit = BufferLimit::default();
        limit.on_received(BULK_MIN - 1);
        limit.on_sent(100, 100);
        assert!(!limit.is_on());
        let mut bulk = limit;
        bulk.on_received(BULK_MIN);
        limit.on_sent(99, 100);
        assert!(bulk.is_on() && limit.is_on());
    }

    #[test]
    fn the_limit_ends_for_ever_when_the_client_has_taken_enough_replies() {
        for first in [BULK_MIN - 1, BULK_MIN] {
            let mut limit = BufferLimit::default();
            limit.on_received(first);
            for taken in (0..PROOF_MIN).step_by(1024) {
                assert_eq!(limit.is_on(), BULK_MIN <= first, "{taken}");
                limit.on_sent(1024, 1024);
            }
            for _ in 0..10_000 {
                limit.on_received(1 << 16);
                limit.on_sent(1000, 1 << 16);
                assert!(!limit.is_on());
            }
        }
    }
}
