//! Properties of the table of requests in flight: it does what a table without memory limits of its
//! own would do.

use std::collections::BTreeMap;

use echosounder_proto::{InFlight, Match};

use super::script::Script;

/// Holes that may stand between the requests in flight.
const HOLES_MAX: usize = 1024;

/// Reads the input as a script: how many requests are remembered, and what happens to the table.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let remembered = script.byte() % 8;
    let mut table = InFlight::new(remembered);
    let mut model = Model { remembered: remembered.max(1), ..Model::default() };
    while !script.0.is_empty() {
        let (step, number) = (script.byte() % 8, script.byte() as u64);
        take_step(&mut table, &mut model, step, number);
        check(&table, &model);
    }
}

#[derive(Default)]
struct Model {
    remembered: usize,
    in_flight: BTreeMap<u64, u64>,
    /// `None` for a number that was never sent.
    given_up: BTreeMap<u64, Option<u64>>,
    inserted: Option<(u64, u64)>,
    forgotten: Option<u64>,
}

fn take_step(table: &mut InFlight<u64>, model: &mut Model, step: usize, number: u64) {
    let next = model.inserted.map_or(number, |(_, last)| last + 1 + number % 3);
    match step {
        0 | 1 => {
            table.insert(next, next * 10);
            model.note(next);
            model.in_flight.insert(next, next * 10);
        }
        2 => {
            table.insert_unsent(next);
            model.note(next);
            model.remember(next, None);
        }
        3 => assert_eq!(table.take(number), model.take(number)),
        4 => assert_eq!(table.take_first(), model.in_flight.pop_first()),
        5 => assert_eq!(table.take_back_last(), model.take_back_last()),
        6 => {
            let given_up = model.in_flight.remove(&number);
            assert_eq!(table.give_up(number).copied(), given_up);
            if given_up.is_some() {
                model.remember(number, given_up);
            }
        }
        _ => {
            let oldest = model.given_up.pop_first();
            model.forgotten = model.forgotten.max(oldest.map(|(number, _)| number));
            assert_eq!(table.forget_oldest(), oldest.and_then(|(_, record)| record));
        }
    }
}

impl Model {
    fn note(&mut self, number: u64) {
        let first = self.inserted.map_or(number, |(first, _)| first);
        self.inserted = Some((first, number));
    }

    fn remember(&mut self, number: u64, record: Option<u64>) {
        while self.remembered <= self.given_up.len() {
            let oldest = self.given_up.pop_first().map(|(number, _)| number);
            self.forgotten = self.forgotten.max(oldest);
        }
        self.given_up.insert(number, record);
    }

    fn take(&mut self, number: u64) -> Match<u64> {
        if let Some(record) = self.in_flight.remove(&number) {
            return Match::InTime(record);
        }
        match self.given_up.get(&number) {
            Some(None) => return Match::Unexpected,
            Some(Some(record)) => {
                let record = *record;
                self.given_up.remove(&number);
                return Match::Late(record);
            }
            None => {}
        }
        let is_inserted = self.inserted.is_some_and(|(first, last)| (first..=last).contains(&number));
        let is_forgotten = self.forgotten.is_some_and(|forgotten| number <= forgotten);
        if is_inserted && !is_forgotten { Match::Duplicate } else { Match::Unexpected }
    }

    fn take_back_last(&mut self) -> Option<(u64, u64)> {
        let (first, last) = self.inserted?;
        let record = self.in_flight.remove(&last)?;
        self.inserted = (first < last).then(|| (first, last - 1));
        Some((last, record))
    }
}

fn check(table: &InFlight<u64>, model: &Model) {
    assert_eq!((table.len(), table.is_empty()), (model.in_flight.len(), model.in_flight.is_empty()));
    assert!(table.iter().eq(model.in_flight.iter().map(|(number, record)| (*number, record))));
    assert_eq!(table.first(), model.in_flight.first_key_value().map(|(number, record)| (*number, record)));
    let given_up = model.given_up.iter().filter_map(|(number, record)| Some((*number, record.as_ref()?)));
    assert!(table.given_up().eq(given_up));
    let entries = table.memory_bytes() / size_of::<(u64, Option<u64>)>();
    assert!(entries <= 2 * table.len() + HOLES_MAX, "memory is bounded by the requests in flight");
}
