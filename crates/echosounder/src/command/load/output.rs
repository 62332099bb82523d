//! The output of `sounder load`: progress and steps while it runs, the result at its end, and the
//! files.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{LoadInterval, LoadOptions, LoadReport, Step};
use echosounder_server::internal::local_time_zone;
use echosounder_socket::StopToken;
use jiff::ZonedDateTime;

use crate::command::console::{Console, ConsoleWriter};
use crate::command::result_file::ResultFile;
use crate::failure;
use crate::output::{Output, ResultFormat};
use crate::render::html::zoned;
use crate::render::json::{EventTime, unix_now_ns};
use crate::render::load::summary::{Summary, TriedRate};
use crate::render::load::{csv, hdr, html, json, text};
use crate::render::serve::note;
use crate::render::style::Style;
use crate::stderr::stderr;

/// Writes to the console and to the files of a load.
pub(super) struct LoadOutput<'a> {
    output: Output,
    console: Console,
    style: Style,
    progress_style: Style,
    files: &'a [ResultFile],
    stop: StopToken,
    /// When the load began.
    started: ZonedDateTime,
    /// The rates that a ramp has tried so far.
    steps: Vec<TriedRate>,
    /// Why the console can no longer be written.
    broken: Option<io::Error>,
}

impl<'a> LoadOutput<'a> {
    pub(super) fn new(output: Output, console: Console, files: &'a [ResultFile], stop: StopToken) -> Self {
        Self {
            output,
            console,
            style: console.style(output),
            progress_style: Style::stderr(output),
            files,
            stop,
            started: zoned(unix_now_ns(), local_time_zone()),
            steps: Vec::new(),
            broken: None,
        }
    }

    /// Reports the progress.
    pub(super) fn interval(&mut self, now: &LoadInterval) {
        if self.output.json {
            self.write(|out| json::interval(out, &EventTime::now(), now));
        } else if self.shows_progress() {
            // The result does not depend on whether the progress is seen.
            let _ = text::progress(&mut stderr(), self.progress_style, now);
        }
    }

    /// Reports a rate that a ramp has tried.
    pub(super) fn step(&mut self, step: &Step, p99_max: Duration) {
        self.steps.push(TriedRate::new(step, p99_max));
        self.clear_progress();
        let (style, as_json) = (self.style, self.output.json);
        self.write(|out| match as_json {
            true => json::step(out, &EventTime::now(), step),
            false => text::step(out, style, step, p99_max),
        });
    }

    /// Writes the report so far to the files. A file that cannot be written keeps its old content;
    /// the next checkpoint tries again.
    pub(super) fn checkpoint(&self, load: &LoadOptions, report: &LoadReport) {
        let Self { started, steps, .. } = self;
        let summary = Summary { load, report, started, steps, server_cpu: None };
        for file in self.files.iter().filter(|file| file.is_replaceable()) {
            let _ = write_file(file, "interim", &summary);
        }
    }

    /// Writes the files and then the result on the console, as far as each is possible. Returns the
    /// last failure of a file; the others are reported before.
    pub(super) fn finish(
        mut self,
        load: &LoadOptions,
        report: &LoadReport,
        server_cpu: Option<Duration>,
    ) -> Result<()> {
        self.clear_progress();
        let (started, steps) = (self.started.clone(), std::mem::take(&mut self.steps));
        let summary = Summary { load, report, started: &started, steps: &steps, server_cpu };
        let write = |file: &ResultFile| write_file(file, "result", &summary).err();
        let mut failures: Vec<_> = self.files.iter().filter_map(write).collect();
        let (style, as_json, output) = (self.style, self.output.json, self.output);
        self.write(|out| match as_json {
            true => json::result(out, &EventTime::now(), "result", &summary),
            false => text::result(out, style, &summary),
        });
        let (last, flushed) = (failures.pop(), self.flush());
        failures.iter().for_each(|error| failure::report(error, output));
        last.map_or(flushed, Err)
    }

    /// Ends the output of a load without a result.
    pub(super) fn finish_without_result(mut self) -> Result<()> {
        self.clear_progress();
        self.flush()
    }

    /// Writes to the console. When nobody reads the console any more, a load without files ends.
    fn write(&mut self, write: impl FnOnce(&mut ConsoleWriter) -> io::Result<()>) {
        if self.broken.is_some() {
            return;
        }
        self.broken = self.console.write(write).err();
        if self.broken.is_some() && self.files.is_empty() {
            self.stop.stop();
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.write(|out| out.flush());
        self.broken.take().map_or(Ok(()), |error| Err(error.into()))
    }

    fn clear_progress(&self) {
        if self.shows_progress() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn shows_progress(&self) -> bool {
        io::stderr().is_terminal() && !self.output.json && !self.output.quiet
    }
}

fn write_file(file: &ResultFile, event: &'static str, summary: &Summary<'_>) -> Result<()> {
    file.write(|out| {
        Ok(match file.format() {
            ResultFormat::Hdr => hdr::log(out, summary),
            ResultFormat::Csv => csv::distribution(out, summary),
            ResultFormat::Json => json::result(out, &EventTime::now(), event, summary),
            ResultFormat::Html => html::page(out, event == "interim", summary),
        }?)
    })
}

/// Reports on standard error why there is less of a result than was requested.
pub(super) fn report_note(text: &str, output: Output) -> io::Result<()> {
    match output.json {
        true => note(&mut stderr(), text, true),
        false => writeln!(stderr(), "{text}"),
    }
}
