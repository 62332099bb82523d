//! The exchanges of a load that makes a connection for each message: how many there are at a time, and
//! when each ends.

use std::collections::VecDeque;
use std::time::Duration;

/// A connection, one message over it, and the reply. Times are since the start of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    /// The number of the message.
    pub(super) number: u64,
    /// The size of the message in bytes.
    pub(super) len: usize,
    pub(super) due: Duration,
    /// When connecting began.
    pub(super) started: Duration,
    /// When the connection was established; `None` until then.
    pub(super) established: Option<Duration>,
}

impl Exchange {
    /// Returns when the present part is given up: each of connecting and replying may take `timeout`.
    fn ends(&self, timeout: Duration) -> Duration {
        self.established.unwrap_or(self.started).saturating_add(timeout)
    }
}

/// The exchanges of one thread, each in a slot.
#[derive(Debug)]
pub(super) struct Slots {
    exchanges: Vec<Option<Exchange>>,
    /// Slots without an exchange, and since when. The one that has been idle longest is the first.
    idle: VecDeque<(usize, Duration)>,
    timeout: Duration,
}

impl Slots {
    pub(super) fn new(count: usize, timeout: Duration) -> Self {
        let idle = (0..count).map(|slot| (slot, Duration::ZERO)).collect();
        Self { exchanges: vec![None; count], idle, timeout }
    }

    /// Returns the number of slots.
    pub(super) fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Returns the number of slots without an exchange.
    pub(super) fn idle_count(&self) -> usize {
        self.idle.len()
    }

    /// Returns the exchange in a slot.
    pub(super) fn get(&self, slot: usize) -> Option<Exchange> {
        self.exchanges.get(slot).copied().flatten()
    }

    /// Begins an exchange in the slot that has been idle longest. Returns the slot, and when the
    /// exchange could have begun: when it was due, or when the slot became idle if that was later.
    pub(super) fn begin(&mut self, exchange: Exchange) -> Option<(usize, Duration)> {
        let (slot, since) = self.idle.pop_front()?;
        self.exchanges[slot] = Some(exchange);
        Some((slot, exchange.due.max(since)))
    }

    /// Notes that the connection in a slot is established. Returns the exchange, or `None` if it was
    /// established before.
    pub(super) fn establish(&mut self, slot: usize, now: Duration) -> Option<Exchange> {
        let exchange = self.exchanges.get_mut(slot)?.as_mut()?;
        if exchange.established.is_some() {
            return None;
        }
        exchange.established = Some(now);
        Some(*exchange)
    }

    /// Ends the exchange in a slot, if there is one.
    pub(super) fn end(&mut self, slot: usize, now: Duration) {
        if self.exchanges.get_mut(slot).is_some_and(|exchange| exchange.take().is_some()) {
            self.idle.push_back((slot, now));
        }
    }

    /// Returns the first slot from `from` on whose exchange has taken too long, and the exchange.
    pub(super) fn next_expired(&self, from: usize, now: Duration) -> Option<(usize, Exchange)> {
        let mut taken = self.exchanges.iter().enumerate().skip(from);
        taken.find_map(|(slot, exchange)| {
            exchange.filter(|exchange| exchange.ends(self.timeout) < now).map(|exchange| (slot, exchange))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn exchange(number: u64, due: u64, started: u64) -> Exchange {
        Exchange { number, len: 64, due: at(due), started: at(started), established: None }
    }

    #[test]
    fn waiting_for_a_slot_is_no_delay_of_the_generator() {
        let mut slots = Slots::new(2, at(100));
        assert_eq!(slots.begin(exchange(0, 5, 6)), Some((0, at(5))));
        assert_eq!(slots.begin(exchange(1, 7, 7)), Some((1, at(7))));
        assert_eq!((slots.begin(exchange(2, 8, 8)), slots.idle_count()), (None, 0));
        slots.end(1, at(20));
        slots.end(0, at(30));
        // It was due at 8 ms, and no slot was idle before 20 ms.
        assert_eq!(slots.begin(exchange(2, 8, 31)), Some((1, at(20))));
        // A slot without an exchange does not become idle twice.
        slots.end(0, at(32));
        assert_eq!(slots.begin(exchange(3, 33, 34)), Some((0, at(33))));
        assert_eq!(slots.idle_count(), 0);
    }

    #[test]
    fn connecting_and_replying_may_each_take_the_timeout() {
        let mut slots = Slots::new(2, at(100));
        slots.begin(exchange(0, 0, 10)).unwrap();
        slots.begin(exchange(1, 0, 10)).unwrap();
        assert_eq!(slots.next_expired(0, at(110)), None);
        let established = slots.establish(1, at(60)).unwrap();
        assert_eq!((established.number, established.established), (1, Some(at(60))));
        assert_eq!(slots.establish(1, at(61)), None);
        assert_eq!(slots.next_expired(0, at(111)), Some((0, exchange(0, 0, 10))));
        assert_eq!(slots.next_expired(1, at(160)), None);
        assert_eq!(slots.next_expired(1, at(161)), Some((1, established)));
        slots.end(1, at(161));
        assert_eq!((slots.next_expired(1, at(999)), slots.get(1)), (None, None));
    }
}
