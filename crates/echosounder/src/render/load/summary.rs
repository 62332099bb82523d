//! The result of a load as every format shows it.

use std::time::Duration;

use echosounder_client::{Load, LoadReport};

/// Fewer replies than these would show the cost of connecting rather than of a message.
const COST_FROM: u64 = 1000;

/// The result of a load, or of the part that has been measured so far.
pub(crate) struct Summary<'a> {
    pub(crate) load: &'a Load,
    pub(crate) report: &'a LoadReport,
    /// The CPU time of the server that `--self` started.
    pub(crate) server_cpu: Option<Duration>,
}

impl Summary<'_> {
    /// Returns the CPU time of the server per message in nanoseconds, connecting and warm-up included.
    pub(crate) fn server_cpu_per_message(&self) -> Option<f64> {
        let answered = self.report.answered_total;
        let cpu = self.server_cpu.filter(|_| COST_FROM <= answered)?;
        Some(cpu.as_nanos() as f64 / answered as f64)
    }
}
