//! The highest rate that keeps delay under a bound: found by doubling, then by halving what is left.

use std::time::Duration;

use super::error::LoadError;
use super::options::Load;
use super::pace::{Pace, Spacing};
use super::progress::{LoadEvent, LoadInterval};
use super::report::LoadReport;
use super::run::load;

/// The first rate that is tried, in messages a second.
const FIRST: f64 = 1000.0;

/// How near the highest rate that held and the lowest that did not are to each other in the end.
const NEAR: f64 = 1.05;

/// Most rates that are tried.
const STEPS_MAX: usize = 32;

/// A rate that was tried.
#[derive(Debug)]
pub struct Step {
    /// Messages a second.
    pub rate: f64,
    /// What rx_times of it.
    pub report: LoadReport,
    /// Whether it kept to the bound, with nothing lost, late or wrong and at the rate that was asked.
    pub holds: bool,
}

/// Finds the highest rate whose 99th percentile stays within `bound`. Each step is a load of its own, as long as
/// `plan` says; `tell` is told each. The highest that held is returned.
///
/// # Errors
///
/// As [`load`](fn@load).
pub fn ramp(
    plan: &Load,
    spacing: Spacing,
    bound: Duration,
    mut watch: impl FnMut(LoadInterval),
    mut tell: impl FnMut(&Step),
) -> Result<Option<Step>, LoadError> {
    let mut best = None;
    let mut search = Search::default();
    // Of fewer than a hundred messages there is no 99th percentile.
    let lowest = plan.duration.map_or(1.0, |duration| 100.0 / duration.as_secs_f64().max(1e-9));
    while let Some(rate) = search.next().filter(|rate| lowest <= *rate) {
        let plan = Load { pace: Pace::Open { rate, spacing }, checkpoint_every: None, ..plan.clone() };
        let report = load(&plan, |event| match event {
            LoadEvent::Interval(interval) => watch(interval),
            LoadEvent::Checkpoint(_) => {}
        })?;
        if plan.stop.is_stopped() {
            // It was not tried to the end.
            break;
        }
        let step = Step { rate, holds: holds(&report, rate, bound), report };
        tell(&step);
        // A peer that has answered nothing at any rate will not at a lower one.
        if best.is_none()
            && let Some(failure) = step.report.failure(plan.connections)
        {
            return Err(failure);
        }
        search.learn(rate, step.holds);
        if step.holds {
            best = Some(step);
        }
    }
    Ok(best)
}

/// The search for the highest rate that holds.
#[derive(Debug, Default)]
struct Search {
    steps: usize,
    /// The highest that held.
    held: Option<f64>,
    /// The lowest that did not.
    broke: Option<f64>,
}

impl Search {
    /// The rate to try next; `None` if it would tell nothing new.
    fn next(&self) -> Option<f64> {
        let rate = match (self.held, self.broke) {
            (None, None) => FIRST,
            (Some(held), None) => held * 2.0,
            (None, Some(broke)) => broke / 2.0,
            (Some(held), Some(broke)) if broke / held < NEAR => return None,
            (Some(held), Some(broke)) => (held * broke).sqrt(),
        };
        (self.steps < STEPS_MAX).then_some(rate)
    }

    fn learn(&mut self, rate: f64, holds: bool) {
        self.steps += 1;
        *(if holds { &mut self.held } else { &mut self.broke }) = Some(rate);
    }
}

/// Whether a server kept up. Of a load that could not itself keep the pace nobody can tell.
fn holds(report: &LoadReport, rate: f64, bound: Duration) -> bool {
    let counts = &report.counts;
    let all_right = counts.lost() == 0
        && counts.late == 0
        && counts.unexpected == 0
        && counts.unsent == 0
        && counts.closed == 0;
    let kept_pace = 0.95 * rate <= report.rate();
    all_right && kept_pace && report.p99_or_max().is_some_and(|p99| p99 <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found on a server that holds up to this rate, and how many rates are tried.
    fn search(limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::default();
        while let Some(rate) = search.next() {
            search.learn(rate, rate <= limit);
        }
        (search.held, search.steps)
    }

    #[test]
    fn the_highest_rate_that_holds_is_found_from_either_side() {
        for limit in [3.0, 999.0, 1000.0, 1001.0, 123_456.0, 10_000_000.0] {
            let (held, steps) = search(limit);
            let held = held.unwrap();
            assert!(held <= limit && limit < held * NEAR, "{limit}: {held}");
            assert!(steps < STEPS_MAX, "{limit}: {steps}");
        }
    }

    #[test]
    fn a_search_ends_whatever_it_learns() {
        assert_eq!(search(0.0), (None, STEPS_MAX));
        assert_eq!(search(f64::INFINITY).1, STEPS_MAX);
        let mut fickle = Search::default();
        while let Some(rate) = fickle.next() {
            fickle.learn(rate, fickle.steps % 3 != 1);
        }
        assert!(fickle.steps <= STEPS_MAX);
    }
}
