//! The laws of the table of requests in flight.

use std::collections::BTreeMap;

use echosounder_proto::{InFlight, Match};
use echosounder_testkit::Random;
use proptest::collection::vec;
use proptest::prelude::*;

/// A table with the requests of these numbers in flight, each with ten times its number as record.
fn in_flight(numbers: impl IntoIterator<Item = u64>) -> InFlight<u64> {
    let mut table = InFlight::new(64);
    numbers.into_iter().for_each(|number| table.insert(number, number * 10));
    table
}

#[test]
fn each_request_matches_once_in_any_order() {
    let mut random = Random::new(5);
    let mut numbers: Vec<u64> = (0..5000).map(|number| number * 3).collect();
    let mut table = in_flight(numbers.clone());
    for place in (1..numbers.len()).rev() {
        numbers.swap(place, usize::try_from(random.next_u64() % (place as u64 + 1)).unwrap());
    }
    for &number in &numbers {
        assert_eq!(table.take(number), Match::InTime(number * 10));
        assert_eq!(table.take(number), Match::Duplicate);
    }
    assert!(table.is_empty());
    assert_eq!((table.len(), table.memory_bytes()), (0, 0));
}

#[test]
fn a_request_that_was_given_up_matches_as_late_once() {
    let mut table = in_flight([2, 4, 6]);
    assert_eq!(table.expire(|record| *record < 20), None);
    assert_eq!(table.expire(|record| *record < 50), Some((2, &mut 20)));
    *table.expire(|record| *record < 50).unwrap().1 += 1;
    assert_eq!(table.expire(|record| *record < 50), None);
    assert_eq!(table.take(4), Match::Late(41));
    assert_eq!(table.take(4), Match::Duplicate);
    assert_eq!(table.take(6), Match::InTime(60));
    assert_eq!(table.take(2), Match::Late(20));
    assert_eq!(table.take(1), Match::Unexpected);
    assert_eq!(table.take(7), Match::Unexpected);
}

#[test]
fn a_reply_to_an_unsent_request_is_unexpected() {
    let mut table = in_flight([1]);
    table.insert_unsent(2);
    table.insert(3, 30);
    assert_eq!(table.take(2), Match::Unexpected);
    assert_eq!(table.take(2), Match::Unexpected);
    assert_eq!(table.get(2), None);
    assert_eq!(table.give_up(2), None);
    assert_eq!(table.iter().collect::<Vec<_>>(), [(1, &10), (3, &30)]);
}

#[test]
fn a_request_that_was_taken_back_may_be_inserted_again() {
    let mut table = in_flight([1, 2]);
    assert_eq!(table.take_back_last(), Some((2, 20)));
    assert_eq!(table.take(2), Match::Unexpected);
    table.insert(2, 21);
    assert_eq!(table.take(2), Match::InTime(21));
    assert_eq!(table.take_back_last(), None);
    assert_eq!(table.take_first(), Some((1, 10)));
    assert_eq!(table.take_first(), None);
}

#[test]
fn a_request_that_is_forgotten_is_unexpected() {
    let mut table = InFlight::new(2);
    for number in 1..=4 {
        table.insert(number, ());
    }
    for number in [2, 1, 3] {
        assert!(table.give_up(number).is_some());
    }
    assert_eq!(table.take(1), Match::Unexpected);
    assert_eq!(table.take(2), Match::Late(()));
    assert_eq!(table.forget_oldest(), Some(()));
    assert_eq!((table.take(3), table.take(4)), (Match::Unexpected, Match::InTime(())));
    assert_eq!(table.forget_oldest(), None);
}

#[test]
fn a_lost_request_does_not_keep_the_entries_of_later_ones() {
    let mut table = in_flight([0]);
    for number in 1..100_000 {
        table.insert(number, 0);
        assert_eq!(table.take(number), Match::InTime(0));
    }
    assert!(table.memory_bytes() < 100_000, "{}", table.memory_bytes());
    assert_eq!(table.take_first(), Some((0, 0)));
}

/// The bytes of so many entries.
fn entries(count: usize) -> usize {
    count * size_of::<(u64, Option<u64>)>()
}

#[test]
fn entries_of_replied_requests_are_removed_when_they_exceed_those_in_flight_by_1024() {
    let mut table = in_flight(0..5000);
    for number in 1..=3012 {
        assert_eq!(table.take(number), Match::InTime(number * 10));
        assert_eq!(table.memory_bytes(), entries(5000), "{number}: to move the others takes time");
    }
    assert_eq!((table.take(3013), table.len()), (Match::InTime(30_130), 1987));
    assert_eq!(table.memory_bytes(), entries(1987));
}

#[test]
fn numbers_that_do_not_grow_are_ignored() {
    let mut table = in_flight([5, 5, 3]);
    table.insert_unsent(5);
    table.insert_unsent(4);
    assert_eq!(table.iter().collect::<Vec<_>>(), [(5, &50)]);
    assert_eq!((table.take(3), table.take(5)), (Match::Unexpected, Match::InTime(50)));
}

/// The state of a request in the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    InFlight,
    GivenUp,
    Replied,
    Unsent,
}

proptest! {
    /// After any operations in any order, the table matches as a map of all requests does.
    #[test]
    fn it_matches_as_a_table_of_all_requests_would(
        step in 1..5_u64,
        actions in vec((0..8_u8, any::<u16>()), 0..200),
    ) {
        let (mut table, mut all) = (InFlight::new(1000), BTreeMap::new());
        let mut next = 7;
        for (action, choice) in actions {
            let number = 7 + u64::from(choice) % (next - 6) / step * step;
            let first = all.iter().find(|(_, state)| **state == State::InFlight).map(|(number, _)| *number);
            match action {
                0..=3 => {
                    table.insert(next, next);
                    all.insert(next, State::InFlight);
                    next += step;
                }
                4 => {
                    table.insert_unsent(next);
                    all.insert(next, State::Unsent);
                    next += step;
                }
                5 => {
                    let expected = all.get(&number) == Some(&State::InFlight);
                    prop_assert_eq!(table.give_up(number).is_some(), expected);
                    if expected {
                        all.insert(number, State::GivenUp);
                    }
                }
                6 => {
                    let even = |record: &u64| record % 2 == 0;
                    let expired = table.expire(even).map(|(number, _)| number);
                    prop_assert_eq!(expired, first.filter(even));
                    all.extend(expired.map(|number| (number, State::GivenUp)));
                }
                _ => {
                    let expected = match all.get(&number) {
                        Some(State::InFlight) => Match::InTime(number),
                        Some(State::GivenUp) => Match::Late(number),
                        Some(State::Replied) => Match::Duplicate,
                        Some(State::Unsent) | None => Match::Unexpected,
                    };
                    prop_assert_eq!(table.take(number), expected);
                    if matches!(expected, Match::InTime(_) | Match::Late(_)) {
                        all.insert(number, State::Replied);
                    }
                }
            }
            let in_flight = |wanted| move |(number, state): (&u64, &State)| (*state == wanted).then_some(*number);
            prop_assert_eq!(
                table.iter().map(|(number, _)| number).collect::<Vec<_>>(),
                all.iter().filter_map(in_flight(State::InFlight)).collect::<Vec<_>>()
            );
            prop_assert_eq!(
                table.given_up().map(|(number, _)| number).collect::<Vec<_>>(),
                all.iter().filter_map(in_flight(State::GivenUp)).collect::<Vec<_>>()
            );
            prop_assert_eq!(table.len(), table.iter().count());
            prop_assert_eq!(table.first().map(|(number, _)| number), table.iter().next().map(|(number, _)| number));
        }
    }
}
