//! `sounder talk`

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use echosounder_client::{End, Heard, Part, Peer, Said, Talk, TalkError};
use serde::Serialize;

use super::editor::Editor;
use super::signals;
use crate::args::Output;
use crate::config;
use crate::render::escape::Escaped;
use crate::render::json::{self, Bytes};
use crate::report::{NoServer, Outcome};
use crate::stderr::stderr;

/// Talks until the input or the peer ends.
pub(crate) fn run(config: config::Talk, output: Output) -> Result<Outcome> {
    let wait = config.call.wait;
    let endpoint = config.call.endpoint.clone();
    let called = endpoint.to_string();
    let peer = Peer::call(config.call).map_err(|error| NoServer::at(&endpoint, error, ""))?;
    if config.verbose {
        writeln!(stderr(), "Connected to {}", peer.endpoint())?;
    }
    // Before the editor's thread, which would die of them with the terminal in its hands.
    let signals = signals::receive(&[])?;
    let style = match (output.json, config.raw || !io::stdout().is_terminal()) {
        (true, _) => Style::Json,
        (false, true) => Style::Plain,
        (false, false) => Style::Labelled,
    };
    let (prompting, input) = prompting(style)?;
    let (quiet, colored) = (output.quiet, config.colored);
    let mut page = Page {
        style,
        prompting,
        typing: false,
        newline_due: false,
        quiet,
        colored,
        called,
        wait,
        answer: Vec::new(),
    };
    let interrupt = signals.as_fd().try_clone_to_owned().context("receive signals")?;
    let talk = Talk::new(peer, input, config.eol, interrupt).context("talk")?;
    let result = talk.run(|said| page.write(said));
    // However it ended, the terminal is put in order before anything else is said on it.
    page.end(result.as_ref().map_or(End::EmptyLine, |summary| summary.end))?;
    let summary = result.map_err(|error| match error {
        TalkError::Call(error) => NoServer::at(&endpoint, error, ""),
        error => error.into(),
    })?;
    if summary.end == End::Peer && summary.answered < summary.asked && !output.quiet {
        writeln!(stderr(), "the last line was not answered")?;
    }
    let unanswered = summary.answered == 0 && summary.asked != 0 && summary.end != End::Peer;
    Ok(if unanswered { Outcome::Lacking } else { Outcome::Done })
}

/// How lines are asked for, and where they come from.
fn prompting(style: Style) -> Result<(Prompting, File)> {
    let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && style != Style::Json;
    // What is written as it is cannot be kept off the line that is being typed.
    if on_terminal && style == Style::Labelled && config::is_capable() {
        let (editor, input) = Editor::start().context("start the line editor")?;
        return Ok((Prompting::Edited(editor), input));
    }
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().context("read the input")?);
    Ok((if on_terminal { Prompting::Plain } else { Prompting::None }, input))
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
    /// Whether a line is being typed.
    typing: bool,
    /// Whether a newline was left out of what was last asked, so that none can come back.
    newline_due: bool,
    quiet: bool,
    colored: bool,
    called: String,
    wait: Duration,
    /// The answer so far, where it is written as a whole.
    answer: Vec<u8>,
}

#[derive(Serialize)]
struct Object<'a> {
    event: &'static str,
    peer: &'a str,
    #[serde(flatten)]
    content: Option<Bytes<'a>>,
    rtt_ns: Option<u64>,
}

impl Page {
    fn write(&mut self, said: Said<'_>) -> io::Result<()> {
        match said {
            Said::Prompt => self.prompt(),
            Said::Asked { without_newline } => {
                (self.typing, self.newline_due) = (false, without_newline);
                Ok(())
            }
            Said::Heard(heard) => self.hear(heard),
            Said::Silence => self.silence(),
        }
    }

    fn prompt(&mut self) -> io::Result<()> {
        self.typing = true;
        match &self.prompting {
            Prompting::None => Ok(()),
            Prompting::Plain => {
                let mut out = io::stdout().lock();
                out.write_all(b">")?;
                out.flush()
            }
            Prompting::Edited(editor) => {
                editor.ask();
                Ok(())
            }
        }
    }

    fn hear(&mut self, heard: Heard<'_>) -> io::Result<()> {
        if self.style == Style::Plain {
            let mut out = io::stdout().lock();
            out.write_all(heard.bytes)?;
            // With the newline that was left out, programs can tell answers apart.
            let ends = matches!(heard.part, Part::Answer(_)) && self.newline_due;
            if ends && heard.bytes.last() != Some(&b'\n') {
                out.write_all(b"\n")?;
            }
            return out.flush();
        }
        self.answer.extend_from_slice(heard.bytes);
        match heard.part {
            Part::Begun => Ok(()),
            Part::Answer(after) => self.show(Some(after)),
            Part::Unasked => self.show(None),
        }
    }

    /// Writes the answer that has been gathered.
    fn show(&mut self, after: Option<Duration>) -> io::Result<()> {
        let answer = std::mem::take(&mut self.answer);
        if self.style == Style::Json {
            let rtt_ns = after.map(|after| u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
            let content = Some(Bytes::from(&answer[..]));
            let object = Object { event: "answer", peer: &self.called, content, rtt_ns };
            return json::line(&mut io::stdout().lock(), &object);
        }
        let text = answer.strip_suffix(b"\n").unwrap_or(&answer);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let mut line = format!("Server: {}", Escaped(text));
        if let Some(after) = after {
            let rtt = format!("{:.2} ms", after.as_secs_f64() * 1e3);
            line += &if self.colored { format!("   \x1b[2m{rtt}\x1b[0m") } else { format!("   {rtt}") };
        }
        match &mut self.prompting {
            Prompting::Edited(editor) if self.typing => editor.print(line),
            _ => writeln!(io::stdout(), "{line}")?,
        }
        Ok(())
    }

    fn silence(&mut self) -> io::Result<()> {
        if self.style == Style::Json {
            let object = Object { event: "silence", peer: &self.called, content: None, rtt_ns: None };
            return json::line(&mut io::stdout().lock(), &object);
        }
        if self.quiet {
            return Ok(());
        }
        writeln!(stderr(), "no answer from {} within {:?}", self.called, self.wait)
    }

    /// Writes what has come of an answer, leaves the line that the prompt is on, and gives the terminal back.
    fn end(mut self, end: End) -> io::Result<()> {
        if !self.answer.is_empty() {
            self.show(None)?;
        }
        let alone_on_line = match self.prompting {
            Prompting::None => return Ok(()),
            Prompting::Plain => self.typing && end != End::EmptyLine,
            Prompting::Edited(editor) => {
                editor.finish()?;
                self.typing && matches!(end, End::Peer | End::Interrupt)
            }
        };
        if alone_on_line {
            writeln!(io::stdout())?;
        }
        if end == End::Peer {
            writeln!(stderr(), "{} has ended the conversation", self.called)?;
        }
        Ok(())
    }
}
