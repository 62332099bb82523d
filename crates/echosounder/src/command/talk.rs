//! `sounder talk`

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use echosounder_client::{End, Heard, Part, Peer, Said, Talk};
use serde::Serialize;

use crate::args::Output;
use crate::config;
use crate::render::escape::Escaped;
use crate::render::json::{self, Bytes};
use crate::report::{NoServer, Outcome};

/// Talks until the input or the peer ends.
pub(crate) fn run(config: config::Talk, output: Output) -> Result<Outcome> {
    let wait = config.call.wait;
    let called = config.call.endpoint.to_string();
    let failed = |error| if config.on_default { NoServer(error).into() } else { anyhow::Error::from(error) };
    let peer = Peer::call(config.call).map_err(failed)?;
    if output.verbose {
        writeln!(io::stderr(), "Connected to {}", peer.endpoint())?;
    }
    let mut page = Page::new(output, config.raw, called, wait);
    let summary = Talk::new(peer, io::stdin(), config.eol).run(|said| page.write(said))?;
    page.end(summary.end)?;
    let unanswered = summary.answered == 0 && summary.asked != 0 && summary.end != End::Peer;
    Ok(if unanswered { Outcome::Lacking } else { Outcome::Done })
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
    prompts: bool,
    quiet: bool,
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
    fn new(output: Output, raw: bool, called: String, wait: Duration) -> Self {
        let terminal = io::stdout().is_terminal();
        let style = match (output.json, raw || !terminal) {
            (true, _) => Style::Json,
            (false, true) => Style::Plain,
            (false, false) => Style::Labelled,
        };
        let prompts = terminal && io::stdin().is_terminal() && !output.json;
        Self { style, prompts, quiet: output.quiet, called, wait, answer: Vec::new() }
    }

    fn write(&mut self, said: Said<'_>) -> io::Result<()> {
        match said {
            Said::Prompt => self.prompt(),
            Said::Heard(heard) => self.hear(heard),
            Said::Silence => self.silence(),
        }
    }

    fn prompt(&mut self) -> io::Result<()> {
        if !self.prompts {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        out.write_all(b">")?;
        out.flush()
    }

    fn hear(&mut self, heard: Heard<'_>) -> io::Result<()> {
        if self.style == Style::Plain {
            let mut out = io::stdout().lock();
            out.write_all(heard.bytes)?;
            // The newline was not sent, so it does not come back; with it, programs can tell answers apart.
            if matches!(heard.part, Part::Answer(_)) && heard.bytes.last() != Some(&b'\n') {
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
        let mut out = io::stdout().lock();
        if self.style == Style::Json {
            let rtt_ns = after.map(|after| u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
            let content = Some(Bytes::from(&answer[..]));
            return json::line(&mut out, &Object { event: "answer", peer: &self.called, content, rtt_ns });
        }
        let text = answer.strip_suffix(b"\n").unwrap_or(&answer);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        writeln!(out, "Server: {}", Escaped(text))
    }

    fn silence(&mut self) -> io::Result<()> {
        if self.style == Style::Json {
            let object = Object { event: "silence", peer: &self.called, content: None, rtt_ns: None };
            return json::line(&mut io::stdout().lock(), &object);
        }
        if self.quiet {
            return Ok(());
        }
        writeln!(io::stderr(), "no answer from {} within {:?}", self.called, self.wait)
    }

    /// Writes what has come of an answer, and leaves the line that the prompt is on.
    fn end(&mut self, end: End) -> io::Result<()> {
        if !self.answer.is_empty() {
            self.show(None)?;
        }
        match end {
            End::Peer if self.prompts => {
                writeln!(io::stderr(), "\n{} has ended the conversation", self.called)
            }
            End::Input if self.prompts => writeln!(io::stdout()),
            _ => Ok(()),
        }
    }
}
