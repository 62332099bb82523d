//! The HTML report of `sounder load`: main values, a verdict, the steps of a ramp, a table of
//! latency, and figures of rate and latency over time and of the distribution.

use std::io::{self, Write};
use std::time::Duration;

use echosounder_client::{LoadPoint, PointLatency};

use super::summary::{Summary, TriedRate};
use crate::render::html::distribution::{self, Texts};
use crate::render::html::over_time::{Curve, OverTime, Point, Shape};
use crate::render::html::page::{self, Row, Tile};
use crate::render::html::{Text, percentiles};
use crate::render::numbers::{Unit, counted, delay, grouped, nanos, percentage, percentage_of, rate, span};
use crate::render::prose::{self, capitalized};

/// Writes the page. Its size is bounded, however many messages were sent.
pub(crate) fn page(out: &mut dyn Write, is_interim: bool, summary: &Summary<'_>) -> io::Result<()> {
    let title = page::title("sounder load", summary.started, is_interim);
    page::write(out, &title, |out| {
        let Summary { load, report, steps, .. } = summary;
        writeln!(out, r#"<section aria-labelledby="server"><h2 id="server"><bdi>"#)?;
        writeln!(out, "{}</bdi></h2>", Text(&load.connect.endpoint.to_string()))?;
        writeln!(out, r#"<p class="dim">{}</p>"#, Text(&prose::load(load)))?;
        write_tiles(out, summary)?;
        write_verdict(out, summary)?;
        if !steps.is_empty() {
            write_steps(out, steps)?;
        }
        let rows = summary.times().into_iter().map(|(name, times)| Row { name, times, jitter: None });
        page::distributions(out, "Times", &rows.collect::<Vec<_>>())?;
        page::notes(out, &notes(summary))?;
        if !report.latency.is_empty() {
            write_figures(out, summary)?;
        }
        writeln!(out, "</section>")
    })
}

fn write_tiles(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let Summary { load, report, .. } = summary;
    let lost = report.counts.lost();
    let percent = format!("{} %", percentage_of(lost, report.counts.sent));
    let [p50, slow] = page::delay_tiles(&report.latency);
    let label = match load.connect_each {
        Some(_) => "connections per second",
        None => "messages per second",
    };
    let per_second = Tile::new(label, rate(report.rate()));
    page::tiles(out, &[per_second, Tile { is_bad: lost != 0, ..Tile::new("lost", percent) }, p50, slow])
}

/// Writes the highest rate of a ramp, and what limited the load if that was not the server.
fn write_verdict(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let report = summary.report;
    let best = summary.steps.iter().filter(|step| step.held).map(|step| step.rate).reduce(f64::max);
    let (_, unit) = prose::load_unit(summary.load);
    if let Some(best) = best {
        page::verdict(
            out,
            &format!("The highest rate that held is {} {unit} per second.", rate(best)),
            false,
        )?;
    }
    if report.is_generator_limited() {
        let text = format!("Bottleneck: {}.", prose::bottleneck(report));
        page::verdict(out, &text, false)?;
    }
    if report.counts.unexpected != 0 {
        let count = grouped(report.counts.unexpected);
        page::verdict(out, &format!("{count} replies did not match any message."), true)?;
    }
    Ok(())
}

/// Writes a table with a row for each rate that was tried.
fn write_steps(out: &mut dyn Write, steps: &[TriedRate]) -> io::Result<()> {
    let slowest = steps.iter().filter_map(|step| step.p99_or_max).min();
    let unit = Unit::for_delay(slowest.map_or(1e6, |slowest| nanos(slowest) * 10.0).max(1e3));
    let columns = ["answered/s", "p50", "p99", "verdict"];
    page::begin_table(out, &format!("Steps of the ramp, delays in {}", unit.name), "rate", &columns)?;
    for step in steps {
        write!(out, r#"<tr><th scope="row">{}/s</th><td>{}</td>"#, rate(step.rate), rate(step.answered))?;
        page::delay_cell(out, step.p50.map(|nanos| nanos as f64), unit)?;
        page::delay_cell(out, step.p99_or_max.map(nanos), unit)?;
        let class = if step.held { "word verdict" } else { "word verdict bad" };
        writeln!(out, r#"<td class="{class}">{}</td></tr>"#, Text(&capitalized(&step.verdict)))?;
    }
    page::end_table(out)
}

fn notes(summary: &Summary<'_>) -> Vec<(&'static str, String)> {
    let Summary { load, report, .. } = summary;
    let counts = &report.counts;
    let mut messages = format!("{} sent, {} answered", grouped(counts.sent), grouped(counts.answered));
    for (count, what) in [(counts.lost(), "lost"), (counts.late, "late"), (counts.unexpected, "unexpected")] {
        if count != 0 {
            messages += &format!(", {} {what}", grouped(count));
        }
    }
    messages += &format!(", in {}", span(nanos(report.elapsed)));
    let mut notes = vec![("messages", messages)];
    let exceptions = prose::exceptions(load, report).into_iter();
    let exceptions: Vec<String> =
        exceptions.map(|(count, what)| format!("{} {what}", grouped(count))).collect();
    if !exceptions.is_empty() {
        notes.push(("", exceptions.join("; ")));
    }
    let (busy, waiting) = (percentage(report.cpu.busy), percentage(report.cpu.waiting));
    let threads = counted(load.threads.get() as u64, "thread");
    notes.push(("generator", format!("{threads}; the busiest ran {busy} and waited for CPU {waiting}")));
    notes.extend(prose::load_tcp(report, delay).map(|tcp| ("tcp", tcp)));
    if let Some(nanos) = summary.server_cpu_per_message() {
        notes.push(("server", format!("{:.2} µs of CPU time per message", nanos / 1e3)));
    }
    notes
}

fn write_figures(out: &mut dyn Write, summary: &Summary<'_>) -> io::Result<()> {
    let report = summary.report;
    // A single point shows no course.
    if 1 < report.over_time.len() {
        rate_over_time(summary).rates().write(out)?;
        latency_over_time(summary).delays(&report.latency).write(out)?;
    }
    let (_, unit) = prose::load_unit(summary.load);
    let texts =
        Texts { title: "Distribution of latency", plural: "latencies", noun: prose::load_unit(summary.load) };
    distribution::figure("distribution".to_owned(), texts, &report.latency).write(out)?;
    let classes = ["first", "second", "third"].into_iter();
    let curves: Vec<_> =
        classes.zip(summary.times()).map(|(class, (name, times))| (class, name, times)).collect();
    percentiles::figure("percentiles".to_owned(), unit, &curves).write(out)
}

fn rate_over_time(summary: &Summary<'_>) -> OverTime {
    let points = &summary.report.over_time;
    let per_second = |count: u64, point: &LoadPoint| {
        let seconds = point.span.as_secs_f64();
        if seconds == 0.0 { 0.0 } else { count as f64 / seconds }
    };
    let values = |count: fn(&LoadPoint) -> u64| -> Vec<Option<f64>> {
        points.iter().map(|point| Some(per_second(count(point), point))).collect()
    };
    let sent = line("second", "sent", values(|point| point.sent));
    let answered = line("first", "answered", values(|point| point.answered));
    let reading = |point: &LoadPoint| {
        let [sent, answered] = [point.sent, point.answered].map(|count| rate(per_second(count, point)));
        format!("{sent}/s sent, {answered}/s answered{}", lost(point))
    };
    let title = match summary.load.connect_each {
        Some(_) => "Connections per second over time",
        None => "Messages per second over time",
    };
    over_time("rate", title, summary, vec![sent, answered], &reading)
}

fn latency_over_time(summary: &Summary<'_>) -> OverTime {
    let points = &summary.report.over_time;
    let values = |value: fn(&PointLatency) -> Duration| -> Vec<Option<f64>> {
        points.iter().map(|point| point.latency.as_ref().map(|latency| nanos(value(latency)))).collect()
    };
    let curves = vec![
        line("third", "maximum", values(|latency| latency.max)),
        line("second", "p99", values(|latency| latency.p99)),
        line("first", "p50", values(|latency| latency.p50)),
    ];
    let highest = curves[1].values.iter().flatten().copied().fold(0.0, f64::max);
    let unit = Unit::for_delay(highest / 10.0);
    let reading = move |point: &LoadPoint| {
        let latency = point.latency.map(|latency| {
            let [p50, p99, max] =
                [latency.p50, latency.p99, latency.max].map(|value| unit.brief(nanos(value)));
            format!("p50 {p50}, p99 {p99}, maximum {max} {}", unit.name)
        });
        format!("{}{}", latency.unwrap_or_else(|| "no reply".to_owned()), lost(point))
    };
    over_time("latency", "Latency over time", summary, curves, &reading)
}

fn line(class: &'static str, name: &str, values: Vec<Option<f64>>) -> Curve {
    Curve { class, name: name.to_owned(), shape: Shape::Line, values }
}

fn lost(point: &LoadPoint) -> String {
    if point.lost == 0 { String::new() } else { format!(", {} lost", grouped(point.lost)) }
}

fn over_time(
    id: &str,
    title: &'static str,
    summary: &Summary<'_>,
    curves: Vec<Curve>,
    reading: &dyn Fn(&LoadPoint) -> String,
) -> OverTime {
    let points = &summary.report.over_time;
    let end = points.last().map_or(0.0, |last| nanos(last.at + last.span));
    OverTime {
        id: id.to_owned(),
        title,
        description: format!("{} points over {}.", points.len(), span(end)),
        points: points
            .iter()
            .map(|point| Point {
                at: nanos(point.at + point.span / 2),
                lost: point.lost as f64 / point.sent.max(point.lost).max(1) as f64,
                reading: reading(point),
            })
            .collect(),
        curves,
        span: end,
        gap: None,
        start: summary.measured_from(),
        lost: "share lost",
    }
}
