//! `sounder talk`

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{
    BackgroundWriter, ClientError, End, Eol, FailureKind, Heard, LineSource, Lines, Manner, Missed, Part,
    Passed, Peer, Pipe, Summary, Talk, TalkError, TalkEvent,
};
use echosounder_socket::{Error, Kind};

use super::editor::{Editor, Printed};
use super::signals;
use super::terminal::{self, Terminal};
use crate::args::Output;
use crate::config;
use crate::failure::{Advised, Outcome};
use crate::render::escape::Escaped;
use crate::render::json::EventTime;
use crate::render::numbers::grouped;
use crate::render::talk::json;
use crate::render::terminal_text::{TerminalText, unfinished};
use crate::render::transcript::counted;
use crate::stderr::stderr;

/// Longest line that is sent as one request on a stream.
const STREAM_LINE_MAX: usize = 16 * 1024 * 1024;

/// Longest line that is tried as one message; the kernel's limits are lower, but for some sockets.
const MESSAGE_LINE_MAX: usize = 1024 * 1024;

/// Longest message whose reply, with the longest timestamp, fits in a UDP datagram: 65,507 - 128 bytes.
const ANSWERABLE_MAX: usize = 65_379;

/// Most bytes of a reply that are shown on a terminal.
const SHOWN_MAX: usize = 4096;

/// A reply that is longer than this is shown on a terminal before it has ended.
const REPLY_MAX: usize = 256 * 1024;

/// Most bytes of a reply in one object of JSON.
const JSON_MAX: usize = 1024 * 1024;

/// What may be the matter with a server that answers no line.
const EOL_HINT: &str = "a server that reads whole lines needs --eol lf or --eol crlf";

/// Talks until the input or the peer ends.
pub(crate) fn run(config: config::Talk, output: Output) -> Result<Outcome> {
    let span = config.deadline.unwrap_or(Duration::MAX);
    let peer = Peer::call_within(config.call.clone(), span)
        .map_err(|error| Advised::at(&config.call.endpoint, error, ""))?;
    // Before the first thread, which would die of them with the terminal in its hands.
    let signals = signals::receive(&[])?;
    let interrupt = || signals.as_fd().try_clone_to_owned().context("cannot receive signals");
    let is_stream = config.call.endpoint.transport().kind() == Kind::Stream;
    let is_typed = io::stdin().is_terminal() && io::stdout().is_terminal() && !output.json;
    if is_typed {
        // However it ends, the terminal is put in order last.
        let mut terminal = Terminal::of_input().context("cannot set up the terminal")?;
        return talk_by_hand(&config, output, peer, &mut terminal, interrupt()?);
    }
    // Of datagrams only an answer tells which address of a name has somebody there.
    let is_connected = config.call.endpoint.transport().kind() != Kind::Datagrams;
    let told = is_connected.then(|| peer.endpoint());
    if let Some(endpoint) = told.as_ref().filter(|_| config.verbose) {
        writeln!(stderr(), "Connected to {endpoint}")?;
    }
    if is_stream && !config.lines && !output.json {
        let out = output_of(config.raw, interrupt()?, span)?;
        let passed = Pipe::new(peer, terminal::input()?, out, config.eol, interrupt()?).run()?;
        return finish_pipe(&config, output, passed);
    }
    let style = if output.json { Style::Json } else { Style::Plain };
    let out = output_of(config.raw || output.json, interrupt()?, span)?;
    let page = Page::new(&config, output, style, Prompting::None, out, interrupt()?);
    let page = Page { told, ..page };
    let max = if is_stream { STREAM_LINE_MAX } else { MESSAGE_LINE_MAX };
    let lines = Lines::new(terminal::input()?, max);
    converse(&config, output, peer, lines, page, interrupt()?)
}

/// Standard output, written in the background; on a terminal, unless that is to be, so that nothing acts on it.
fn output_of(unchanged: bool, interrupt: OwnedFd, span: Duration) -> Result<BackgroundWriter> {
    let out = File::from(io::stdout().as_fd().try_clone_to_owned().context("cannot write the output")?);
    let writer = match io::stdout().is_terminal() && !unchanged {
        true => BackgroundWriter::start(TerminalText::new(out), interrupt, span),
        false => BackgroundWriter::start(out, interrupt, span),
    };
    writer.context("cannot write the output")
}

/// Talks on a terminal.
fn talk_by_hand(
    config: &config::Talk,
    output: Output,
    peer: Peer,
    terminal: &mut Terminal,
    interrupt: OwnedFd,
) -> Result<Outcome> {
    if !output.quiet {
        let leave = if config.eol == Eol::None { "an empty line or Ctrl-D" } else { "Ctrl-D" };
        let connected =
            if peer.called().transport().kind() == Kind::Datagrams { "Sending" } else { "Connected" };
        writeln!(stderr(), "{connected} to {}; {leave} ends the conversation", peer.endpoint())?;
    }
    let out = output_of(true, interrupt.try_clone()?, Duration::MAX)?;
    let told = Some(peer.endpoint());
    let page = |style, prompting| {
        let interrupt = interrupt.try_clone().context("cannot receive signals")?;
        let page = Page::new(config, output, style, prompting, out, interrupt);
        anyhow::Ok(Page { told, ..page })
    };
    let mut typed = Vec::new();
    // What is written unchanged cannot be kept off the line that is being typed.
    if !config.raw && crate::output::understands_escapes() {
        terminal.stop_echo().context("cannot set up the terminal")?;
        let (tells_position, early) = terminal.tells_position().context("cannot query the terminal")?;
        if tells_position {
            terminal.mark_pastes().context("cannot set up the terminal")?;
            let (editor, lines) = Editor::start(&early).context("cannot start the line editor")?;
            let page = page(Style::Labelled, Prompting::Edited(editor))?;
            return converse(config, output, peer, lines, page, interrupt.try_clone()?);
        }
        terminal.restore().context("cannot set up the terminal")?;
        typed = early;
    }
    let style = if config.raw { Style::Plain } else { Style::Labelled };
    let page = page(style, Prompting::Plain)?;
    let input = terminal::WithoutPosition(terminal::input()?);
    let lines = Lines::new(input, MESSAGE_LINE_MAX).with_first(&typed);
    converse(config, output, peer, lines, page, interrupt.try_clone()?)
}

fn converse(
    config: &config::Talk,
    output: Output,
    peer: Peer,
    lines: impl LineSource,
    mut page: Page,
    interrupt: OwnedFd,
) -> Result<Outcome> {
    let is_typed = !matches!(page.prompting, Prompting::None);
    let manner = if is_typed { Manner::Typed } else { Manner::Program };
    let result = Talk::new(peer, lines, config.eol, manner, interrupt)
        .context("cannot talk")?
        .run(|said| page.write(said));
    // However it ended, the terminal is put in order before anything else is said on it.
    page.end(result.as_ref().map_or(End::EmptyLine, |summary| summary.end))?;
    let summary = result.map_err(|error| match error {
        TalkError::Call(error) => Advised::at(&config.call.endpoint, error, ""),
        error => error.into(),
    })?;
    finish_talk(config, output, summary, is_typed)
}

/// What comes of a conversation line by line.
fn finish_talk(config: &config::Talk, output: Output, summary: Summary, is_typed: bool) -> Result<Outcome> {
    let unanswered = summary.asked - summary.answered;
    if summary.end == End::Deadline {
        return overdue(config, output);
    }
    // Whoever interrupts it does not want to wait for the answer under way.
    let was_interrupted = summary.end == End::Interrupt && (is_typed || summary.word.is_none());
    if summary.unsent == 0 && (unanswered == 0 || was_interrupted) {
        return Ok(Outcome::Done);
    }
    if is_typed && summary.end == End::Peer {
        return fail(config, output, summary.word, "the last line was not answered".into());
    }
    // A person has been told of each line, and whoever wants quiet does not want to know of each.
    if output.quiet || is_typed {
        return Ok(Outcome::Incomplete);
    }
    let total = summary.asked + summary.unsent;
    let or_more = if summary.more_unsent { " or more" } else { "" };
    let of = format!("of {}{or_more}", counted(total, "line"));
    let were = |count: u64| if count == 1 { "was" } else { "were" };
    let [answered, sent] = [(unanswered, "answered"), (summary.unsent, "sent")]
        .map(|(count, what)| format!("{} {of} {} not {what}", grouped(count), were(count)));
    let missed = match (unanswered, summary.unsent) {
        (_, 0) => answered,
        (0, _) => sent,
        _ => format!("{answered}, {} {} not sent", grouped(summary.unsent), were(summary.unsent)),
    };
    if summary.word != Some(FailureKind::Timeout) {
        return fail(config, output, summary.word, missed);
    }
    let endpoint = &config.call.endpoint;
    let why = io::Error::other(format!("{missed} within {:?}", config.call.wait));
    let error = Error::new("talk to", endpoint, why);
    let lacks_newlines = endpoint.transport().kind() == Kind::Stream && config.eol == Eol::None;
    let error = ClientError::Peer(FailureKind::Timeout, error);
    Err(if lacks_newlines { Advised::new(error, EOL_HINT).into() } else { error.into() })
}

/// What comes of a stream that has passed.
fn finish_pipe(config: &config::Talk, output: Output, passed: Passed) -> Result<Outcome> {
    let (word, why) = match passed.failure {
        _ if passed.end == End::Deadline => return overdue(config, output),
        _ if passed.end == End::Interrupt => return Ok(Outcome::Done),
        None if passed.unsent == 0 => return Ok(Outcome::Done),
        Some(failure) if passed.unsent == 0 => return Err(failure.into()),
        Some(failure) => (failure.word(), "the connection was lost"),
        None => (Some(FailureKind::Closed), "the peer closed the connection"),
    };
    let or_more = if passed.more_unsent { " or more" } else { "" };
    let bytes = counted(passed.unsent, "byte").replace(&passed.unsent.to_string(), &grouped(passed.unsent));
    let were = if passed.unsent == 1 { "was" } else { "were" };
    fail(config, output, word, format!("{why}: {bytes}{or_more} of the input {were} not sent"))
}

fn overdue(config: &config::Talk, output: Output) -> Result<Outcome> {
    let deadline = config.deadline.unwrap_or_default();
    fail(config, output, Some(FailureKind::Timeout), format!("stopped after {deadline:?} (--deadline)"))
}

fn fail(config: &config::Talk, output: Output, word: Option<FailureKind>, why: String) -> Result<Outcome> {
    let endpoint = &config.call.endpoint;
    match word {
        Some(word) => {
            Err(ClientError::Peer(word, Error::new("talk to", endpoint, io::Error::other(why))).into())
        }
        None => {
            crate::failure::tell(&anyhow::anyhow!("cannot talk to {endpoint}: {why}"), output);
            Ok(Outcome::Incomplete)
        }
    }
}

/// How lines are asked for.
#[derive(Debug)]
enum Prompting {
    /// Not at all: they come from a program or a file.
    None,
    /// With a prompt, on a terminal that can do no more.
    Plain,
    /// With a line editor.
    Edited(Editor),
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// For a person: behind a label, and escaped.
    Labelled,
    /// For a program: as they are.
    Plain,
    /// An object for each.
    Json,
}

/// What is written of a conversation.
struct Page {
    style: Style,
    prompting: Prompting,
    out: BackgroundWriter,
    interrupt: OwnedFd,
    /// Whether a line is being typed.
    typing: bool,
    /// Whether newlines are left out of what is asked, so that none can come back.
    newline_due: bool,
    quiet: bool,
    /// Whether to tell where the peer is, and what was told.
    verbose: bool,
    told: Option<String>,
    colored: bool,
    called: String,
    kind: Kind,
    wait: Duration,
    /// The answer so far, where it is written as a whole; of a long one, the beginning.
    answer: Vec<u8>,
    /// How long it is.
    answer_len: usize,
    /// The last byte of the answer so far, where it is written as it comes.
    last_byte: Option<u8>,
}

impl Page {
    fn new(
        config: &config::Talk,
        output: Output,
        style: Style,
        prompting: Prompting,
        out: BackgroundWriter,
        interrupt: OwnedFd,
    ) -> Self {
        let is_typed = !matches!(prompting, Prompting::None);
        Self {
            style,
            prompting,
            out,
            interrupt,
            typing: false,
            newline_due: config.eol == Eol::None,
            quiet: output.quiet,
            verbose: if is_typed { !output.quiet } else { config.verbose },
            told: None,
            colored: config.colored,
            called: config.call.endpoint.to_string(),
            kind: config.call.endpoint.transport().kind(),
            wait: config.call.wait,
            answer: Vec::new(),
            answer_len: 0,
            last_byte: None,
        }
    }

    fn write(&mut self, said: TalkEvent<'_>) -> io::Result<()> {
        match said {
            TalkEvent::Prompt => self.prompt(),
            TalkEvent::Reached(endpoint) => self.reach(endpoint),
            TalkEvent::Asked => {
                self.typing = false;
                Ok(())
            }
            TalkEvent::Heard(heard) => self.hear(heard),
            TalkEvent::Missed { line, len, why } => self.miss(line, len, why),
        }
    }

    /// Tells where the peer is, unless that was told before.
    fn reach(&mut self, endpoint: &str) -> io::Result<()> {
        if self.told.as_deref() == Some(endpoint) || self.typing {
            return Ok(());
        }
        self.told = Some(endpoint.to_owned());
        if self.verbose { writeln!(stderr(), "Connected to {endpoint}") } else { Ok(()) }
    }

    fn prompt(&mut self) -> io::Result<()> {
        self.typing = true;
        match &self.prompting {
            Prompting::None => Ok(()),
            Prompting::Plain => self.out.write(b">"),
            Prompting::Edited(editor) => {
                editor.ask();
                Ok(())
            }
        }
    }

    fn hear(&mut self, heard: Heard<'_>) -> io::Result<()> {
        if self.style == Style::Plain {
            return self.write_unchanged(heard);
        }
        let room =
            if self.style == Style::Json { JSON_MAX } else { SHOWN_MAX }.saturating_sub(self.answer.len());
        self.answer.extend_from_slice(&heard.bytes[..heard.bytes.len().min(room)]);
        self.answer_len += heard.bytes.len();
        match (self.style, heard.part) {
            // In JSON, that the line was not answered is told already.
            (Style::Json, Part::Late(_)) => self.show(None),
            (_, Part::Answer(after) | Part::Late(after)) => self.show(Some(after)),
            (_, Part::Unasked) => self.show(None),
            (Style::Json, Part::Begun) if room < heard.bytes.len() => {
                let begun = self.answer.split_off(self.answer.len() - unfinished(&self.answer));
                self.show(None)?;
                (self.answer_len, self.answer) = (begun.len(), begun);
                self.hear(Heard { bytes: &heard.bytes[room..], part: heard.part })
            }
            (Style::Labelled, Part::Begun) if REPLY_MAX <= self.answer_len => self.show(None),
            (_, Part::Begun) => Ok(()),
        }
    }

    fn write_unchanged(&mut self, heard: Heard<'_>) -> io::Result<()> {
        self.last_byte = heard.bytes.last().copied().or(self.last_byte);
        let last_byte = self.last_byte;
        if !heard.bytes.is_empty() {
            self.out.write(heard.bytes)?;
        }
        if heard.part == Part::Begun {
            return Ok(());
        }
        self.last_byte = None;
        // With the newline that was left out, programs can tell answers apart.
        let is_whole = self.kind != Kind::Stream || matches!(heard.part, Part::Answer(_) | Part::Late(_));
        if is_whole && self.newline_due && last_byte != Some(b'\n') { self.out.write(b"\n") } else { Ok(()) }
    }

    /// Writes the answer that has been gathered.
    fn show(&mut self, after: Option<Duration>) -> io::Result<()> {
        let (answer, len) = (std::mem::take(&mut self.answer), std::mem::take(&mut self.answer_len));
        if self.style == Style::Json {
            let mut line = Vec::new();
            json::reply(&mut line, &EventTime::now(), &self.called, &answer, after)?;
            return self.out.write(&line);
        }
        let line = self.line(&answer, len, after);
        let line = match &mut self.prompting {
            Prompting::Edited(editor) if self.typing => match editor.print(line, self.interrupt.as_fd())? {
                Printed::Done => return Ok(()),
                Printed::NotTyping(line) => line,
            },
            _ => line,
        };
        self.out.write((line + "\n").as_bytes())
    }

    /// An answer as a person sees it.
    fn line(&self, answer: &[u8], len: usize, after: Option<Duration>) -> String {
        let mut line = if answer.len() < len {
            let whole = &answer[..answer.len() - unfinished(answer)];
            format!("Server: {}… ({} bytes)", Escaped(whole), grouped(len as u64))
        } else {
            let text = answer.strip_suffix(b"\n").unwrap_or(answer);
            format!("Server: {}", Escaped(text.strip_suffix(b"\r").unwrap_or(text)))
        };
        if let Some(after) = after {
            let rtt = format!("{:.2} ms", after.as_secs_f64() * 1e3);
            line += &if self.colored { format!("   \x1b[2m{rtt}\x1b[0m") } else { format!("   {rtt}") };
        }
        line
    }

    /// Tells of a line that was not sent, or not answered.
    fn miss(&mut self, line: u64, len: usize, why: &Missed) -> io::Result<()> {
        if self.style == Style::Json {
            return self.miss_as_json(line, len, why);
        }
        if !self.answer.is_empty() {
            self.show(None)?;
        }
        if self.quiet {
            return Ok(());
        }
        match why {
            Missed::Silence => {
                let hint = match self.kind {
                    Kind::Stream => "",
                    _ if ANSWERABLE_MAX < len => {
                        " (with a timestamp the reply may be too long for one message)"
                    }
                    _ => "",
                };
                writeln!(stderr(), "no answer from {} within {:?}{hint}", self.called, self.wait)
            }
            Missed::TooLong => writeln!(stderr(), "{}", self.too_long(line, len)),
            Missed::Unsent(error) => writeln!(stderr(), "line {line} was not sent: {}", sentence(error)),
            Missed::Failed(error) => writeln!(stderr(), "line {line} was not answered: {}", sentence(error)),
        }
    }

    fn miss_as_json(&mut self, line: u64, len: usize, why: &Missed) -> io::Result<()> {
        if !self.answer.is_empty() {
            self.show(None)?;
        }
        let mut object = Vec::new();
        let (time, endpoint) = (EventTime::now(), &self.called);
        let error = match why {
            Missed::Silence | Missed::Failed(_) => {
                json::no_reply(&mut object, &time, endpoint)?;
                return self.out.write(&object);
            }
            Missed::TooLong => self.too_long(line, len),
            Missed::Unsent(error) => format!("line {line} was not sent: {}", sentence(error)),
        };
        json::not_sent(&mut object, &time, endpoint, line, len, &error)?;
        self.out.write(&object)
    }

    fn too_long(&self, line: u64, len: usize) -> String {
        let bytes = grouped(len as u64);
        match self.kind {
            Kind::Stream => format!("line {line} was not sent: {bytes} bytes are too long for a line"),
            _ => format!(
                "line {line} was not sent: {bytes} bytes are too long for one message to {}",
                self.called
            ),
        }
    }

    /// Writes what has come of an answer, leaves the line that the prompt is on, and gives the terminal back.
    fn end(mut self, end: End) -> io::Result<()> {
        let is_open = end != End::Interrupt && end != End::Deadline;
        if self.answer_len != 0 && is_open {
            self.show(None)?;
        }
        let alone_on_line = match self.prompting {
            Prompting::None => return Ok(()),
            Prompting::Plain => self.typing && end != End::EmptyLine,
            Prompting::Edited(editor) => {
                let unprinted = editor.finish()?;
                if let Some(line) = unprinted.filter(|_| is_open) {
                    self.out.write((line + "\n").as_bytes())?;
                }
                self.typing && matches!(end, End::Peer | End::Interrupt | End::Deadline)
            }
        };
        if alone_on_line {
            terminal::write(b"\n")?;
        }
        if end == End::Peer {
            writeln!(stderr(), "{} has ended the conversation", self.called)?;
        }
        Ok(())
    }
}

fn sentence(error: &ClientError) -> String {
    crate::failure::sentence(std::iter::successors(
        Some(error as &(dyn std::error::Error + 'static)),
        |error| error.source(),
    ))
}
