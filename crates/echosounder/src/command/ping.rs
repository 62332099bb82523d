//! `sounder ping`

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use echosounder_client::{CallError, Control, Happening, Ping, PingReport, Pinger, Place};
use echosounder_socket::kernel::clock_state;
use echosounder_socket::{Interest, Signal, Signals, raise_fd_limit, ready};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::Output;
use crate::command::embedded::Embedded;
use crate::config::{self, Bounds};
use crate::render::page;
use crate::render::ping::{self as render, Target};
use crate::render::transcript::note;
use crate::report::{self, NoServer, Outcome, sentence};

/// How long after the first signal another is taken for the same.
const WITH_THE_FIRST: Duration = Duration::from_millis(100);

/// What may wait to be written before calls have to wait for it.
const QUEUE: usize = 1024;

/// Measures, and tells what came of it.
pub(crate) fn run(mut config: config::Ping, output: Output) -> Result<Outcome> {
    raise_fd_limit().context("raise the limit of descriptors")?;
    // It would be a pity to find out afterwards.
    let file = config.output.clone().map(ResultFile::create).transpose()?;
    // Before the first thread, which inherits what is blocked.
    let signals =
        Signals::receive(&[Signal::Interrupt, Signal::Terminate, Signal::Quit]).context("receive signals")?;
    let server = config.with_server.then(|| serve(&mut config, output)).transpose()?;
    let controls = config.targets.iter().map(|_| Control::new().map(Arc::new));
    let controls: Vec<Arc<Control>> = controls.collect::<io::Result<_>>().context("make an eventfd")?;
    heed(signals, controls.clone())?;
    let receiver = start(&config.targets, &controls)?;
    let mut page = Page {
        output,
        timestamps: config.timestamps,
        verbose: config.verbose,
        bounds: config.bounds,
        file,
        targets: config.targets.iter().map(State::new).collect(),
    };
    let told = page.tell_all(&receiver);
    controls.iter().for_each(|control| control.stop());
    drop(receiver);
    let told = told.and_then(|()| page.end());
    if let Some(server) = server {
        server.stop()?;
    }
    told?;
    match page.targets.as_mut_slice() {
        // There is nothing but its error to tell of.
        [State { target: None, error, .. }] => Err(error.take().map_or_else(
            || anyhow::anyhow!("nothing was called"),
            |error| if config.on_default { hinted(error) } else { error },
        )),
        _ => Ok(page.outcome()),
    }
}

/// Nobody answers at the default endpoint.
fn hinted(error: anyhow::Error) -> anyhow::Error {
    match error.downcast() {
        Ok(error) => NoServer { error, hint: "start one with \"sounder serve\", or try --self" }.into(),
        Err(error) => error,
    }
}

/// Starts a server at what is to be called, or everywhere; then that is what is called.
fn serve(config: &mut config::Ping, output: Output) -> Result<Embedded> {
    let wanted: Vec<_> = config.targets.iter().map(|ping| ping.call.endpoint.clone()).collect();
    let server = if wanted.is_empty() { Embedded::everywhere() } else { Embedded::at(wanted) }?;
    if !output.quiet {
        server.notes.iter().try_for_each(|text| note(&mut io::stderr().lock(), text, output.json))?;
    }
    config.targets = server.endpoints.iter().map(|endpoint| config.template.to(endpoint.clone())).collect();
    Ok(server)
}

/// From here on a signal ends the ping, and another the program at once; Ctrl-\ makes it tell how it goes.
fn heed(signals: Signals, controls: Vec<Arc<Control>>) -> Result<()> {
    let asked = controls.clone();
    let next = move || loop {
        if ready([(signals.as_fd(), Interest::Read)], None).is_err() {
            return;
        }
        match signals.next() {
            Ok(Some(Signal::Interrupt | Signal::Terminate)) => return,
            Ok(Some(_)) => asked.iter().for_each(|control| control.ask()),
            _ => {}
        }
    };
    let heed = move || {
        next();
        controls.iter().for_each(|control| control.stop());
        // timeout(1) sends two, which are meant as one.
        let _ = ready([], Some(WITH_THE_FIRST));
        next();
        process::exit(1);
    };
    thread::Builder::new().name("signals".into()).spawn(heed).context("start a thread")?;
    Ok(())
}

/// What a target's thread tells.
enum Word {
    Started(Box<Target>),
    Happened(Happening),
    Failed(CallError),
    Ended(Box<PingReport>),
}

/// Starts a thread for each target, so that none waits for another.
fn start(targets: &[Ping], controls: &[Arc<Control>]) -> Result<Receiver<(usize, Word)>> {
    let (sender, receiver) = mpsc::sync_channel(QUEUE);
    let share = 1.0 / targets.len() as f64;
    for (place, (ping, control)) in targets.iter().zip(controls).enumerate() {
        let (mut ping, control, sender) = (ping.clone(), Arc::clone(control), sender.clone());
        ping.first = ping.interval.mul_f64(place as f64 * share);
        let call = move || measure(place, ping, control, &sender);
        thread::Builder::new().name("ping".into()).spawn(call).context("start a thread")?;
    }
    Ok(receiver)
}

/// Calls one target. When nobody listens any more it ends.
fn measure(place: usize, ping: Ping, control: Arc<Control>, sender: &SyncSender<(usize, Word)>) {
    let tell = |word| sender.send((place, word)).is_ok();
    let pinger = match Pinger::connect(ping, control) {
        Ok(pinger) => pinger,
        Err(error) => {
            tell(Word::Failed(error));
            return;
        }
    };
    if !tell(Word::Started(Box::new(describe(&pinger)))) {
        return;
    }
    let (report, error) = pinger.run(|happening| tell(Word::Happened(happening)));
    if error.is_none_or(|error| tell(Word::Failed(error))) {
        tell(Word::Ended(Box::new(report)));
    }
}

fn describe(pinger: &Pinger) -> Target {
    let (ping, place) = (pinger.ping(), pinger.place());
    Target {
        endpoint: ping.call.endpoint.to_string(),
        place: Target::place(&place.endpoint, &place.address),
        found: place.endpoint,
        local: place.local.as_ref().and_then(Target::local),
        wire: place.wire,
        clock: place.clock,
        own_clock: clock_state().ok(),
        size: ping.size,
        interval: ping.interval,
        wait: ping.call.wait,
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
    target: Option<Target>,
    report: Option<Box<PingReport>>,
    error: Option<anyhow::Error>,
}

impl State {
    fn new(ping: &Ping) -> Self {
        Self { endpoint: ping.call.endpoint.to_string(), target: None, report: None, error: None }
    }

    fn result(&self) -> Option<(&Target, &PingReport)> {
        self.target.as_ref().zip(self.report.as_deref())
    }
}

/// Where everything is told.
struct Page {
    output: Output,
    timestamps: bool,
    verbose: bool,
    bounds: Bounds,
    file: Option<ResultFile>,
    targets: Vec<State>,
}

impl Page {
    /// Tells what happens until all targets have ended.
    fn tell_all(&mut self, receiver: &Receiver<(usize, Word)>) -> Result<()> {
        for (place, word) in receiver {
            match word {
                Word::Started(target) => self.started(place, *target)?,
                Word::Happened(Happening::Moved(to)) => self.moved(place, &to)?,
                Word::Happened(happening) => self.happened(place, &happening)?,
                Word::Failed(error) => self.failed(place, error),
                Word::Ended(report) => self.targets[place].report = Some(report),
            }
        }
        Ok(())
    }

    fn started(&mut self, place: usize, target: Target) -> Result<()> {
        let mut out = io::stdout().lock();
        match self.output {
            Output { json: true, .. } => render::start_object(&mut out, &target)?,
            _ => render::header(&mut out, &target)?,
        }
        self.targets[place].target = Some(target);
        Ok(())
    }

    /// The target is somewhere else.
    fn moved(&mut self, place: usize, to: &Place) -> Result<()> {
        match self.targets[place].target.take() {
            Some(target) => self.started(place, target.moved(to)),
            None => Ok(()),
        }
    }

    fn happened(&mut self, place: usize, happening: &Happening) -> Result<()> {
        let Some(target) = &self.targets[place].target else { return Ok(()) };
        if let Some(file) = &mut self.file {
            file.note(&target.endpoint, happening)?;
        }
        let mut out = io::stdout().lock();
        if let Happening::Interim(report) = happening {
            match self.output.json {
                true => render::report_object(&mut out, "interim", target, report, &[])?,
                false => render::statistics(&mut out, target, report)?,
            }
            return Ok(());
        }
        let of_call = !matches!(happening, Happening::Interval(_));
        if self.output.quiet && of_call {
            return Ok(());
        }
        if self.output.json {
            return Ok(render::object(&mut out, &target.endpoint, happening)?);
        }
        let flood = target.interval.is_zero() && matches!(happening, Happening::Answered(_));
        if !of_call || flood {
            return Ok(());
        }
        let who = if self.targets.len() == 1 { &target.place } else { &target.found };
        if self.timestamps {
            let now = Duration::from_nanos(since_1970());
            write!(out, "[{}.{:06}] ", now.as_secs(), now.subsec_micros())?;
        }
        Ok(render::line(&mut out, who, target.size, happening)?)
    }

    /// Of several targets one may fail, or of one when it has begun; otherwise it is the end.
    fn failed(&mut self, place: usize, error: CallError) {
        let error = anyhow::Error::from(error);
        if 1 < self.targets.len() || self.targets[place].target.is_some() {
            report::tell(&error, self.output);
        }
        self.targets[place].error = Some(error);
    }

    /// The statistics, and the file.
    fn end(&mut self) -> Result<()> {
        let mut out = io::stdout().lock();
        // Behind the ^C that the terminal shows, a line of our own begins.
        let shown: Vec<(&Target, &PingReport)> = self.results().collect();
        if !self.output.json && !shown.is_empty() && io::stdout().is_terminal() {
            writeln!(out)?;
        }
        for (target, report) in &shown {
            let missed = self.missed(report);
            if self.output.json {
                render::report_object(&mut out, "end", target, report, &missed)?;
                continue;
            }
            if shown.len() == 1 || self.verbose {
                render::statistics(&mut out, target, report)?;
            }
            for text in self.missed_in_words(target, report) {
                writeln!(out, "missed   {text}")?;
            }
        }
        if 1 < shown.len() && !self.output.json {
            render::comparison(&mut out, &shown)?;
        }
        out.flush()?;
        if let Some(file) = self.file.take() {
            file.finish(&self.targets)?;
        }
        Ok(())
    }

    fn results(&self) -> impl Iterator<Item = (&Target, &PingReport)> {
        self.targets.iter().filter_map(State::result)
    }

    /// The bounds that were missed, by their flags' names.
    fn missed(&self, report: &PingReport) -> Vec<&'static str> {
        let Bounds { loss, p99 } = self.bounds;
        let lost = loss.is_some_and(|bound| bound < report.loss_percent() || report.sent() == 0);
        let rank = report.rtt.delay.rank(99.0).map(|nanos| Duration::from_nanos(nanos.max(0).unsigned_abs()));
        let slow = p99.is_some_and(|bound| rank.is_none_or(|rank| bound < rank));
        [(lost, "max_loss"), (slow, "max_p99")]
            .into_iter()
            .filter(|(missed, _)| *missed)
            .map(|(_, name)| name)
            .collect()
    }

    fn missed_in_words(&self, target: &Target, report: &PingReport) -> Vec<String> {
        let what = |name: &&str| match (*name, report.rtt.delay.rank(99.0)) {
            ("max_loss", _) => {
                let bound = self.bounds.loss.unwrap_or_default();
                format!("{}: {:.3}% lost, over {bound}%", target.endpoint, report.loss_percent())
            }
            (_, Some(p99)) => {
                let bound = self.bounds.p99.unwrap_or_default();
                format!(
                    "{}: p99 is {} ms, over {}",
                    target.endpoint,
                    render::millis(p99),
                    render::spaced(bound)
                )
            }
            (_, None) => format!("{}: nothing was answered, so there is no p99", target.endpoint),
        };
        self.missed(report).iter().map(what).collect()
    }

    fn outcome(&self) -> Outcome {
        let good = |state: &State| {
            let (Some(target), Some(report), None) = (&state.target, &state.report, &state.error) else {
                return false;
            };
            let all = target.count.is_none_or(|count| report.answered == count);
            report.answered + report.late != 0 && all && self.missed(report).is_empty()
        };
        if self.targets.iter().all(good) && !self.targets.is_empty() {
            Outcome::Done
        } else {
            Outcome::Lacking
        }
    }
}

/// What the result file is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Csv,
    Hdr,
    Html,
}

/// A file for the result, opened before anything is measured.
struct ResultFile {
    path: PathBuf,
    form: Form,
    out: BufWriter<File>,
}

impl ResultFile {
    fn create(path: PathBuf) -> Result<Self> {
        let form = match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Form::Csv,
            Some("hdr") => Form::Hdr,
            Some("html") => Form::Html,
            _ => Form::Json,
        };
        let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let mut result = Self { form, out: BufWriter::new(file), path };
        if form == Form::Csv {
            let told = render::csv_header(&mut result.out);
            told.with_context(|| failure(&result.path))?;
        }
        Ok(result)
    }

    /// A call is a line of a file of calls.
    fn note(&mut self, endpoint: &str, happening: &Happening) -> Result<()> {
        match self.form {
            Form::Csv => render::csv(&mut self.out, endpoint, happening).with_context(|| failure(&self.path)),
            _ => Ok(()),
        }
    }

    fn finish(mut self, states: &[State]) -> Result<()> {
        let results: Vec<_> = states.iter().filter_map(State::result).collect();
        let written = match self.form {
            Form::Csv => Ok(()),
            Form::Hdr => render::hdr(&mut self.out, &results),
            Form::Json => results.iter().try_for_each(|(target, report)| {
                Ok(render::report_object(&mut self.out, "end", target, report, &[])?)
            }),
            Form::Html => write_page(&mut self.out, states),
        };
        written.and_then(|()| Ok(self.out.flush()?)).with_context(|| failure(&self.path))
    }
}

fn write_page(out: &mut impl Write, states: &[State]) -> Result<()> {
    let started = states.iter().filter_map(|state| state.target.as_ref()).map(|target| target.started).min();
    let started = Timestamp::from_nanosecond(i128::from(started.unwrap_or_else(since_1970)))?;
    let title = started.to_zoned(TimeZone::system()).strftime("sounder ping, %F %T %:z").to_string();
    let errors: Vec<Option<String>> =
        states.iter().map(|state| state.error.as_ref().map(|error| sentence(error.chain()))).collect();
    let targets: Vec<page::Target<'_>> = states
        .iter()
        .zip(&errors)
        .map(|(state, error)| page::Target {
            endpoint: &state.endpoint,
            about: state.target.as_ref(),
            report: state.report.as_deref(),
            error: error.as_deref(),
        })
        .collect();
    Ok(page::page(out, &title, &targets)?)
}

fn failure(path: &Path) -> String {
    format!("write {}", path.display())
}
