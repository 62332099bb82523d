//! The highest rate that keeps delay under a bound: found by doubling, then by halving what is left.

use std::time::Duration;

use crate::load::{Interval, Load, LoadError, Report, load};
use crate::pace::{Pace, Spacing};

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
    /// What came of it.
    pub report: Report,
    /// Whether it kept to the bound, with nothing lost, late or wrong and at the rate that was asked.
    pub holds: bool,
}

/// Finds the highest rate whose 99th percentile stays within `bound`. Each step is a load of its own, as long as
/// `plan` says; `tell` is told each, and when it says `false` no other is tried. The highest that held is returned.
///
/// # Errors
///
/// As [`load`](fn@load).
pub fn ramp(
    plan: &Load,
    spacing: Spacing,
    bound: Duration,
    mut watch: impl FnMut(Interval) -> bool,
    mut tell: impl FnMut(&Step) -> bool,
) -> Result<Option<Step>, LoadError> {
    let (mut held, mut broke): (Option<Step>, Option<f64>) = (None, None);
    let mut rate = FIRST;
    for _ in 0..STEPS_MAX {
        let report = load(&Load { pace: Pace::Open { rate, spacing }, ..plan.clone() }, &mut watch)?;
        let holds = holds(&report, rate, bound);
        let step = Step { rate, report, holds };
        let goes_on = tell(&step);
        if holds {
            held = Some(step);
        } else {
            broke = Some(rate);
        }
        let low = held.as_ref().map_or(0.0, |step| step.rate);
        rate = match broke {
            None => rate * 2.0,
            Some(high) if low == 0.0 => high / 2.0,
            Some(high) if high / low < NEAR => break,
            Some(high) => (low * high).sqrt(),
        };
        if !goes_on || rate < 1.0 {
            break;
        }
    }
    Ok(held)
}

/// Whether a server kept up. Of a load that could not itself keep the pace nobody can tell.
fn holds(report: &Report, rate: f64, bound: Duration) -> bool {
    let tally = &report.tally;
    let all_right = tally.lost() == 0 && tally.late == 0 && tally.wrong == 0 && tally.unsent == 0;
    let kept_pace = 0.95 * rate <= report.rate();
    all_right && kept_pace && report.percentile(99.0).is_some_and(|p99| p99 <= bound)
}
