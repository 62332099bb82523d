//! The report of a run: tables in Markdown, and all figures in JSON.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::check::ReplyFormat;
use crate::machine;
use crate::measure::{Row, Sample, Spans};
use crate::peers::{OURS, Peer, Ready};
use crate::scenario::Scenario;
use crate::statistics::{Interval, Random, interval, median};

/// Reads one of a round's figures.
type Figure = fn(&Sample) -> f64;

const RATE: Figure = |sample| sample.messages_per_second;
const CPU: Figure = |sample| sample.cpu_us_per_message;

/// Every figure that has an interval, with its key.
const FIGURES: [(&str, Figure); 9] = [
    ("messages_per_second", RATE),
    ("cpu_us_per_message", CPU),
    ("p50_us", |sample| sample.p50_us),
    ("p99_us", |sample| sample.p99_us),
    ("p999_us", |sample| sample.p999_us),
    ("memory_kib", |sample| sample.memory_kib),
    ("bytes_per_connection", |sample| sample.bytes_per_connection),
    ("server_busy", |sample| sample.busy),
    ("foreign_cpu", |sample| sample.foreign),
];

const LEGEND: &str = "\
Each server runs alone on one core, and the load on another. In every round each server runs once, in shuffled order. Figures are medians \
of the rounds; a ratio is the median of the rounds' own ratios, with a 95 % bootstrap interval. CPU is the time of the server's processes and \
threads, including the kernel's network work in their context. The client measures round trips. Memory is the resident memory of all \
processes under load. Datagrams count as lost if no reply has arrived after 200 ms. `stamps` shows whether the server puts a timestamp before each \
message, as the textbook's server does (`[ctime] ` before at most 1024 bytes); a server without timestamps has less to do.
";

const COLUMNS: &str = "\
| server | stamps | msgs/s | ÷ floor [95 %] | CPU µs/msg | ÷ floor [95 %] | p50 µs | p99 µs | p99.9 µs | memory KiB | msgs/s, sounder ÷ it [95 %] | CPU, sounder ÷ it [95 %] |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

/// A figure's median and its 95 % interval.
struct Estimate {
    median: f64,
    low: f64,
    high: f64,
}

pub struct Report {
    header: String,
    machine: Map<String, Value>,
    peers: Vec<Value>,
    left_out: Vec<Value>,
    servers: String,
    tables: String,
    scenarios: Vec<Value>,
    random: Random,
}

impl Report {
    pub fn new(rounds: usize, spans: &Spans) -> Self {
        let machine = machine::facts();
        let mut header = String::from("# Echo servers, side by side\n\n");
        for (key, value) in &machine {
            let _ = writeln!(header, "- {key}: {}", value.as_str().unwrap_or_default());
        }
        let (warm_up, measured) = (spans.warm_up.as_millis(), spans.measured.as_millis());
        let _ = writeln!(header, "- rounds: {rounds}, of {measured} ms after {warm_up} ms of warming up\n");
        header += LEGEND;
        Self {
            header,
            machine,
            peers: vec![],
            left_out: vec![],
            servers: String::from("\n| server | | stamps | version |\n|---|---|---|---|\n"),
            tables: String::new(),
            scenarios: vec![],
            random: Random::new(0xd1ce),
        }
    }

    pub fn found(&mut self, ready: &Ready) {
        let (name, note, stamps) = (ready.peer.name, ready.peer.note, stamps(ready.peer));
        let _ = writeln!(self.servers, "| {name} | {note} | {stamps} | {} |", ready.version);
        self.peers.push(json!({"name": name, "note": note, "stamps": stamps, "version": ready.version}));
    }

    pub fn left_out(&mut self, peer: &Peer, reason: &str) {
        let _ = writeln!(self.servers, "| {} | {} | | left out: {reason} |", peer.name, peer.note);
        self.left_out.push(json!({"name": peer.name, "reason": reason}));
    }

    /// Adds a scenario, and returns its table.
    pub fn add(&mut self, scenario: &Scenario, rows: &[Row<'_>]) -> String {
        let floor = rows.iter().find(|row| row.peer.is_floor);
        let ours = rows.iter().find(|row| row.peer.name == OURS);
        let mut lines = Vec::new();
        let mut servers = Vec::new();
        for row in rows {
            let (line, value) = self.row(row, floor, ours, scenario.load.idle != 0);
            lines.push((row.figure(RATE).map(median).unwrap_or_default(), line));
            servers.push(value);
        }
        lines.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut table = format!("\n## {}\n\n`{}`\n\n", scenario.title, scenario.name);
        table += COLUMNS;
        lines.iter().for_each(|(_, line)| table += line);
        let foreign: Vec<f64> =
            rows.iter().flat_map(|row| &row.samples).flatten().map(|sample| sample.foreign).collect();
        if !foreign.is_empty() {
            let _ = writeln!(
                table,
                "\nOther processes took {:.2} of a core (median of all rounds).",
                median(foreign)
            );
        }
        for row in rows {
            let _ = write!(table, "{}", notes(row));
        }
        self.tables += &table;
        self.scenarios.push(json!({"name": scenario.name, "title": scenario.title, "servers": servers}));
        table
    }

    /// Notes that a scenario cannot run here.
    pub fn skip(&mut self, scenario: &Scenario, reason: &str) -> String {
        let text = format!("\n## {}\n\n`{}`: left out: {reason}.\n", scenario.title, scenario.name);
        self.tables += &text;
        self.scenarios.push(json!({"name": scenario.name, "title": scenario.title, "left_out": reason}));
        text
    }

    fn row(
        &mut self,
        row: &Row<'_>,
        floor: Option<&Row<'_>>,
        ours: Option<&Row<'_>>,
        idle: bool,
    ) -> (String, Value) {
        let mut figures = Map::new();
        for (key, figure) in FIGURES {
            let value = row.figure(figure).map_or(Value::Null, |values| self.estimate(values).json());
            figures.insert(key.into(), value);
        }
        let to = |other: Option<&Row<'_>>, figure| other.and_then(|other| ratios(row, other, figure));
        let from = |other: Option<&Row<'_>>, figure| other.and_then(|other| ratios(other, row, figure));
        let [rate, cpu, our_rate, our_cpu] =
            [to(floor, RATE), to(floor, CPU), from(ours, RATE), from(ours, CPU)]
                .map(|ratios| ratios.map(|ratios| self.estimate(ratios)));
        let shown = |figure| row.figure(figure).map_or("–".into(), |values| significant(median(values)));
        let [p50, p99, p999] =
            [|s: &Sample| s.p50_us, |s: &Sample| s.p99_us, |s: &Sample| s.p999_us].map(shown);
        let mut memory = shown(|sample| sample.memory_kib);
        if idle {
            let _ = write!(memory, ", {} B a connection", shown(|sample| sample.bytes_per_connection));
        }
        let is_ours = row.peer.name == OURS;
        let [our_rate_shown, our_cpu_shown] =
            [&our_rate, &our_cpu].map(|ours| if is_ours { String::new() } else { ratio(ours.as_ref()) });
        let line = format!(
            "| {} | {} | {} | {} | {} | {} | {p50} | {p99} | {p999} | {memory} | {our_rate_shown} | {our_cpu_shown} |\n",
            row.peer.name,
            stamps(row.peer),
            shown(RATE),
            ratio(rate.as_ref()),
            shown(CPU),
            ratio(cpu.as_ref()),
        );
        let total = |count: fn(&Sample) -> u64| row.samples.iter().flatten().map(count).sum::<u64>();
        let value = json!({
            "name": row.peer.name,
            "stamps": stamps(row.peer),
            "rounds": row.samples.iter().flatten().count(),
            "figures": figures,
            "rate_to_floor": rate.map(|estimate| estimate.json()),
            "cpu_to_floor": cpu.map(|estimate| estimate.json()),
            "rate_of_sounder_to_it": our_rate.map(|estimate| estimate.json()),
            "cpu_of_sounder_to_it": our_cpu.map(|estimate| estimate.json()),
            "lost": total(|sample| sample.lost),
            "late": total(|sample| sample.late),
            "failures": row.failures,
        });
        (line, value)
    }

    /// Writes the results so far, so that an interrupted run leaves its measurements.
    pub fn save(&self, markdown: Option<&Path>, json: Option<&Path>) -> Result<()> {
        if let Some(path) = markdown {
            let text = format!("{}{}{}", self.header, self.servers, self.tables);
            fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
        }
        if let Some(path) = json {
            let value = json!({
                "machine": self.machine,
                "peers": self.peers,
                "left_out": self.left_out,
                "scenarios": self.scenarios,
            });
            fs::write(path, format!("{value:#}\n")).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    fn estimate(&mut self, values: Vec<f64>) -> Estimate {
        let Interval { low, high } = interval(&values, &mut self.random);
        Estimate { median: median(values), low, high }
    }
}

impl Row<'_> {
    /// Returns a figure of every round; `None` if all rounds failed.
    fn figure(&self, figure: Figure) -> Option<Vec<f64>> {
        let values: Vec<f64> = self.samples.iter().flatten().map(figure).collect();
        (!values.is_empty()).then_some(values)
    }
}

impl Estimate {
    fn json(&self) -> Value {
        json!({"median": self.median, "low": self.low, "high": self.high})
    }
}

/// Returns the ratios of the rounds in which both succeeded.
fn ratios(one: &Row<'_>, other: &Row<'_>, figure: Figure) -> Option<Vec<f64>> {
    let pairs = one.samples.iter().zip(&other.samples);
    let ratios: Vec<f64> =
        pairs.filter_map(|(one, other)| Some(figure(one.as_ref()?) / figure(other.as_ref()?))).collect();
    (!ratios.is_empty()).then_some(ratios)
}

fn ratio(estimate: Option<&Estimate>) -> String {
    estimate
        .map_or("–".into(), |Estimate { median, low, high }| format!("{median:.2} [{low:.2}–{high:.2}]"))
}

/// Formats with three significant digits, or all digits before the point.
fn significant(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$}")
}

/// Returns notes on a row: lost datagrams and failed rounds.
fn notes(row: &Row<'_>) -> String {
    let mut text = String::new();
    let total = |count: fn(&Sample) -> u64| row.samples.iter().flatten().map(count).sum::<u64>();
    let (lost, late) = (total(|sample| sample.lost), total(|sample| sample.late));
    if lost + late != 0 {
        let _ = writeln!(text, "\n{}: {lost} datagrams lost, {late} came late.", row.peer.name);
    }
    for failure in &row.failures {
        let _ = writeln!(text, "\n{}: a round failed: {failure}.", row.peer.name);
    }
    text
}

fn stamps(peer: &Peer) -> &'static str {
    if matches!(peer.reply_format, ReplyFormat::Plain | ReplyFormat::Sockperf) { "no" } else { "yes" }
}
