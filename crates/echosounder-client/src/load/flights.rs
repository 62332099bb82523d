//! What is under way on one connection.

use std::collections::VecDeque;
use std::time::Duration;

/// Those that were given up and can still be known, should they come after all.
const GIVEN_UP_MAX: usize = 4096;

/// A message that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flight {
    /// Each message of a thread has its own, and a later one a higher.
    pub(crate) number: u64,
    /// When it was to leave, since the start.
    pub(crate) due: Duration,
    pub(crate) len: usize,
}

/// What an answer turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The first to this message.
    Answer(Flight),
    /// The first to a message that was given up.
    Late(Flight),
    /// One to a message that had been answered before.
    Again,
}

/// The messages under way on one connection, in the order in which they were sent.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// `None` for what has come back before one that was sent earlier; never at the front. The numbers stand apart,
    /// so that one can be found by halving.
    line: VecDeque<(u64, Option<Flight>)>,
    /// How many of the line have not come back.
    count: usize,
    /// Their bytes.
    bytes: usize,
    given_up: VecDeque<Flight>,
}

impl Flights {
    /// The memory that they take, if their bytes are kept, too.
    pub(crate) fn weight(&self) -> usize {
        self.line.len() * size_of::<(u64, Option<Flight>)>() + self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn push(&mut self, flight: Flight) {
        self.count += 1;
        self.bytes += flight.len;
        self.line.push_back((flight.number, Some(flight)));
    }

    /// The one that was sent first is back.
    pub(crate) fn pop(&mut self) -> Option<Flight> {
        let flight = self.line.pop_front()?.1;
        self.left(flight);
        flight
    }

    /// The last was not sent after all.
    pub(crate) fn unsend(&mut self) -> Option<Flight> {
        let flight = self.line.pop_back()?.1;
        self.left(flight);
        flight
    }

    /// What the answer with this number is.
    pub(crate) fn take(&mut self, number: u64) -> Fate {
        if let Ok(place) = self.line.binary_search_by_key(&number, |(number, _)| *number)
            && let Some(flight) = self.line[place].1.take()
        {
            self.left(Some(flight));
            return Fate::Answer(flight);
        }
        match self.given_up.binary_search_by_key(&number, |flight| flight.number) {
            Ok(place) => self.given_up.remove(place).map_or(Fate::Again, Fate::Late),
            Err(_) => Fate::Again,
        }
    }

    /// The number and the length of the one that was sent first.
    pub(crate) fn first(&self) -> Option<(u64, usize)> {
        self.line.front().and_then(|(number, flight)| Some((*number, flight.as_ref()?.len)))
    }

    /// The length of the one with this number, if it has not come back.
    pub(crate) fn len(&self, number: u64) -> Option<usize> {
        let place = self.line.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.line[place].1.as_ref().map(|flight| flight.len)
    }

    /// Gives the first up if it was due before `at`.
    pub(crate) fn give_up(&mut self, at: Duration) -> Option<Flight> {
        let flight = self.line.front()?.1.filter(|flight| flight.due < at)?;
        self.line.pop_front();
        self.left(Some(flight));
        if self.given_up.len() == GIVEN_UP_MAX {
            self.given_up.pop_front();
        }
        self.given_up.push_back(flight);
        Some(flight)
    }

    fn left(&mut self, flight: Option<Flight>) {
        self.count -= usize::from(flight.is_some());
        self.bytes -= flight.map_or(0, |flight| flight.len);
        while self.line.pop_front_if(|(_, flight)| flight.is_none()).is_some() {}
        // One that is lost must not keep all that rx_times after it. Each of these was pushed once, so this costs each
        // of them a step or two.
        if 2 * self.count + 1024 < self.line.len() {
            self.line.retain(|(_, flight)| flight.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::pace::Random;

    fn flight(number: u64) -> Flight {
        Flight { number, due: Duration::from_millis(number), len: 10 }
    }

    fn flights(numbers: impl IntoIterator<Item = u64>) -> Flights {
        let mut flights = Flights::default();
        numbers.into_iter().for_each(|number| flights.push(flight(number)));
        flights
    }

    #[test]
    fn each_message_is_answered_once_in_whatever_order() {
        let mut random = Random::new(5);
        let mut numbers: Vec<u64> = (0..5000).map(|number| number * 3).collect();
        let mut flights = flights(numbers.clone());
        for place in (1..numbers.len()).rev() {
            numbers.swap(place, random.between(0, place));
        }
        for &number in &numbers {
            assert_eq!(flights.take(number), Fate::Answer(flight(number)));
            assert_eq!(flights.take(number), Fate::Again);
        }
        assert_eq!((flights.count, flights.weight()), (0, 0));
    }

    #[test]
    fn what_is_given_up_is_late_once_and_then_known() {
        let mut flights = flights([2, 4, 6]);
        assert_eq!(flights.give_up(Duration::from_millis(2)), None);
        assert_eq!(flights.give_up(Duration::from_millis(5)), Some(flight(2)));
        assert_eq!(flights.give_up(Duration::from_millis(5)), Some(flight(4)));
        assert_eq!(flights.give_up(Duration::from_millis(5)), None);
        assert_eq!(flights.take(4), Fate::Late(flight(4)));
        assert_eq!(flights.take(4), Fate::Again);
        assert_eq!(flights.take(3), Fate::Again);
        assert_eq!(flights.take(6), Fate::Answer(flight(6)));
        assert_eq!(flights.take(2), Fate::Late(flight(2)));
    }

    #[test]
    fn one_that_is_lost_does_not_keep_all_that_come_after_it() {
        let mut flights = flights([0]);
        for number in 1..100_000 {
            flights.push(flight(number));
            assert_eq!(flights.take(number), Fate::Answer(flight(number)));
        }
        assert!(flights.weight() < 200_000, "{}", flights.weight());
        assert_eq!(flights.pop(), Some(flight(0)));
    }

    #[test]
    fn what_was_not_sent_is_not_under_way() {
        let mut flights = flights([0, 1, 2]);
        assert_eq!(flights.unsend(), Some(flight(2)));
        assert_eq!((flights.pop(), flights.pop(), flights.pop()), (Some(flight(0)), Some(flight(1)), None));
    }
}
