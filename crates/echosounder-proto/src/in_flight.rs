//! The table of requests that have been sent and not been replied to.
//!
//! Ping, load and talk number their requests upwards, [insert](InFlight::insert) a record of each
//! when they send it, and [match](InFlight::take) the number in each reply. A request whose time is
//! up is [given up](InFlight::expire): it is remembered for a while, so that its reply counts as
//! late rather than as unexpected.

use alloc::collections::VecDeque;

/// Entries of replied requests that may stand between those in flight before they are removed at
/// once.
const HOLES_MIN: usize = 1024;

/// The relation of a reply to the requests, by the number that it contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match<R> {
    /// The first reply to a request in flight, which leaves the table.
    InTime(R),
    /// The first reply to a request that had been given up.
    Late(R),
    /// A further reply to a request that was replied to before.
    Duplicate,
    /// No request with this number was sent, or it was given up too long ago to be remembered.
    Unexpected,
}

/// Requests in flight in the order of their numbers, and the last ones that were given up.
///
/// `R` is the caller's record of a request. Numbers only grow, but need not be consecutive: those
/// between the first and the last inserted one count as inserted.
///
/// ```
/// use echosounder_proto::{InFlight, Match};
///
/// let mut in_flight = InFlight::new(64);
/// in_flight.insert(1, "one");
/// in_flight.insert(2, "two");
/// assert_eq!(in_flight.take(2), Match::InTime("two"));
/// assert_eq!(in_flight.take(2), Match::Duplicate);
/// assert_eq!(in_flight.expire(|_| true).map(|(number, _)| number), Some(1));
/// assert_eq!(in_flight.take(1), Match::Late("one"));
/// assert_eq!(in_flight.take(3), Match::Unexpected);
/// ```
#[derive(Clone, Debug)]
pub struct InFlight<R> {
    /// `None` for a request that left the table before an earlier one; never at either end.
    line: VecDeque<(u64, Option<R>)>,
    /// Requests in `line`, without the holes.
    count: usize,
    /// Requests that were given up; `None` for a number that was never sent.
    given_up: VecDeque<(u64, Option<R>)>,
    given_up_max: usize,
    /// The first and the last number that was inserted.
    inserted: Option<(u64, u64)>,
    /// The highest number of a given-up request that is no longer remembered.
    forgotten: Option<u64>,
}

impl<R> InFlight<R> {
    /// Creates an empty table that remembers up to `given_up_max` requests that were given up.
    pub const fn new(given_up_max: usize) -> Self {
        Self {
            line: VecDeque::new(),
            count: 0,
            given_up: VecDeque::new(),
            given_up_max,
            inserted: None,
            forgotten: None,
        }
    }

    /// Adds a request that was sent. Its number must be higher than all before; otherwise nothing
    /// happens.
    pub fn insert(&mut self, number: u64, record: R) {
        if self.note_number(number) {
            self.count += 1;
            self.line.push_back((number, Some(record)));
        }
    }

    /// Notes that the request with this number, higher than all before, will never be sent: a reply
    /// to it is unexpected.
    pub fn insert_unsent(&mut self, number: u64) {
        if self.note_number(number) {
            self.remember(number, None);
        }
    }

    fn note_number(&mut self, number: u64) -> bool {
        match &mut self.inserted {
            Some((_, last)) if number <= *last => return false,
            Some((_, last)) => *last = number,
            None => self.inserted = Some((number, number)),
        }
        true
    }

    /// Matches a reply that contains this number. A request that it is the first reply to leaves
    /// the table.
    pub fn take(&mut self, number: u64) -> Match<R> {
        if let Some(record) = self.remove(number) {
            return Match::InTime(record);
        }
        let Some(index) = self.given_up_index(number) else {
            return if self.is_replied(number) { Match::Duplicate } else { Match::Unexpected };
        };
        if self.given_up[index].1.is_none() {
            return Match::Unexpected;
        }
        let removed = self.given_up.remove(index);
        removed.and_then(|(_, record)| record).map_or(Match::Unexpected, Match::Late)
    }

    /// Takes the oldest request in flight out of the table, as replied to: on a stream replies come
    /// in the order of the requests.
    pub fn take_first(&mut self) -> Option<(u64, R)> {
        let (number, record) = self.line.pop_front()?;
        self.count -= 1;
        self.trim();
        record.map(|record| (number, record))
    }

    /// Takes the request that was inserted last out of the table, if it is in flight, because it
    /// was not sent after all. Its number may be inserted again.
    pub fn take_back_last(&mut self) -> Option<(u64, R)> {
        let (first, last) = self.inserted?;
        let (number, record) = if self.line.back()?.0 == last { self.line.pop_back()? } else { return None };
        self.count -= 1;
        self.inserted = (first < number).then(|| (first, number - 1));
        self.trim();
        record.map(|record| (number, record))
    }

    /// Gives the oldest request in flight up if `is_expired` returns `true` for it, and returns
    /// it. Call it until it returns `None`.
    pub fn expire(&mut self, is_expired: impl FnOnce(&R) -> bool) -> Option<(u64, &mut R)> {
        let (number, record) = self.first()?;
        if is_expired(record) { self.give_up(number).map(|record| (number, record)) } else { None }
    }

    /// Gives a request in flight up, and returns its record, in which the caller may note the
    /// reason. Returns `None` if the request is not in flight.
    pub fn give_up(&mut self, number: u64) -> Option<&mut R> {
        let record = self.remove(number)?;
        let index = self.remember(number, Some(record));
        self.given_up.get_mut(index)?.1.as_mut()
    }

    /// Inserts into the requests that were given up, and returns where. They may be given up in any
    /// order, but nearly always it is that of their numbers.
    fn remember(&mut self, number: u64, record: Option<R>) -> usize {
        while self.given_up_max.max(1) <= self.given_up.len() {
            self.forget_oldest();
        }
        let index = self.given_up.partition_point(|(other, _)| *other < number);
        self.given_up.insert(index, (number, record));
        index
    }

    /// Forgets the oldest request that was given up. A reply to it is unexpected from then on.
    pub fn forget_oldest(&mut self) -> Option<R> {
        let (number, record) = self.given_up.pop_front()?;
        self.forgotten = self.forgotten.max(Some(number));
        record
    }

    /// Returns the record of a request that is in flight or was given up.
    pub fn get(&self, number: u64) -> Option<&R> {
        if let Some(index) = self.index(number) {
            return self.line[index].1.as_ref();
        }
        self.given_up[self.given_up_index(number)?].1.as_ref()
    }

    /// Returns the record of a request that is in flight or was given up, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut R> {
        if let Some(index) = self.index(number) {
            return self.line[index].1.as_mut();
        }
        let index = self.given_up_index(number)?;
        self.given_up[index].1.as_mut()
    }

    /// Returns the oldest request in flight.
    pub fn first(&self) -> Option<(u64, &R)> {
        let (number, record) = self.line.front()?;
        record.as_ref().map(|record| (*number, record))
    }

    /// Returns the requests in flight, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &R)> {
        self.line.iter().filter_map(|(number, record)| record.as_ref().map(|record| (*number, record)))
    }

    /// Returns the requests that were given up and are remembered, the oldest first.
    pub fn given_up(&self) -> impl Iterator<Item = (u64, &R)> {
        self.given_up.iter().filter_map(|(number, record)| record.as_ref().map(|record| (*number, record)))
    }

    /// Returns how many requests are in flight.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns whether no request is in flight.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the bytes that the entries of the requests in flight take, without what their
    /// records point to.
    pub fn memory_bytes(&self) -> usize {
        self.line.len() * size_of::<(u64, Option<R>)>()
    }

    /// Whether a number that is neither in flight nor given up belongs to a request that was
    /// replied to.
    fn is_replied(&self, number: u64) -> bool {
        let is_inserted = self.inserted.is_some_and(|(first, last)| (first..=last).contains(&number));
        is_inserted && self.forgotten.is_none_or(|forgotten| forgotten < number)
    }

    fn remove(&mut self, number: u64) -> Option<R> {
        let index = self.index(number)?;
        let record = self.line[index].1.take()?;
        self.count -= 1;
        self.trim();
        Some(record)
    }

    /// Where the entry with this number is: at once if the numbers are consecutive, by halving
    /// otherwise.
    fn index(&self, number: u64) -> Option<usize> {
        let guess = usize::try_from(number.checked_sub(self.line.front()?.0)?).ok();
        match guess.and_then(|guess| Some((guess, self.line.get(guess)?))) {
            Some((guess, entry)) if entry.0 == number => Some(guess),
            _ => self.line.binary_search_by_key(&number, |(number, _)| *number).ok(),
        }
    }

    fn given_up_index(&self, number: u64) -> Option<usize> {
        self.given_up.binary_search_by_key(&number, |(number, _)| *number).ok()
    }

    /// Removes the holes at both ends, and all of them when they are many: a request that is lost
    /// must not keep the entries of all that were sent after it. Each entry was inserted once, so
    /// this costs a step or two for each.
    fn trim(&mut self) {
        let is_hole = |entry: Option<&(u64, Option<R>)>| entry.is_some_and(|(_, record)| record.is_none());
        while is_hole(self.line.front()) {
            self.line.pop_front();
        }
        while is_hole(self.line.back()) {
            self.line.pop_back();
        }
        if 2 * self.count + HOLES_MIN < self.line.len() {
            self.line.retain(|(_, record)| record.is_some());
        }
    }
}
