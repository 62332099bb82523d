//! `sounder talk`: a conversation on a terminal, in lockstep for a program, or a pipe of bytes.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{
    BackgroundWriter, ClientError, Eol, LineSource, Lines, Peer, Pipe, Talk, TalkEnd, TalkError, TalkMode,
    WaitLimit,
};
use echosounder_socket::{Kind, Signal, StopToken};

use self::printer::{Printer, Prompt, Style, print_connected};
use super::editor::Editor;
use super::signals;
use super::terminal::{self, Terminal};
use crate::config;
use crate::failure::{Advised, Outcome};
use crate::output::{Output, understands_escapes};
use crate::render::terminal_text::TerminalText;
use crate::stderr::stderr;

mod printer;
mod result;

/// The longest line that is sent as one request on a stream, in bytes.
const STREAM_LINE_MAX: usize = 16 * 1024 * 1024;

/// The longest line that is tried as one message, in bytes. Most sockets have a lower limit.
const MESSAGE_LINE_MAX: usize = 1024 * 1024;

/// Runs a conversation until the input or the peer ends it.
pub(crate) fn run(config: config::Talk, output: Output) -> Result<Outcome> {
    let is_interactive = io::stdin().is_terminal() && io::stdout().is_terminal() && !output.json;
    let signals = signals::receive(&[Signal::User1])?;
    let stop = StopToken::new().context("cannot create an eventfd")?;
    let restore =
        is_interactive.then(terminal::restorer).transpose().context("cannot set up the terminal")?;
    let clean_up = move || restore.into_iter().for_each(|restore| restore());
    signals::stop_on_signal(signals, stop.clone(), || (), clean_up)?;
    let limit = WaitLimit::new(stop.clone(), config.deadline.unwrap_or(Duration::MAX));
    let peer = match Peer::connect_with(config.connect.clone(), limit.clone()) {
        // No message is needed: the user has sent the signal.
        Err(ClientError::Stopped) => return Ok(Outcome::Incomplete),
        result => result.map_err(|error| Advised::at(&config.connect.endpoint, error, ""))?,
    };
    if is_interactive {
        // It is dropped last, so that every end of the conversation restores the terminal.
        let mut terminal = Terminal::of_input().context("cannot set up the terminal")?;
        return talk_on_terminal(&config, output, peer, &mut terminal, stop);
    }
    let kind = config.connect.endpoint.transport().kind();
    // With datagrams only a reply shows at which address of a name a server is.
    let reached = (kind != Kind::Datagrams).then(|| peer.peer_endpoint());
    if let Some(endpoint) = reached.as_ref().filter(|_| config.verbose) {
        print_connected(endpoint, output.json)?;
    }
    if kind == Kind::Stream && !config.lines && !output.json {
        let writer = stdout_writer(config.raw, limit)?;
        let summary = Pipe::new(peer, terminal::input()?, writer, config.eol).run()?;
        return result::of_pipe(&config, output, summary);
    }
    let style = if output.json { Style::Json } else { Style::Plain };
    let writer = stdout_writer(config.raw || output.json, limit)?;
    let printer = Printer::new(&config, output, style, Prompt::None, writer, stop, reached);
    let max = if kind == Kind::Stream { STREAM_LINE_MAX } else { MESSAGE_LINE_MAX };
    let lines = Lines::new(terminal::input()?, max);
    converse(&config, output, peer, lines, printer)
}

/// Returns a writer to standard output. On a terminal it escapes what could act on the terminal,
/// unless the bytes are to be written unchanged.
fn stdout_writer(unchanged: bool, limit: WaitLimit) -> Result<BackgroundWriter> {
    let out = File::from(io::stdout().as_fd().try_clone_to_owned().context("cannot write the output")?);
    let writer = match io::stdout().is_terminal() && !unchanged {
        true => BackgroundWriter::start(TerminalText::new(out), limit),
        false => BackgroundWriter::start(out, limit),
    };
    writer.context("cannot write the output")
}

fn talk_on_terminal(
    config: &config::Talk,
    output: Output,
    peer: Peer,
    terminal: &mut Terminal,
    stop: StopToken,
) -> Result<Outcome> {
    if !output.quiet {
        let leave = if config.eol == Eol::None { "an empty line or Ctrl-D" } else { "Ctrl-D" };
        let is_connected = peer.endpoint().transport().kind() != Kind::Datagrams;
        let connected = if is_connected { "Connected" } else { "Sending" };
        writeln!(stderr(), "{connected} to {}; {leave} ends the conversation", peer.peer_endpoint())?;
    }
    // The limit of time ends the conversation, and the terminal is written to after that.
    let writer = stdout_writer(true, WaitLimit::new(stop.clone(), Duration::MAX))?;
    let reached = Some(peer.peer_endpoint());
    let printer = |style, prompt| Printer::new(config, output, style, prompt, writer, stop, reached);
    let mut typed = Vec::new();
    // Bytes that are written unchanged could tear the line that is being typed.
    if !config.raw && understands_escapes() {
        terminal.stop_echo().context("cannot set up the terminal")?;
        let (reports_cursor, early) = terminal.reports_cursor().context("cannot query the terminal")?;
        if reports_cursor {
            terminal.mark_pastes().context("cannot set up the terminal")?;
            let (editor, lines) = Editor::start(&early).context("cannot start the line editor")?;
            let printer = printer(Style::Labelled, Prompt::Editor(editor));
            return converse(config, output, peer, lines, printer);
        }
        terminal.restore().context("cannot set up the terminal")?;
        typed = early;
    }
    let style = if config.raw { Style::Plain } else { Style::Labelled };
    let input = terminal::WithoutCursorReport(terminal::input()?);
    let lines = Lines::new(input, MESSAGE_LINE_MAX).with_first(&typed);
    converse(config, output, peer, lines, printer(style, Prompt::Plain))
}

fn converse(
    config: &config::Talk,
    output: Output,
    peer: Peer,
    lines: impl LineSource,
    mut printer: Printer,
) -> Result<Outcome> {
    let mode = printer.mode();
    let result = Talk::new(peer, lines, config.eol, mode).run(|event| printer.print(event));
    // The terminal is restored before an error is printed on it.
    printer.finish(result.as_ref().map_or(TalkEnd::EmptyLine, |summary| summary.close_reason))?;
    let summary = result.map_err(|error| match error {
        TalkError::Peer(error) => Advised::at(&config.connect.endpoint, error, ""),
        error => error.into(),
    })?;
    result::of_talk(config, output, summary, mode == TalkMode::Interactive)
}
