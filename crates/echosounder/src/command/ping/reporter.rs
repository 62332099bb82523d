//! Where the events of a ping go: standard output, the result files, and the state of each target.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{
    ClientError, FailureKind, PingControl, PingEvent, PingReport, ResolvedTarget, TargetEvent, Thresholds,
};

use super::file::ResultFiles;
use super::summary::{self, Format};
use super::target_state::TargetState;
use crate::command::console::{Console, ConsoleWriter, now};
use crate::command::line_rate_limit::LineRateLimit;
use crate::command::result_file::SaveTimer;
use crate::config;
use crate::failure::{self, Advised, Outcome};
use crate::output::Output;
use crate::render::escape::Harmless;
use crate::render::json::{EventTime, unix_now_ns};
use crate::render::ping::target::Target;
use crate::render::ping::{json, text};
use crate::render::serve::note;
use crate::request_sizes::RequestSizes;
use crate::stderr::stderr;

/// What to do if nothing listens at the target.
const INSTEAD: &str = ", or try --self";

/// Standard output, or what replaces it. After an error nothing more is written.
struct StdoutSink {
    console: Console,
    error: Option<io::Error>,
}

impl StdoutSink {
    fn write(&mut self, write: impl FnOnce(&mut ConsoleWriter) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = self.console.write(write).err();
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.write(|out| out.flush());
        self.error.take().map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Writes the events of all targets, and keeps their results.
pub(super) struct Reporter {
    format: Format,
    /// The sizes that each target is measured with, if they are several.
    sweep: Option<RequestSizes>,
    print_time: bool,
    /// Whether the hint how to start a server was written.
    has_hinted: bool,
    /// Whether it was reported that a signal came before a target was connected.
    has_reported_stop: bool,
    thresholds: Thresholds,
    stdout: StdoutSink,
    /// Limits the lines that peers can cause.
    line_rate_limit: LineRateLimit,
    files: ResultFiles,
    targets: Vec<TargetState>,
}

impl Reporter {
    pub(super) fn new(config: &config::Ping, output: Output, files: ResultFiles) -> Self {
        let console = Console::beside(&config.output);
        Self {
            format: Format { output, style: console.style(output), verbose: config.verbose },
            sweep: config.sweep,
            print_time: config.print_time,
            has_hinted: false,
            has_reported_stop: false,
            thresholds: config.thresholds,
            stdout: StdoutSink { console, error: None },
            line_rate_limit: LineRateLimit::new(now()),
            files,
            targets: config.targets.iter().map(TargetState::new).collect(),
        }
    }

    /// Reports events until all targets have ended. When standard output has failed, only a result
    /// file needs the rest; a ping that would not end by itself is then stopped.
    pub(super) fn run(
        &mut self,
        receiver: &Receiver<(usize, TargetEvent)>,
        control: &PingControl,
        is_endless: bool,
    ) {
        let mut timer = SaveTimer::start();
        loop {
            if timer.is_due() {
                self.request_checkpoints(control);
            }
            match receiver.recv_timeout(timer.remaining()) {
                Ok((index, event)) => self.report(index, event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.stdout.error.is_some() {
                if self.files.is_empty() {
                    return;
                }
                if is_endless {
                    control.stop();
                }
            }
        }
    }

    /// Writes the files, then the statistics. A failure of one stops no other; the last failure of
    /// a file is returned, and the others are reported before.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.find_no_echo();
        let mut failures = std::mem::take(&mut self.files).finish(&self.targets, self.thresholds, self.sweep);
        self.report_left_out();
        let (format, thresholds, targets) = (self.format, self.thresholds, &self.targets);
        let path_mtus = summary::path_mtus(targets, self.sweep);
        self.stdout.write(|out| summary::write(out, format, thresholds, targets, &path_mtus));
        let written = self.stdout.finish();
        let last = failures.pop();
        failures.iter().for_each(|error| failure::report(error, self.format.output));
        last.map_or(written, Err)
    }

    /// Returns the error of a single target that was not found: there is nothing else to report of
    /// it.
    pub(super) fn take_only_error(&mut self) -> Option<anyhow::Error> {
        match self.targets.as_mut_slice() {
            [TargetState { target: None, error, .. }] => {
                Some(error.take().unwrap_or_else(|| anyhow::anyhow!("no target was measured")))
            }
            _ => None,
        }
    }

    /// Returns the exit status.
    pub(super) fn outcome(&self) -> Outcome {
        summary::outcome(self.thresholds, &self.targets, self.sweep)
    }

    fn report(&mut self, index: usize, event: TargetEvent) {
        match event {
            TargetEvent::Started(found) => {
                let target = self.targets[index].describe(*found);
                self.report_start(index, target);
            }
            TargetEvent::NotFound(kind) => self.note_absence(index, kind),
            TargetEvent::Happened(PingEvent::Moved { from, to }) => {
                self.report_move(index, from.is_some(), &to);
            }
            TargetEvent::Happened(PingEvent::Checkpoint(report)) => self.save_checkpoint(index, report),
            TargetEvent::Happened(event) => {
                self.report_event(index, &event);
                if let PingEvent::Interim(report) = event {
                    self.save_checkpoint(index, report);
                }
            }
            TargetEvent::Ended { report, error } => {
                error.into_iter().for_each(|error| self.report_failure(index, error));
                self.targets[index].report = report;
            }
            _ => {}
        }
    }

    /// Requests a report so far of every target, and saves those that are left from the last time.
    fn request_checkpoints(&mut self, control: &PingControl) {
        if self.files.is_empty() {
            return;
        }
        if self.targets.iter().any(|state| state.checkpoint.is_some()) {
            self.save();
        }
        if self.targets.iter().any(TargetState::is_measured) {
            control.request_checkpoint();
        }
    }

    /// Keeps a target's report so far. When those of all targets are there, the files are written.
    fn save_checkpoint(&mut self, index: usize, report: Box<PingReport>) {
        self.targets[index].checkpoint = Some(report);
        if self.targets.iter().all(|state| !state.is_measured() || state.checkpoint.is_some()) {
            self.save();
        }
    }

    fn save(&mut self) {
        self.files.save(&self.targets, self.thresholds, self.sweep);
        note_failures(&mut self.files, self.format.output);
        self.targets.iter_mut().for_each(|state| state.checkpoint = None);
    }

    fn report_start(&mut self, index: usize, target: Target) {
        let (Format { output, style, .. }, count) = (self.format, self.targets.len());
        let (sweep, endpoint) = (self.sweep, self.targets[index].unlabelled());
        self.stdout.write(|out| match (output, sweep) {
            (Output { json: true, .. }, _) => json::start(out, &EventTime::now(), &target),
            // The table at the end names them all.
            (Output { quiet: true, .. }, _) if 1 < count => Ok(()),
            (_, Some(sizes)) if index.is_multiple_of(sizes.count()) => {
                text::sweep_header(&mut style.wrapped(out), &endpoint, &target, sizes)
            }
            (_, Some(_)) => Ok(()),
            _ => text::header(&mut style.wrapped(out), &target),
        });
        self.targets[index].target = Some(target);
    }

    /// Reports the new address of a target. In text, it is a move if requests `had_outcomes` before.
    fn report_move(&mut self, index: usize, had_outcomes: bool, to: &ResolvedTarget) {
        let Some(old) = self.targets[index].target.take() else { return };
        let Output { json, quiet, .. } = self.format.output;
        let new = old.clone().moved(to);
        if had_outcomes && !json && !quiet {
            self.stdout.write(|out| text::moved(out, &old, &new));
        }
        self.report_start(index, new);
    }

    fn report_event(&mut self, index: usize, event: &PingEvent) {
        if self.line_rate_limit.renew(now()) {
            self.report_left_out();
        }
        if is_caused_by_peer(event) && !self.line_rate_limit.take() {
            self.targets[index].left_out += 1;
            return;
        }
        if let PingEvent::Lost { number, reason, report, .. } = event {
            self.targets[index].note_loss(report);
            if *number == 1 {
                self.hint_at_server(index, reason.kind());
            }
        }
        let Some(target) = &self.targets[index].target else { return };
        let Format { output, style, .. } = self.format;
        self.files.append(&target.endpoint, event);
        note_failures(&mut self.files, output);
        if let PingEvent::Interim(report) = event {
            return self.stdout.write(|out| match output.json {
                true => json::report(out, &EventTime::now(), "interim", target, report, &[]),
                false => text::statistics(&mut style.wrapped(out), style, target, report),
            });
        }
        let is_interval = matches!(event, PingEvent::Interval(_));
        if output.quiet && !is_interval {
            return;
        }
        if output.json {
            return self.stdout.write(|out| json::event(out, &EventTime::now(), &target.endpoint, event));
        }
        let is_flood = target.interval.is_zero() && matches!(event, PingEvent::Replied(_));
        if is_interval || is_flood {
            return;
        }
        let (peer, print_time) = (peer_name(target, self.targets.len()), self.print_time);
        self.stdout.write(|out| {
            let out = &mut style.wrapped(out);
            if print_time {
                let now = Duration::from_nanos(unix_now_ns());
                write!(out, "[{}.{:06}] ", now.as_secs(), now.subsec_micros())?;
            }
            text::event(out, style, peer, target, event)
        });
    }

    /// Reports once that the name of a target has no address yet.
    fn note_absence(&mut self, index: usize, kind: FailureKind) {
        let (Output { json, quiet, .. }, state) = (self.format.output, &mut self.targets[index]);
        if !quiet && !std::mem::replace(&mut state.has_noted_absence, true) {
            let text = format!("{}: {kind}; the name is looked up again every 5 seconds", state.endpoint);
            // If standard error cannot be written, the end says enough.
            let _ = note(&mut stderr(), &text, json);
        }
    }

    /// Writes once how to start a server, if nothing listens where the first request went.
    fn hint_at_server(&mut self, index: usize, kind: Option<FailureKind>) {
        let Output { json, quiet, .. } = self.format.output;
        let hint = self.targets[index].start_hint(kind, INSTEAD);
        if let Some(hint) = hint.filter(|_| !json && !quiet && !self.has_hinted) {
            self.has_hinted = true;
            // If standard error cannot be written, the lines of the requests say enough.
            let _ = writeln!(stderr(), "hint: {}", Harmless(&hint));
        }
    }

    /// Reports how many events were left out.
    fn report_left_out(&mut self) {
        let (Output { json, quiet, .. }, count) = (self.format.output, self.targets.len());
        for state in &mut self.targets {
            let (left_out, target) = (std::mem::take(&mut state.left_out), &state.target);
            let Some(target) = target.as_ref().filter(|_| left_out != 0 && !quiet) else { continue };
            self.stdout.write(|out| match json {
                true => json::left_out(out, &EventTime::now(), &target.endpoint, left_out),
                false => text::left_out(out, peer_name(target, count), left_out),
            });
        }
    }

    /// Reports an error at once, unless the error of a single target ends the command anyway. A
    /// signal, which stops all targets, is reported once.
    fn report_failure(&mut self, index: usize, error: ClientError) {
        let is_stop = matches!(error, ClientError::Stopped);
        let is_repeated = is_stop && self.has_reported_stop;
        self.has_reported_stop |= is_stop;
        let state = &self.targets[index];
        let hint = state.local_hint(&error).or_else(|| state.start_hint(error.failure_kind(), INSTEAD));
        let error = match hint {
            Some(hint) => Advised::new(error, &hint).into(),
            None => error.into(),
        };
        if !is_repeated && (1 < self.targets.len() || self.targets[index].target.is_some()) {
            failure::report(&error, self.format.output);
        }
        self.targets[index].error = Some(error);
    }

    /// Reports peers that sent something, but no reply: another service is probably there.
    fn find_no_echo(&mut self) {
        let is_echo = |report: &PingReport| report.answered + report.late != 0 || report.unexpected == 0;
        for state in &mut self.targets {
            if state.error.is_none() && !state.report.as_deref().is_none_or(is_echo) {
                let error = anyhow::anyhow!("cannot measure {}: {}", state.endpoint, state.why_unexpected());
                failure::report(&error, self.format.output);
                state.error = Some(error);
            }
        }
    }
}

/// Reports files that have failed.
fn note_failures(files: &mut ResultFiles, output: Output) {
    for text in files.take_failures() {
        // If standard error cannot be written, the exit status says enough.
        let _ = note(&mut stderr(), &text, output.json);
    }
}

/// Whether a peer can cause such events as often as it likes.
fn is_caused_by_peer(event: &PingEvent) -> bool {
    matches!(
        event,
        PingEvent::Unexpected | PingEvent::Duplicate(_) | PingEvent::Disconnected | PingEvent::Reconnected
    )
}

/// Returns the name of a target in a line, which is shorter if it is the only one.
fn peer_name(target: &Target, count: usize) -> &str {
    if count == 1 { &target.address } else { &target.resolved }
}
