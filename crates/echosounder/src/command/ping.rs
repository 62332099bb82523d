//! `sounder ping`

mod file;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use echosounder_client::{
    ClientError, FailureKind, Order, Ping, PingControl, PingEvent, PingReport, Pinger, ResolvedTarget,
    TargetEvent, TimestampSource,
};
use echosounder_socket::kernel::clock_state;
use echosounder_socket::{Signal, Signals, StopToken, raise_fd_limit};

use self::file::ResultFiles;
use crate::command::console::{self, Console, ConsoleWriter};
use crate::command::embedded::Embedded;
use crate::command::line_rate_limit::LineRateLimit;
use crate::command::result_file::{self, SaveTimer};
use crate::command::signals;
use crate::config::{self, Bounds};
use crate::failure::{self, Advised, Outcome};
use crate::output::Output;
use crate::render::escape::Harmless;
use crate::render::json::EventTime;
use crate::render::numbers::{duration, grouped, millis};
use crate::render::ping::json;
use crate::render::ping::target::Target;
use crate::render::ping::text::{self, Row};
use crate::render::style::Style;
use crate::render::transcript::note;
use crate::stderr::stderr;

/// What is wrong if replies do not contain requests.
const NOT_AN_ECHO: &str = "a reply does not contain its request (not an echo server?)";

/// What may wait to be written before calls have to wait for it.
const QUEUE: usize = 1024;

/// Measures, and tells what came of it.
pub(crate) fn run(mut config: config::Ping, output: Output) -> Result<Outcome> {
    raise_fd_limit().context("cannot raise the limit of open files")?;
    result_file::find_stdout(&mut config.output);
    // It would be a pity to find out afterwards.
    let files = ResultFiles::open(&config.output)?;
    // Before the first thread, which inherits what is blocked.
    let signals = signals::receive(&[Signal::Quit])?;
    let server = config.with_server.then(|| serve(&mut config, output)).transpose()?;
    settle(&mut config);
    let control = StopToken::new().and_then(PingControl::new).context("cannot create an eventfd")?;
    let control = Arc::new(control);
    watch_signals(signals, &control, server.as_ref().and_then(Embedded::folder))?;
    let receiver = start(&config.targets, &control, config.in_turn)?;
    if let Some(length) = length(&config.targets, config.in_turn) {
        console::expect_end_after(length);
    }
    let mut page = Page {
        output,
        style: Console::beside(&config.output).style(output),
        print_time: config.print_time,
        hinted: false,
        verbose: config.verbose,
        bounds: config.bounds,
        paper: Paper { console: Console::beside(&config.output), error: None },
        line_rate_limit: LineRateLimit::new(),
        files,
        targets: config.targets.iter().map(State::new).collect(),
    };
    let endless = config.template.count.is_none() && config.template.deadline.is_none();
    page.tell_all(&receiver, &control, endless);
    control.stop();
    drop(receiver);
    let told = page.end();
    let stopped = server.map_or(Ok(()), Embedded::stop);
    // Of a target that is alone and was not reached there is nothing but its error to tell.
    let alone = match page.targets.as_mut_slice() {
        [State { target: None, error, .. }] => {
            Some(error.take().unwrap_or_else(|| anyhow::anyhow!("nothing was called")))
        }
        _ => None,
    };
    match (told.and(stopped), alone) {
        (Ok(()), None) => Ok(page.outcome()),
        (Ok(()), Some(error)) => Err(error),
        (Err(untold), alone) => {
            alone.iter().for_each(|error| failure::report(error, output));
            Err(untold)
        }
    }
}

/// Settles what depends on all targets: which times of receipt they have in common, and their shares of the time if
/// one after another is measured.
fn settle(config: &mut config::Ping) {
    let all_have = |target: &Ping| TimestampSource::has_kernel(target.connect.endpoint.transport());
    let common =
        if config.targets.iter().all(all_have) { TimestampSource::Kernel } else { TimestampSource::User };
    let count = u32::try_from(config.targets.len()).unwrap_or(u32::MAX).max(1);
    for target in &mut config.targets {
        target.timestamps = config.timestamps.unwrap_or(common);
        if config.in_turn {
            target.deadline = target.deadline.map(|deadline| deadline / count);
        }
    }
}

/// Starts a server at what is to be called, or everywhere; then that is what is called.
fn serve(config: &mut config::Ping, output: Output) -> Result<Embedded> {
    let wanted: Vec<_> = config.targets.iter().map(|ping| ping.connect.endpoint.clone()).collect();
    let server = if wanted.is_empty() { Embedded::everywhere() } else { Embedded::at(wanted) }?;
    if !output.quiet {
        server.notes.iter().try_for_each(|text| note(&mut stderr(), text, output.json))?;
    }
    config.targets = server.endpoints.iter().map(|endpoint| config.template.to(endpoint.clone())).collect();
    Ok(server)
}

/// From here on a signal ends the ping, and another the program at once, with the folder of its server's sockets;
/// SIGQUIT (Ctrl-\) asks for interim statistics.
fn watch_signals(signals: Signals, control: &Arc<PingControl>, folder: Option<PathBuf>) -> Result<()> {
    let (reporting, stop) = (Arc::clone(control), control.stop_token().clone());
    // If there is no folder, or none any more, so much the better.
    let clean_up = move || drop(folder.map(fs::remove_dir_all));
    signals::stop_on_signal(signals, stop, move || reporting.request_interim(), clean_up).map(drop)
}

/// How long it takes if all goes well; `None` if it does not end by itself.
fn length(targets: &[Ping], in_turn: bool) -> Option<Duration> {
    let of = |ping: &Ping| {
        let intervals = ping.count.map(|count| u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX));
        let interval = ping.pace.interval().unwrap_or_default();
        let by_count = intervals.map(|intervals| interval.saturating_mul(intervals));
        [by_count, ping.deadline].into_iter().flatten().min()
    };
    targets.iter().try_fold(Duration::ZERO, |length, ping| {
        Some(if in_turn { length.saturating_add(of(ping)?) } else { length.max(of(ping)?) })
    })
}

/// Starts the thread that measures all targets.
fn start(
    targets: &[Ping],
    control: &Arc<PingControl>,
    in_turn: bool,
) -> Result<Receiver<(usize, TargetEvent)>> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let mut targets = targets.to_vec();
    let (share, mut running) = (1.0 / targets.len() as f64, targets.len());
    if !in_turn {
        for (place, ping) in targets.iter_mut().enumerate() {
            ping.start_delay = ping.pace.interval().unwrap_or_default().mul_f64(place as f64 * share);
        }
    }
    let order = if in_turn { Order::InTurn } else { Order::AtOnce };
    let pinger = Pinger::new(targets, order, Arc::clone(control)).context("cannot create a ping")?;
    let measure = move || {
        pinger.run(|place, event| {
            running -= usize::from(matches!(event, TargetEvent::Ended { .. }));
            if running == 0 {
                // The send may have to wait for a writer that waits for its reader.
                console::expect_end_after(Duration::ZERO);
            }
            sender.send((place, event)).is_ok()
        });
    };
    thread::Builder::new().name("ping".into()).spawn(measure).context("cannot start a thread")?;
    Ok(receiver)
}

fn describe(ping: &Ping, place: ResolvedTarget) -> Target {
    Target {
        endpoint: ping.connect.endpoint.to_string(),
        address: Target::address(&place.endpoint, &place.address),
        resolved: place.endpoint,
        local: place.local.as_ref().and_then(Target::local),
        kernel: place.kernel,
        clock: place.clock,
        own_clock: clock_state().ok(),
        size: ping.size_bytes,
        interval: ping.pace.interval().unwrap_or_default(),
        wait: ping.connect.wait,
        count: ping.count,
        started: since_1970(),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is what people's clocks showed, and measures nothing")]
fn since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What is known of a target by now.
struct State {
    /// As it was asked for.
    endpoint: String,
    ping: Ping,
    target: Option<Target>,
    report: Option<Box<PingReport>>,
    /// The report so far of a target that is still measured, to be saved.
    checkpoint: Option<Box<PingReport>>,
    error: Option<anyhow::Error>,
    /// What its peer has caused that was not written, since there was too much of it.
    left_out: u64,
}

impl State {
    fn new(ping: &Ping) -> Self {
        Self {
            endpoint: ping.connect.endpoint.to_string(),
            ping: ping.clone(),
            target: None,
            report: None,
            checkpoint: None,
            error: None,
            left_out: 0,
        }
    }

    fn row(&self) -> Row<'_> {
        Row {
            name: self.target.as_ref().map_or(&self.endpoint, |target| &target.resolved),
            report: self.report.as_deref(),
            failure: self.error.as_ref().and_then(failure::failure_kind).or_else(|| self.only_failure()),
        }
    }

    /// Whether its turn has come. A signal may be faster.
    fn has_begun(&self) -> bool {
        self.target.is_some() || self.error.is_some()
    }

    /// How most requests failed, if none was answered.
    fn only_failure(&self) -> Option<FailureKind> {
        let report = self.report.as_deref().filter(|report| report.answered + report.late == 0)?;
        report.lost.most_frequent()
    }

    fn result(&self) -> Option<(&Target, &PingReport)> {
        self.target.as_ref().zip(self.report.as_deref())
    }

    /// Whether it has been reached and is still measured.
    fn is_measured(&self) -> bool {
        self.target.is_some() && self.report.is_none()
    }
}

/// Standard output, or what stands in for it. When it has failed nothing more is written to it.
struct Paper {
    console: Console,
    error: Option<io::Error>,
}

impl Paper {
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

/// Where everything is told.
struct Page {
    output: Output,
    style: Style,
    print_time: bool,
    /// Whether it was said how to start a server.
    hinted: bool,
    verbose: bool,
    bounds: Bounds,
    paper: Paper,
    /// What peers may cause to be written.
    line_rate_limit: LineRateLimit,
    files: ResultFiles,
    targets: Vec<State>,
}

impl Page {
    /// Tells what happens until all targets have ended. When nobody can be told any more, only a file is interested in
    /// how it ends; if it would not by itself, it is made to.
    fn tell_all(&mut self, receiver: &Receiver<(usize, TargetEvent)>, control: &PingControl, endless: bool) {
        let mut stopped = false;
        let mut timer = SaveTimer::start();
        loop {
            if timer.is_due() {
                self.ask_for_checkpoints(control);
            }
            match receiver.recv_timeout(timer.remaining()) {
                Ok((place, event)) => self.tell(place, event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.paper.error.is_none() || stopped {
                continue;
            }
            if self.files.is_empty() {
                return;
            }
            if endless {
                control.stop();
                stopped = true;
            }
        }
    }

    fn tell(&mut self, place: usize, event: TargetEvent) {
        match event {
            TargetEvent::Started(found) => {
                let target = describe(&self.targets[place].ping, *found);
                self.started(place, target);
            }
            TargetEvent::Happened(PingEvent::Moved(to)) => self.moved(place, &to),
            TargetEvent::Happened(PingEvent::Checkpoint(report)) => self.save_checkpoint(place, report),
            TargetEvent::Happened(happening) => {
                self.happened(place, &happening);
                if let PingEvent::Interim(report) = happening {
                    self.save_checkpoint(place, report);
                }
            }
            TargetEvent::Ended { report, error } => {
                error.into_iter().for_each(|error| self.failed(place, error));
                self.targets[place].report = report;
            }
        }
    }

    /// Asks every target that is measured for its report so far, and saves those that are left from the last time.
    fn ask_for_checkpoints(&mut self, control: &PingControl) {
        if self.files.is_empty() {
            return;
        }
        if self.targets.iter().any(|state| state.checkpoint.is_some()) {
            self.save();
        }
        if self.targets.iter().any(State::is_measured) {
            control.request_checkpoint();
        }
    }

    /// Keeps a target's report so far. When all have come, the files are written.
    fn save_checkpoint(&mut self, place: usize, report: Box<PingReport>) {
        self.targets[place].checkpoint = Some(report);
        if self.targets.iter().all(|state| !state.is_measured() || state.checkpoint.is_some()) {
            self.save();
        }
    }

    fn save(&mut self) {
        self.files.save(&self.targets, self.bounds);
        self.targets.iter_mut().for_each(|state| state.checkpoint = None);
    }

    fn started(&mut self, place: usize, target: Target) {
        self.paper.write(|out| match self.output {
            Output { json: true, .. } => json::start(out, &EventTime::now(), &target),
            // The table of the end names them all.
            Output { quiet: true, .. } if 1 < self.targets.len() => Ok(()),
            _ => text::header(&mut self.style.wrapped(out), &target),
        });
        self.targets[place].target = Some(target);
    }

    /// The target is somewhere else.
    fn moved(&mut self, place: usize, to: &ResolvedTarget) {
        if let Some(target) = self.targets[place].target.take() {
            self.started(place, target.moved(to));
        }
    }

    fn happened(&mut self, place: usize, happening: &PingEvent) {
        if self.line_rate_limit.renew() {
            self.tell_left_out();
        }
        let of_peer = matches!(
            happening,
            PingEvent::Unexpected
                | PingEvent::Duplicate(_)
                | PingEvent::Disconnected
                | PingEvent::Reconnected
        );
        if of_peer && !self.line_rate_limit.take() {
            self.targets[place].left_out += 1;
            return;
        }
        if let PingEvent::Lost { number: 1, reason, .. } = happening {
            self.hint_at_server(place, reason.kind());
        }
        let Some(target) = &self.targets[place].target else { return };
        self.files.note(&target.endpoint, happening);
        if let PingEvent::Interim(report) = happening {
            return self.paper.write(|out| match self.output.json {
                true => json::report(out, &EventTime::now(), "interim", target, report, &[]),
                false => text::statistics(&mut self.style.wrapped(out), self.style, target, report),
            });
        }
        let of_call = !matches!(happening, PingEvent::Interval(_));
        if self.output.quiet && of_call {
            return;
        }
        if self.output.json {
            return self.paper.write(|out| json::event(out, &EventTime::now(), &target.endpoint, happening));
        }
        let flood = target.interval.is_zero() && matches!(happening, PingEvent::Replied(_));
        if !of_call || flood {
            return;
        }
        let who = if self.targets.len() == 1 { &target.address } else { &target.resolved };
        self.paper.write(|out| {
            let out = &mut self.style.wrapped(out);
            if self.print_time {
                let now = Duration::from_nanos(since_1970());
                write!(out, "[{}.{:06}] ", now.as_secs(), now.subsec_micros())?;
            }
            text::event(out, self.style, who, target.size, happening)
        });
    }

    /// Says how to start a server if the first request found none; once.
    fn hint_at_server(&mut self, place: usize, word: Option<FailureKind>) {
        let hint = failure::start_hint(&self.targets[place].ping.connect.endpoint, word, ", or try --self");
        if let Some(hint) = hint.filter(|_| !self.output.json && !self.output.quiet && !self.hinted) {
            self.hinted = true;
            // If standard error cannot be written, the lines say enough.
            let _ = writeln!(stderr(), "hint: {}", Harmless(&hint));
        }
    }

    /// Tells how much was not told.
    fn tell_left_out(&mut self) {
        let alone = self.targets.len() == 1;
        for state in &mut self.targets {
            let (count, target) = (std::mem::take(&mut state.left_out), &state.target);
            let Some(target) = target.as_ref().filter(|_| count != 0 && !self.output.quiet) else { continue };
            let who = if alone { &target.address } else { &target.resolved };
            self.paper.write(|out| match self.output.json {
                true => json::left_out(out, &EventTime::now(), &target.endpoint, count),
                false => text::left_out(out, who, count),
            });
        }
    }

    /// Of several targets one may fail, or of one when it has begun; otherwise it is the end.
    fn failed(&mut self, place: usize, error: ClientError) {
        let error = Advised::at(&self.targets[place].ping.connect.endpoint, error, ", or try --self");
        if 1 < self.targets.len() || self.targets[place].target.is_some() {
            failure::report(&error, self.output);
        }
        self.targets[place].error = Some(error);
    }

    /// A peer that sent something, but never a request back, is probably no echo server.
    fn find_no_echo(&mut self) {
        for place in 0..self.targets.len() {
            let state = &self.targets[place];
            let is_echo = |report: &PingReport| report.answered + report.late != 0 || report.unexpected == 0;
            if state.error.is_none() && !state.report.as_deref().is_none_or(is_echo) {
                let error = anyhow::anyhow!("cannot measure {}: {NOT_AN_ECHO}", state.endpoint);
                failure::report(&error, self.output);
                self.targets[place].error = Some(error);
            }
        }
    }

    /// The files, then the statistics. What fails stops nothing else; the last failure of a file is returned, and the others
    /// are told before.
    fn end(&mut self) -> Result<()> {
        self.find_no_echo();
        let mut failures = std::mem::take(&mut self.files).finish(&self.targets, self.bounds);
        self.tell_left_out();
        self.paper
            .write(|out| tell_end(out, self.output, self.style, self.verbose, self.bounds, &self.targets));
        let told = self.paper.finish();
        let last = failures.pop();
        failures.iter().for_each(|error| failure::report(error, self.output));
        last.map_or(told, Err)
    }

    fn outcome(&self) -> Outcome {
        let begun: Vec<&State> = self.targets.iter().filter(|state| state.has_begun()).collect();
        let good = |state: &&State| {
            let (Some(target), Some(report), None) = (&state.target, &state.report, &state.error) else {
                return false;
            };
            let all = target.count.is_none_or(|count| report.answered == count);
            report.answered + report.late != 0 && all && missed(self.bounds, report).is_empty()
        };
        if self.targets.iter().filter_map(|state| state.error.as_ref()).any(failure::is_local) {
            Outcome::Failed
        } else if begun.iter().all(good) && !begun.is_empty() {
            Outcome::Done
        } else {
            Outcome::Incomplete
        }
    }
}

/// What came of all.
fn tell_end(
    out: &mut impl Write,
    output: Output,
    style: Style,
    verbose: bool,
    bounds: Bounds,
    targets: &[State],
) -> io::Result<()> {
    let out = &mut style.wrapped(out);
    let results: Vec<_> = targets.iter().filter_map(State::result).collect();
    // Behind the ^C that the terminal shows, a line of our own begins.
    if !output.json && !results.is_empty() && io::stdout().is_terminal() {
        writeln!(out)?;
    }
    for (target, report) in &results {
        if output.json {
            json::report(out, &EventTime::now(), "result", target, report, &missed(bounds, report))?;
            continue;
        }
        if results.len() == 1 || verbose {
            text::statistics(out, style, target, report)?;
        }
        for missed in missed_in_words(bounds, report) {
            writeln!(out, "missed   {}: {}", target.endpoint, style.bad(missed))?;
        }
    }
    if 1 < targets.len() && !output.json {
        let rows: Vec<Row<'_>> = targets.iter().map(State::row).collect();
        text::comparison(out, style, &rows)?;
        text::compared_by(out, targets.iter().filter_map(|state| state.target.as_ref()))?;
    }
    Ok(())
}

/// The bounds that were missed, by their flags' names.
fn missed(bounds: Bounds, report: &PingReport) -> Vec<&'static str> {
    let Bounds { loss, p99 } = bounds;
    let lost = loss.is_some_and(|bound| bound < report.loss_percent() || report.sent() == 0);
    let rank = report.rtt.delay.rank(99.0).map(|nanos| Duration::from_nanos(nanos.max(0).unsigned_abs()));
    let slow = p99.is_some_and(|bound| rank.is_none_or(|rank| bound < rank));
    [(lost, "max_loss"), (slow, "max_p99")]
        .into_iter()
        .filter(|(missed, _)| *missed)
        .map(|(_, name)| name)
        .collect()
}

fn missed_in_words(bounds: Bounds, report: &PingReport) -> Vec<String> {
    let what = |name: &'static str| match (name, report.rtt.delay.rank(99.0)) {
        ("max_loss", _) => {
            let (bound, lost) = (bounds.loss.unwrap_or_default(), grouped(report.lost.total()));
            format!("{lost} of {} lost, over {bound}%", grouped(report.sent()))
        }
        (_, Some(p99)) => {
            let (p99, bound) = (millis(p99 as f64), duration(bounds.p99.unwrap_or_default()));
            match report.rtt.delay.percentile(99.0) {
                Some(_) => format!("p99 is {p99} ms, over {bound}"),
                None => format!("the maximum is {p99} ms, over {bound} (fewer than 100 replies have no p99)"),
            }
        }
        (_, None) => "nothing was answered, so there is no p99".to_owned(),
    };
    missed(bounds, report).into_iter().map(what).collect()
}
