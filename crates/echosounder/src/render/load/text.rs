//! The lines of `sounder load` for people: its progress, the steps of a ramp, and the result.

use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{Distribution, LoadInterval, Step};

use super::summary::Summary;
use crate::render::histogram;
use crate::render::numbers::{grouped, in_millis, millis, nanos, plain, rate};
use crate::render::prose;
use crate::render::style::Style;

/// Percentiles in the table. A row is left out if the sample is too small for it.
const PERCENTILES: [(f64, &str); 7] = [
    (50.0, "p50"),
    (90.0, "p90"),
    (95.0, "p95"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
    (99.999, "p99.999"),
];

/// Columns of the longest bar.
const BAR_WIDTH_MAX: usize = 40;

/// Columns in front of a bar.
const BAR_LABEL_WIDTH: usize = 25;

/// Most bars of the distribution, without the bar for everything above.
const BARS_MAX: usize = 12;

/// Writes the progress of a load over the line before.
pub(crate) fn progress(out: &mut dyn Write, style: Style, now: &LoadInterval) -> io::Result<()> {
    let LoadInterval { elapsed, answered, rate: per_second, .. } = *now;
    let (seconds, per_second) = (elapsed.as_secs_f64(), rate(per_second));
    let mut line = format!("{seconds:4.0} s  {} answered  {per_second}/s", grouped(answered));
    // A line that wraps on a narrow terminal could not be erased as a whole.
    if !style.fits(line.len() + 1) {
        line = format!("{seconds:4.0} s  {per_second}/s");
    }
    write!(out, "\r\x1b[K{line}")?;
    out.flush()
}

/// Writes the result of a rate that a ramp has tried.
pub(crate) fn step(out: &mut dyn Write, style: Style, step: &Step, limit: Duration) -> io::Result<()> {
    let Step { rate: tried, report, held, .. } = step;
    // Fewer than a hundred replies have no 99th percentile; then the maximum counts.
    let name = if report.percentile(99.0).is_some() { "p99" } else { "max" };
    let slow = report.p99_or_max().map_or_else(|| "-".to_owned(), |slow| millis(nanos(slow)));
    let verdict = prose::step(step, limit);
    let verdict = if *held { style.good(verdict) } else { style.bad(verdict) };
    writeln!(style.wrapped(out), "{:>11}/s  {name} {slow:>9} ms  {verdict}", rate(*tried))
}

/// Writes the result.
pub(crate) fn result(out: &mut dyn Write, style: Style, summary: &Summary<'_>) -> io::Result<()> {
    let out = &mut style.wrapped(out);
    let Summary { load, report, .. } = summary;
    let seconds = report.elapsed.as_secs_f64();
    writeln!(out, "--- {} ---", report.peer)?;
    writeln!(out, "{}, {seconds:.1} s", prose::load(load))?;
    write_counts(out, style, summary)?;
    let megabytes = report.counts.bytes as f64 / seconds.max(1e-9) / 1e6;
    let (_, unit) = prose::load_unit(load);
    writeln!(out, "rate     {} {unit}/s, {megabytes:.1} MB/s each way", rate(report.rate()))?;
    if let Some(nanos) = summary.server_cpu_per_message() {
        writeln!(out, "server   {:.2} µs of CPU time per message", nanos / 1e3)?;
    }
    if let Some(line) = prose::load_tcp(report, in_millis) {
        writeln!(out, "tcp      {line}")?;
    }
    if report.is_generator_limited() {
        writeln!(out, "bottleneck: {}", style.caution(prose::bottleneck(report)))?;
    }
    if !report.latency.is_empty() {
        write_table(out, summary)?;
        write_bars(out, style, &report.latency)?;
    }
    Ok(())
}

/// Writes the usual outcomes of messages on one line, and each unusual outcome on a line of its
/// own.
fn write_counts(out: &mut dyn Write, style: Style, summary: &Summary<'_>) -> io::Result<()> {
    let counts = &summary.report.counts;
    let late = format!("{} late", grouped(counts.late));
    writeln!(
        out,
        "{} sent, {} answered, {}, {}, {}",
        grouped(counts.sent),
        grouped(counts.answered),
        style.bad_if(counts.lost() != 0, format!("{} lost", grouped(counts.lost()))),
        if counts.late == 0 { late } else { style.caution(late) },
        style.bad_if(counts.unexpected != 0, format!("{} unexpected", grouped(counts.unexpected)))
    )?;
    for (count, what) in prose::exceptions(summary.load, summary.report) {
        writeln!(out, "{:8} {} {what}", "", grouped(count))?;
    }
    Ok(())
}

/// Writes the distributions with a row for each percentile, so that the table fits a terminal of
/// any width.
fn write_table(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let columns = summary.times();
    write!(out, "{:8}", "ms")?;
    columns.iter().try_for_each(|(name, _)| write!(out, "{name:>12}"))?;
    writeln!(out)?;
    let mut row = |name: &str, value: &dyn Fn(&Distribution) -> Option<f64>| {
        write!(out, "{name:8}")?;
        let mut values = columns.iter().map(|(_, times)| value(times).unwrap_or(0.0));
        values.try_for_each(|value| write!(out, "{:>12}", millis(value)))?;
        writeln!(out)
    };
    row("min", &|times| times.min().map(|nanos| nanos as f64))?;
    row("mean", &Distribution::mean)?;
    for (percent, name) in PERCENTILES {
        if summary.report.latency.percentile(percent).is_some() {
            row(name, &|times| times.rank(percent).map(|nanos| nanos as f64))?;
        }
    }
    row("max", &|times| times.max().map(|nanos| nanos as f64))?;
    row("stddev", &Distribution::stddev)
}

/// Writes the distribution as bars whose limits are 1, 2, 5, 10 and so on, from the first that has
/// a reply.
fn write_bars(out: &mut dyn Write, style: Style, latency: &Distribution) -> io::Result<()> {
    let histogram = histogram::of(latency);
    let longest = style.at_most(BAR_WIDTH_MAX + BAR_LABEL_WIDTH).saturating_sub(BAR_LABEL_WIDTH).max(1);
    let limits = (0..20).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power).min(u64::MAX / 5)));
    let limits: Vec<u64> = limits.skip_while(|&limit| limit <= histogram.min()).take(BARS_MAX).collect();
    let mut rows = Vec::new();
    let mut below = 0;
    for &limit in &limits {
        if histogram.max() < below {
            break;
        }
        rows.push((format!("< {}", whole_millis(limit)), histogram.count_between(below, limit - 1)));
        below = limit;
    }
    if below <= histogram.max() {
        let above = histogram.count_between(below, histogram.max());
        rows.push((format!(">= {}", whole_millis(below)), above));
    }
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    for (name, count) in rows {
        let len = usize::try_from(count * longest as u64 / most).unwrap_or(0);
        let share = count as f64 / histogram.len() as f64 * 100.0;
        writeln!(out, "{}", format!("{name:>10} ms {share:>7.2} %  {}", "#".repeat(len)).trim_end())?;
    }
    Ok(())
}

/// Returns the limit of a bar in milliseconds with no more digits than it has.
fn whole_millis(nanos: u64) -> String {
    plain(nanos as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_fits_a_narrow_terminal() {
        let (elapsed, answered) = (Duration::from_secs(3600), 12_345_678_901);
        let mut now = LoadInterval::default();
        (now.elapsed, now.sent, now.answered, now.rate) = (elapsed, answered, answered, 1_234_567.8);
        for (columns, expected) in [
            (None, "3600 s  12,345,678,901 answered  1,234,568/s"),
            (Some(80), "3600 s  12,345,678,901 answered  1,234,568/s"),
            (Some(40), "3600 s  1,234,568/s"),
        ] {
            let mut out = Vec::new();
            progress(&mut out, Style::with(false, columns), &now).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("\r\x1b[K{expected}"));
        }
    }

    #[test]
    fn limits_of_bars_have_no_more_digits_than_they_need() {
        assert_eq!(
            [1_000, 20_000, 500_000, 2_000_000_000].map(whole_millis),
            ["0.001", "0.02", "0.5", "2000"]
        );
    }
}
