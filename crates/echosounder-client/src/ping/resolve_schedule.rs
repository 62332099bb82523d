//! When a name is looked up again while it is measured, and when to move to its new address.

use std::time::Duration;

use echosounder_proto::MonoTime;
use echosounder_socket::Address;

use crate::connect::Candidates;

/// Requests lost in a row after which the name is looked up again.
const LOST_IN_A_ROW: u32 = 10;

/// The shortest time between two lookups because of losses, which must not flood the name server.
const LOOKUP_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// Decides when to look a name up again: at intervals, and while requests are lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResolveSchedule {
    /// The time between two lookups; `None` means only while requests are lost.
    every: Option<Duration>,
    /// When the last lookup began.
    last: MonoTime,
    is_pending: bool,
    lost_in_a_row: u32,
    /// When to move to another address, though requests to the present one are in flight.
    move_at: Option<MonoTime>,
}

impl ResolveSchedule {
    /// Creates the schedule of a name that was looked up at `last`.
    pub(super) fn new(every: Option<Duration>, last: MonoTime) -> Self {
        Self { every, last, is_pending: false, lost_in_a_row: 0, move_at: None }
    }

    /// Notes that a request was lost.
    pub(super) fn lost(&mut self) {
        self.lost_in_a_row = self.lost_in_a_row.saturating_add(1);
    }

    /// Notes that a request was replied to.
    pub(super) fn replied(&mut self) {
        self.lost_in_a_row = 0;
    }

    /// Returns when the next lookup or move is due; `None` if there is none before something else
    /// happens.
    pub(super) fn due(&self) -> Option<MonoTime> {
        let while_lost = self.is_losing().then_some(LOOKUP_INTERVAL_MIN);
        let wait = [self.every, while_lost].into_iter().flatten().min();
        let lookup = wait.filter(|_| !self.is_pending && self.move_at.is_none()).map(|wait| self.last + wait);
        lookup.or(self.move_at)
    }

    /// Returns whether to begin a lookup now, and notes it.
    pub(super) fn starts_lookup(&mut self, now: MonoTime) -> bool {
        let is_due = self.move_at.is_none() && self.due().is_some_and(|due| due <= now);
        if is_due {
            (self.is_pending, self.last) = (true, now);
        }
        is_due
    }

    /// Notes that the lookup has ended, and whether the name has `moved`. The replies to requests
    /// in flight may then take so long.
    pub(super) fn ended(&mut self, moved: bool, now: MonoTime, wait: Duration) {
        self.is_pending = false;
        self.move_at = moved.then_some(now + wait);
    }

    /// Returns whether to move now, and notes it: if there is another address, and no reply from
    /// the present one is awaited any more.
    pub(super) fn moves(&mut self, now: MonoTime, in_flight: usize) -> bool {
        let is_late = |at: MonoTime| in_flight == 0 || self.is_losing() || at <= now;
        let moves = self.move_at.is_some_and(is_late);
        if moves {
            (self.move_at, self.lost_in_a_row) = (None, 0);
        }
        moves
    }

    fn is_losing(&self) -> bool {
        LOST_IN_A_ROW <= self.lost_in_a_row
    }
}

/// Returns whether a name that has these addresses no longer has the one in use. A name server may
/// return addresses in any order, so an address that is still there stays in use.
pub(super) fn has_moved(current: &Address, found: &Candidates) -> bool {
    let mut found = found.addresses().peekable();
    found.peek().is_some() && !found.any(|address| address == current)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(2);

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lookup_is_due_at_intervals() {
        let mut schedule = ResolveSchedule::new(Some(Duration::from_secs(60)), at(100));
        assert_eq!(schedule.due(), Some(at(160)));
        assert!(!schedule.starts_lookup(at(159)) && schedule.starts_lookup(at(161)));
        assert_eq!(schedule.due(), None);
        assert!(!schedule.starts_lookup(at(300)));
        schedule.ended(false, at(301), WAIT);
        assert_eq!(schedule.due(), Some(at(221)));
        assert!(!schedule.moves(at(400), 0));
        assert_eq!(ResolveSchedule::new(None, at(100)).due(), None);
    }

    #[test]
    fn ten_losses_in_a_row_bring_a_lookup_forward() {
        let mut schedule = ResolveSchedule::new(None, at(100));
        (0..9).for_each(|_| schedule.lost());
        assert_eq!(schedule.due(), None);
        schedule.replied();
        (0..9).for_each(|_| schedule.lost());
        assert_eq!(schedule.due(), None);
        schedule.lost();
        assert_eq!(schedule.due(), Some(at(105)));
        // Another lookup follows as long as requests are lost, but not sooner than in 5 seconds.
        assert!(schedule.starts_lookup(at(107)));
        schedule.ended(false, at(108), WAIT);
        assert_eq!(schedule.due(), Some(at(112)));
        schedule.replied();
        assert_eq!(schedule.due(), None);
        // A shorter interval counts.
        let mut often = ResolveSchedule::new(Some(Duration::from_secs(1)), at(100));
        (0..10).for_each(|_| often.lost());
        assert_eq!(often.due(), Some(at(101)));
    }

    #[test]
    fn a_move_waits_for_replies_unless_requests_are_lost() {
        let moved = || {
            let mut schedule = ResolveSchedule::new(Some(Duration::from_secs(60)), at(100));
            assert!(schedule.starts_lookup(at(160)));
            schedule.ended(true, at(161), WAIT);
            schedule
        };
        let mut schedule = moved();
        assert_eq!(schedule.due(), Some(at(163)));
        assert!(!schedule.moves(at(162), 3) && !schedule.starts_lookup(at(400)));
        assert!(schedule.moves(at(162), 0) && !schedule.moves(at(162), 0));
        assert_eq!(schedule.due(), Some(at(220)));
        assert!(moved().moves(at(163), 3));
        let mut schedule = moved();
        (0..10).for_each(|_| schedule.lost());
        assert!(schedule.moves(at(162), 3));
        assert_eq!(schedule.due(), Some(at(220)));
    }
}
