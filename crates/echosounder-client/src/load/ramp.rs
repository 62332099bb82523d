//! The search for the highest rate at which a server keeps a latency bound.

use std::time::Duration;

use super::error::LoadError;
use super::options::LoadOptions;
use super::pace::{Pace, Spacing};
use super::progress::{LoadEvent, LoadInterval};
use super::report::LoadReport;
use super::run::load;

/// The first rate that is tried, in messages per second.
const FIRST_RATE: f64 = 1000.0;

/// The search ends when the highest rate that met the bound and the lowest that did not differ by
/// less than this factor.
const PRECISION: f64 = 1.05;

/// The maximum number of rates that are tried.
const STEPS_MAX: usize = 32;

/// The minimum share of a rate at which replies must arrive.
const KEPT_RATE_MIN: f64 = 0.95;

/// The options of a [`ramp`](fn@ramp).
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RampOptions {
    /// The bound of the 99th percentile of the latency.
    pub p99_max: Duration,
    /// The intervals between messages.
    pub spacing: Spacing,
}

impl RampOptions {
    /// Returns the options of a ramp that keeps the 99th percentile of the latency within `p99_max`,
    /// with equal intervals between messages.
    pub fn new(p99_max: Duration) -> Self {
        Self { p99_max, spacing: Spacing::Even }
    }

    /// Sets the intervals between messages.
    #[must_use]
    pub fn spacing(self, spacing: Spacing) -> Self {
        Self { spacing, ..self }
    }
}

/// An event of a running ramp.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Debug)]
#[non_exhaustive]
pub enum RampEvent<'a> {
    /// A second of a step has passed.
    Interval(LoadInterval),
    /// A rate was tried.
    Step(&'a Step),
}

/// A rate that was tried.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step {
    /// Messages per second.
    pub rate: f64,
    /// The report of the load at this rate.
    pub report: LoadReport,
    /// Whether the server met the bound: its replies arrived at this rate, and none was lost, late
    /// or unexpected.
    pub held: bool,
}

/// Finds the highest rate at which the server meets the bound of `options`, and returns its step;
/// `None` if no rate met the bound. Each step is a load with the other options of `plan`.
///
/// # Errors
///
/// As [`load`](fn@load).
///
/// [`LoadOptions`] has an example.
pub fn ramp(
    plan: &LoadOptions,
    options: RampOptions,
    mut on_event: impl FnMut(RampEvent<'_>),
) -> Result<Option<Step>, LoadError> {
    let RampOptions { p99_max, spacing } = options;
    let mut best = None;
    let mut search = Search::default();
    // Fewer than a hundred messages have no 99th percentile.
    let lowest = plan.duration.map_or(1.0, |duration| 100.0 / duration.as_secs_f64().max(1e-9));
    while let Some(rate) = search.next().filter(|rate| lowest <= *rate) {
        let plan = LoadOptions { pace: Pace::Open { rate, spacing }, checkpoint_every: None, ..plan.clone() };
        let report = load(&plan, |event| match event {
            LoadEvent::Interval(interval) => on_event(RampEvent::Interval(interval)),
            LoadEvent::Checkpoint(_) => {}
        })?;
        if plan.stop.is_stopped() {
            // The step did not take its whole time.
            break;
        }
        let step = Step { rate, held: meets_bound(&report, rate, p99_max), report };
        on_event(RampEvent::Step(&step));
        // A server that did not reply at this rate will not reply at a lower one.
        if best.is_none()
            && let Some(failure) = step.report.failure()
        {
            return Err(failure);
        }
        search.learn(rate, step.held);
        if step.held {
            best = Some(step);
        }
    }
    Ok(best)
}

/// A search that doubles or halves the rate until it has a rate on either side of the limit, and
/// then halves the distance.
#[derive(Debug, Default)]
struct Search {
    steps: usize,
    /// The highest rate that met the bound.
    held: Option<f64>,
    /// The lowest rate that did not.
    broke: Option<f64>,
}

impl Search {
    /// Returns the rate to try next; `None` if the search is over.
    fn next(&self) -> Option<f64> {
        let rate = match (self.held, self.broke) {
            (None, None) => FIRST_RATE,
            (Some(held), None) => held * 2.0,
            (None, Some(broke)) => broke / 2.0,
            (Some(held), Some(broke)) if broke / held < PRECISION => return None,
            (Some(held), Some(broke)) => (held * broke).sqrt(),
        };
        (self.steps < STEPS_MAX).then_some(rate)
    }

    fn learn(&mut self, rate: f64, held: bool) {
        self.steps += 1;
        *(if held { &mut self.held } else { &mut self.broke }) = Some(rate);
    }
}

/// Returns whether the server met the bound. A rate that the generator itself could not send does
/// not count as met.
fn meets_bound(report: &LoadReport, rate: f64, p99_max: Duration) -> bool {
    let counts = &report.counts;
    let is_complete = counts.lost() == 0
        && counts.late == 0
        && counts.unexpected == 0
        && counts.skipped == 0
        && counts.connections_closed == 0;
    let keeps_rate = KEPT_RATE_MIN * rate <= report.rate();
    is_complete && keeps_rate && report.p99_or_max().is_some_and(|p99| p99 <= p99_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the rate that is found on a server that meets the bound up to `limit`, and how many
    /// rates are tried.
    fn search(limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::default();
        while let Some(rate) = search.next() {
            search.learn(rate, rate <= limit);
        }
        (search.held, search.steps)
    }

    #[test]
    fn search_finds_the_limit_from_either_side() {
        for limit in [3.0, 999.0, 1000.0, 1001.0, 123_456.0, 10_000_000.0] {
            let (held, steps) = search(limit);
            let held = held.unwrap();
            assert!(held <= limit && limit < held * PRECISION, "{limit}: {held}");
            assert!(steps < STEPS_MAX, "{limit}: {steps}");
        }
    }

    #[test]
    fn search_ends_for_any_outcomes() {
        assert_eq!(search(0.0), (None, STEPS_MAX));
        assert_eq!(search(f64::INFINITY).1, STEPS_MAX);
        let mut fickle = Search::default();
        while let Some(rate) = fickle.next() {
            fickle.learn(rate, fickle.steps % 3 != 1);
        }
        assert!(fickle.steps <= STEPS_MAX);
    }
}
