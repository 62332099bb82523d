//! The rows: what each one attacks, and the condition that must hold.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

/// How long and how large the attacks are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) short: bool,
    pub(crate) minutes: u64,
    pub(crate) delay: Duration,
}

impl Scale {
    /// Returns the number of the short or of the long form.
    pub(crate) fn pick<T>(self, short: T, long: T) -> T {
        if self.short { short } else { long }
    }

    /// Returns the limit of a well-behaved client's 99th percentile during an attack: twice its
    /// own baseline. The short form allows a second more, since it runs on busy machines.
    pub(crate) fn p99_max(self, baseline: Duration) -> Duration {
        (2 * baseline).max(baseline + Duration::from_micros(200))
            + self.pick(Duration::from_secs(1), Duration::ZERO)
    }
}

/// The outcome of a row.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It was tried.
    Tried {
        /// What was done, in a few words.
        done: String,
        /// What was measured.
        figure: String,
        /// Whether the condition holds.
        holds: bool,
    },
    /// It cannot be tried on this machine, for this reason.
    Absent(String),
}

impl Verdict {
    pub(crate) fn tried(done: impl Into<String>, figure: impl Into<String>, holds: bool) -> Self {
        Self::Tried { done: done.into(), figure: figure.into(), holds }
    }

    pub(crate) fn absent(reason: impl Into<String>) -> Self {
        Self::Absent(reason.into())
    }
}

/// A row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) condition: &'static str,
    /// Most of its time is waiting, so it runs beside the other rows.
    pub(crate) waits: bool,
    pub(crate) run: fn(Scale) -> Result<Verdict>,
}

impl Row {
    /// Creates a row that runs alone.
    pub(crate) const fn new(
        number: u32,
        name: &'static str,
        condition: &'static str,
        run: fn(Scale) -> Result<Verdict>,
    ) -> Self {
        Self { number, name, condition, waits: false, run }
    }

    /// Returns the row as one that runs beside the others.
    pub(crate) const fn beside(self) -> Self {
        Self { waits: true, ..self }
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        name == self.name || name.parse() == Ok(self.number)
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({} {})", self.number, self.name)
    }
}

/// Text with the figures of several measurements.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    text: String,
    fails: bool,
}

impl Figures {
    /// Adds a measurement, and whether it meets the condition.
    pub(crate) fn add(&mut self, text: impl fmt::Display, holds: bool) {
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        self.text.push_str(&text.to_string());
        if !holds {
            self.text.push_str(" (fails)");
        }
        self.fails |= !holds;
    }

    /// Returns whether nothing was measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Returns the verdict about all measurements.
    pub(crate) fn verdict(self, done: impl Into<String>) -> Verdict {
        Verdict::tried(done, self.text, !self.fails)
    }
}
