//! The table of `sounder demo`.

use std::io::{self, Write};

use super::echoes::Echoes;
use crate::render::numbers::{grouped, millis};
use crate::render::style::Style;

/// Columns of a row behind the name of its endpoint.
const CELLS_WIDTH: usize = 40;

/// The layout of the table, which depends on the longest endpoint and on the terminal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    style: Style,
    name_width: usize,
    gap: &'static str,
}

impl Table {
    pub(crate) fn new(style: Style, longest_name: usize) -> Self {
        // On a narrow terminal the endpoint has a line of its own.
        let own_line = !style.fits(longest_name + CELLS_WIDTH);
        let (name_width, gap) = if own_line { (0, "\n") } else { (longest_name, "  ") };
        Self { style, name_width, gap }
    }

    /// Writes the names of the columns.
    pub(crate) fn header(self, out: &mut dyn Write) -> io::Result<()> {
        let Self { name_width, gap, .. } = self;
        writeln!(
            out,
            "   {:name_width$}{gap}{:>8}  {:>8}  {:>8}  {:>5}",
            "endpoint", "p50 ms", "p99 ms", "max ms", "lost"
        )
    }

    /// Writes the row of an endpoint.
    pub(crate) fn row(self, out: &mut dyn Write, echoes: &Echoes) -> io::Result<()> {
        let Self { style, name_width, gap } = self;
        let Echoes { endpoint, lost, unexpected, rtt, error, .. } = echoes;
        let cell = |nanos: Option<i64>| nanos.map_or_else(|| "-".to_owned(), |nanos| millis(nanos as f64));
        let [p50, p99, max] = [rtt.percentile(50.0), rtt.percentile(99.0), rtt.max()].map(cell);
        let lost = style.bad_if(*lost != 0, format!("{:>5}", grouped(*lost)));
        write!(out, "   {endpoint:name_width$}{gap}{p50:>8}  {p99:>8}  {max:>8}  {lost}")?;
        if *unexpected != 0 {
            write!(out, "  {}", style.bad(format!("{} unexpected", grouped(*unexpected))))?;
        }
        error.as_ref().map_or(Ok(()), |error| write!(out, "  {}", style.bad(error)))?;
        writeln!(out)
    }
}
