//! The backlog of a connection, and the budget that bounds the backlogs of all connections of a
//! worker.

use echosounder_proto::Moment;

/// Maximum number of bytes in the backlogs of all connections together.
pub const BACKLOG_MAX: usize = 16 * 1024 * 1024;

/// Maximum number of bytes that one read takes from a stream.
pub(crate) const READ_MAX: usize = 64 * 1024;

/// Minimum number of bytes for which a read is worth its system call.
const READ_MIN: usize = 1024;

/// Maximum number of bytes of a buffer that is larger than its content needs. Larger ones shrink,
/// so that a short unfinished line does not hold the memory of a long one.
const SLACK_MAX: usize = 4096;

/// Maximum number of unused backlogs that a worker keeps for the next connection that needs one.
const SPARES_MAX: usize = 64;

/// Output that the kernel did not take and input that was not replied to.
#[derive(Debug)]
pub(crate) struct Backlog {
    /// Replies not yet sent.
    unsent: Vec<u8>,
    /// Input not yet replied to.
    unprocessed: Vec<u8>,
    /// When that input was received.
    arrival: Moment,
    /// Whether the unprocessed input holds a complete frame. If not, it is an unfinished line
    /// without a newline.
    has_frame: bool,
    /// Whether that line is replied to without its newline, to release its memory.
    is_cut_line: bool,
}

impl Backlog {
    pub(crate) fn unsent(&self) -> &[u8] {
        &self.unsent
    }

    pub(crate) fn unprocessed(&self) -> &[u8] {
        &self.unprocessed
    }

    pub(crate) fn arrival(&self) -> Moment {
        self.arrival
    }

    /// Returns whether the connection can make progress without further input.
    pub(crate) fn is_pending(&self) -> bool {
        self.has_frame || !self.unsent.is_empty()
    }

    /// Returns whether the unprocessed input is a line that [`cut_line`](Self::cut_line) has ended.
    pub(crate) fn is_cut_line(&self) -> bool {
        self.is_cut_line
    }

    /// Makes the unfinished line a complete frame, to release its memory.
    pub(crate) fn cut_line(&mut self) {
        self.end_input();
        self.is_cut_line = true;
    }

    /// Makes the unprocessed input a complete frame, because no more input will be read.
    pub(crate) fn end_input(&mut self) {
        self.has_frame = !self.unprocessed.is_empty();
    }

    /// Returns the number of bytes that count towards the budget.
    fn size(&self) -> usize {
        size_of::<Self>() + self.unsent.capacity() + self.unprocessed.capacity()
    }
}

/// The backlog of one connection; most have none.
pub(crate) type BacklogSlot = Option<Box<Backlog>>;

/// Input and output that a connection could not complete in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remainder<'a> {
    pub(crate) unsent: &'a [u8],
    pub(crate) unprocessed: &'a [u8],
    pub(crate) arrival: Moment,
    pub(crate) has_frame: bool,
}

/// One worker's part of [`BACKLOG_MAX`], and its unused backlogs.
///
/// Every change of a backlog goes through here, so that the count of used bytes is right.
#[derive(Debug)]
pub(crate) struct BacklogBudget {
    max: usize,
    used: usize,
    #[expect(clippy::vec_box, reason = "the boxes move between connections without an allocation")]
    spares: Vec<Box<Backlog>>,
}

impl BacklogBudget {
    /// Maximum number of bytes to read when the budget is exhausted, from a connection whose peer
    /// receives its replies.
    pub(crate) const LAST_READ_SIZE: usize = READ_MIN;

    /// Creates a budget of `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: 0, spares: Vec::new() }
    }

    /// Returns how many bytes a connection may read so that the budget can hold everything that
    /// results: less, the more is used. `None` means that the budget is exhausted.
    pub(crate) fn read_size(&self) -> Option<usize> {
        // A read results in at most three times its size: replies of twice the size, and
        // unprocessed input.
        let size = (self.max.saturating_sub(self.used) / 8).min(READ_MAX);
        (READ_MIN <= size).then_some(size)
    }

    /// Returns whether so little of the budget is left that unfinished lines should release theirs.
    pub(crate) fn is_short(&self) -> bool {
        self.max - self.max / 8 < self.used || self.read_size().is_none()
    }

    /// Stores what remains after a turn in `slot`, in place of its former content.
    pub(crate) fn store(&mut self, slot: &mut BacklogSlot, remainder: Remainder<'_>) {
        let Remainder { unsent, unprocessed, arrival, has_frame } = remainder;
        if unsent.is_empty() && unprocessed.is_empty() {
            return self.release(slot);
        }
        let before = slot.as_ref().map_or(0, |backlog| backlog.size());
        let backlog = slot.get_or_insert_with(|| {
            self.spares.pop().unwrap_or_else(|| {
                let (unsent, unprocessed) = (Vec::new(), Vec::new());
                Box::new(Backlog { unsent, unprocessed, arrival, has_frame, is_cut_line: false })
            })
        });
        replace(&mut backlog.unsent, unsent);
        replace(&mut backlog.unprocessed, unprocessed);
        backlog.arrival = arrival;
        backlog.has_frame = has_frame;
        backlog.is_cut_line = false;
        let after = backlog.size();
        self.change(before, after);
    }

    /// Appends input to an unfinished line.
    pub(crate) fn append(&mut self, backlog: &mut Backlog, input: &[u8]) {
        let before = backlog.size();
        backlog.unprocessed.extend_from_slice(input);
        let after = backlog.size();
        self.change(before, after);
    }

    /// Removes output that was sent. If nothing remains, `slot` is empty afterwards.
    pub(crate) fn remove_sent(&mut self, slot: &mut BacklogSlot, sent: usize) {
        let Some(backlog) = slot else { return };
        let before = backlog.size();
        backlog.unsent.drain(..sent);
        if backlog.unsent.is_empty() {
            backlog.unsent = Vec::new();
        }
        let after = backlog.size();
        self.change(before, after);
        if backlog.unsent.is_empty() && backlog.unprocessed.is_empty() {
            self.release(slot);
        }
    }

    /// Empties `slot`.
    pub(crate) fn release(&mut self, slot: &mut BacklogSlot) {
        let Some(mut backlog) = slot.take() else { return };
        self.change(backlog.size(), 0);
        if self.spares.len() < SPARES_MAX {
            replace(&mut backlog.unsent, &[]);
            replace(&mut backlog.unprocessed, &[]);
            self.spares.push(backlog);
        }
    }

    /// Counts a backlog of `before` bytes as one of `after` bytes. A message of any size is read
    /// whole, so the used bytes can exceed the maximum for a while.
    fn change(&mut self, before: usize, after: usize) {
        self.used = self.used.saturating_sub(before) + after;
    }
}

/// Replaces the content of a buffer. The buffer keeps its memory unless it is much too large.
fn replace(buffer: &mut Vec<u8>, content: &[u8]) {
    buffer.clear();
    if SLACK_MAX < buffer.capacity() && 2 * content.len() < buffer.capacity() {
        buffer.shrink_to(content.len().max(SLACK_MAX));
    }
    buffer.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use echosounder_proto::{MonoTime, WallTime};

    use super::*;

    fn remainder<'a>(unsent: &'a [u8], unprocessed: &'a [u8]) -> Remainder<'a> {
        let mono = MonoTime::from_origin(Duration::ZERO);
        let arrival = Moment { wall: WallTime::from_nanos(1), mono };
        Remainder { unsent, unprocessed, arrival, has_frame: false }
    }

    #[test]
    fn a_budget_that_was_exceeded_returns_to_its_maximum() {
        let mut budget = BacklogBudget::new(100_000);
        assert_eq!(budget.read_size(), Some(12_500));
        let mut slot = None;
        budget.store(&mut slot, remainder(&[b'x'; 300_000], &[]));
        assert_eq!(budget.read_size(), None);
        budget.remove_sent(&mut slot, 300_000);
        assert!(slot.is_none());
        assert_eq!(budget.read_size(), Some(12_500));
    }

    #[test]
    fn memory_is_short_when_an_eighth_is_left_or_no_read_fits() {
        let is_short = |max, used| BacklogBudget { used, ..BacklogBudget::new(max) }.is_short();
        assert!(!is_short(100_000, 87_500) && is_short(100_000, 87_501));
        assert!(!is_short(8 * READ_MIN, 0) && is_short(8 * READ_MIN - 1, 0));
    }

    #[test]
    fn the_budget_counts_the_memory_of_every_backlog() {
        let bytes = |backlog: &Backlog| backlog.unsent.capacity() + backlog.unprocessed.capacity();
        let used = |slots: &[BacklogSlot]| -> usize {
            slots.iter().flatten().map(|backlog| size_of::<Backlog>() + bytes(backlog)).sum()
        };
        let mut budget = BacklogBudget::new(BACKLOG_MAX);
        let mut slots = [None, None];
        budget.store(&mut slots[0], remainder(&[b'x'; 10_000], b"and input"));
        budget.store(&mut slots[1], remainder(b"", b"unfinished"));
        assert_eq!(budget.used, used(&slots));
        budget.append(slots[1].as_mut().unwrap(), &[b'y'; 5000]);
        assert_eq!(budget.used, used(&slots));
        budget.store(&mut slots[0], remainder(&[b'x'; 100], b""));
        assert_eq!(budget.used, used(&slots));
        budget.remove_sent(&mut slots[0], 60);
        assert_eq!(slots[0].as_ref().unwrap().unsent(), [b'x'; 40]);
        assert_eq!(budget.used, used(&slots));
        budget.remove_sent(&mut slots[0], 40);
        assert!(slots[0].is_none());
        assert_eq!(budget.used, used(&slots));
        budget.release(&mut slots[1]);
        assert_eq!(budget.used, 0);
    }

    #[test]
    fn at_most_64_unused_backlogs_stay() {
        let mut budget = BacklogBudget::new(BACKLOG_MAX);
        let mut slots: Vec<BacklogSlot> = (0..100).map(|_| None).collect();
        slots.iter_mut().for_each(|slot| budget.store(slot, remainder(b"x", b"")));
        slots.iter_mut().for_each(|slot| budget.release(slot));
        assert_eq!(budget.spares.len(), 64);
    }

    #[test]
    fn a_buffer_of_more_than_twice_its_content_shrinks_to_it_or_to_4_kib() {
        for (capacity, content, expected) in [
            (10_000, 5000, 10_000),
            (10_000, 4999, 4999),
            (10_000, 10, 4096),
            (4096, 10, 4096),
            (4097, 10, 4096),
        ] {
            let mut buffer = Vec::with_capacity(capacity);
            replace(&mut buffer, &vec![b'x'; content]);
            assert_eq!((buffer.len(), buffer.capacity()), (content, expected), "{capacity}");
        }
    }

    #[test]
    fn an_unused_backlog_is_used_again_with_little_memory() {
        let mut budget = BacklogBudget::new(BACKLOG_MAX);
        let mut slot = None;
        budget.store(&mut slot, remainder(&[b'x'; 100_000], &[b'y'; 100_000]));
        let address = std::ptr::from_ref(&**slot.as_ref().unwrap());
        budget.release(&mut slot);
        assert!(slot.is_none() && budget.used == 0);
        budget.store(&mut slot, remainder(&[], b"unfinished"));
        let backlog = slot.as_ref().unwrap();
        assert_eq!(std::ptr::from_ref(&**backlog), address);
        assert!(budget.used <= size_of::<Backlog>() + 2 * SLACK_MAX);
        assert_eq!((backlog.unsent(), backlog.unprocessed()), (&b""[..], &b"unfinished"[..]));
    }
}
