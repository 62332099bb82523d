//! The result of a load as every format shows it.

use std::time::Duration;

use echosounder_client::{Distribution, LoadOptions, LoadReport, Step};
use jiff::ZonedDateTime;

/// Fewer replies than these would show the cost of connecting rather than of a message.
const COST_FROM: u64 = 1000;

/// The result of a load, or of the part that has been measured so far.
pub(crate) struct Summary<'a> {
    pub(crate) load: &'a LoadOptions,
    pub(crate) report: &'a LoadReport,
    /// When the command began.
    pub(crate) started: &'a ZonedDateTime,
    /// The rates that a ramp has tried, in their order. The report is that of the highest rate that
    /// held.
    pub(crate) steps: &'a [TriedRate],
    /// The CPU time of the server that `--self` started.
    pub(crate) server_cpu: Option<Duration>,
}

impl Summary<'_> {
    /// Returns the CPU time of the server per message in nanoseconds, connecting and warm-up
    /// included.
    pub(crate) fn server_cpu_per_message(&self) -> Option<f64> {
        let answered = self.report.answered_total;
        let cpu = self.server_cpu.filter(|_| COST_FROM <= answered)?;
        Some(cpu.as_nanos() as f64 / answered as f64)
    }

    /// Returns the distributions that are not empty, and their names. The first is the latency.
    pub(crate) fn times(&self) -> Vec<(&'static str, &Distribution)> {
        let report = self.report;
        let parts = report.exchanges.iter();
        let parts = parts.flat_map(|parts| [("connect", &parts.connect), ("reply", &parts.reply)]);
        let all = [("latency", &report.latency)].into_iter().chain(parts);
        let all = all.chain([("send delay", &report.send_delay)]);
        all.filter(|(_, times)| !times.is_empty()).collect()
    }

    /// Returns when the measurement began, which is known unless it was a step of a ramp.
    pub(crate) fn measured_from(&self) -> Option<ZonedDateTime> {
        self.started.checked_add(self.load.warm_up).ok().filter(|_| self.steps.is_empty())
    }
}

/// A rate that a ramp has tried, without the distribution of its latency.
#[derive(Clone, Debug)]
pub(crate) struct TriedRate {
    /// Messages per second that the step asked for.
    pub(crate) rate: f64,
    /// Messages answered per second.
    pub(crate) answered: f64,
    /// The median latency in nanoseconds, if the sample carries one.
    pub(crate) p50: Option<i64>,
    /// The 99th percentile of the latency in nanoseconds, or the maximum of a small sample.
    pub(crate) p99_or_max: Option<Duration>,
    pub(crate) held: bool,
    /// Whether and why not the rate held, in words.
    pub(crate) verdict: String,
}

impl TriedRate {
    /// Returns the step with the verdict that `limit`, the limit of the 99th percentile, leads to.
    pub(crate) fn new(step: &Step, limit: Duration) -> Self {
        Self {
            rate: step.rate,
            answered: step.report.rate(),
            p50: step.report.latency.percentile(50.0),
            p99_or_max: step.report.p99_or_max(),
            held: step.held,
            verdict: crate::render::prose::step(step, limit),
        }
    }
}
