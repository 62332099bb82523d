//! The output of a conversation: prompts, replies, and messages about lines without a reply.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use echosounder_client::{
    BackgroundWriter, ClientError, Eol, LineFailure, Received, ReceivedKind, TalkEnd, TalkEvent, TalkMode,
};
use echosounder_socket::{Kind, StopToken};

use crate::command::editor::{Editor, Printed};
use crate::command::terminal;
use crate::config;
use crate::output::Output;
use crate::render::escape::Escaped;
use crate::render::json::EventTime;
use crate::render::numbers::grouped;
use crate::render::serve::note;
use crate::render::talk::json;
use crate::render::terminal_text::unfinished;
use crate::stderr::stderr;

/// The longest message whose reply with the longest timestamp fits in a UDP datagram: 65,507 - 128
/// bytes.
const REPLY_FITS_MAX: usize = 65_379;

/// How many bytes of a reply are shown on a terminal.
const SHOWN_MAX: usize = 4096;

/// A fragment of this many bytes is shown on a terminal before its end has arrived.
const FRAGMENT_MAX: usize = 256 * 1024;

/// The largest content of one JSON object, in bytes.
const JSON_MAX: usize = 1024 * 1024;

/// How lines are read.
#[derive(Debug)]
pub(super) enum Prompt {
    /// From a program or a file, without a prompt.
    None,
    /// Behind a prompt, on a terminal without a line editor.
    Plain,
    /// With a line editor.
    Editor(Editor),
}

/// How replies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For a person: behind a label and escaped.
    Labelled,
    /// For a program: unchanged.
    Plain,
    /// One JSON object per reply.
    Json,
}

/// Prints the events of a conversation.
pub(super) struct Printer {
    style: Style,
    prompt: Prompt,
    writer: BackgroundWriter,
    stop: StopToken,
    /// Whether a line is being typed.
    is_typing: bool,
    /// Whether requests are sent without newlines, so that replies have none either.
    adds_newline: bool,
    quiet: bool,
    verbose: bool,
    /// The peer's endpoint, once it was printed.
    reached: Option<String>,
    colored: bool,
    endpoint: String,
    kind: Kind,
    wait: Duration,
    /// The reply so far, if it is written as a whole; the beginning of a long one.
    reply: Vec<u8>,
    /// The length of the whole reply so far.
    reply_len: usize,
    /// The last byte of the reply so far, if it is written as it arrives.
    last_byte: Option<u8>,
}

/// Prints to standard error where the peer is.
pub(super) fn print_connected(endpoint: &str, as_json: bool) -> io::Result<()> {
    match as_json {
        true => note(&mut stderr(), &format!("connected to {endpoint}"), true),
        false => writeln!(stderr(), "Connected to {endpoint}"),
    }
}

impl Printer {
    pub(super) fn new(
        config: &config::Talk,
        output: Output,
        style: Style,
        prompt: Prompt,
        writer: BackgroundWriter,
        stop: StopToken,
        reached: Option<String>,
    ) -> Self {
        let is_scripted = matches!(prompt, Prompt::None);
        Self {
            style,
            prompt,
            writer,
            stop,
            is_typing: false,
            adds_newline: config.eol == Eol::None,
            quiet: output.quiet,
            verbose: if is_scripted { config.verbose } else { !output.quiet },
            reached,
            colored: config.colored,
            endpoint: config.connect.endpoint.to_string(),
            kind: config.connect.endpoint.transport().kind(),
            wait: config.connect.wait,
            reply: Vec::new(),
            reply_len: 0,
            last_byte: None,
        }
    }

    /// Returns who writes the lines.
    pub(super) fn mode(&self) -> TalkMode {
        match self.prompt {
            Prompt::None => TalkMode::Scripted,
            Prompt::Plain | Prompt::Editor(_) => TalkMode::Interactive,
        }
    }

    pub(super) fn print(&mut self, event: TalkEvent<'_>) -> io::Result<()> {
        match event {
            TalkEvent::Prompt => self.print_prompt(),
            TalkEvent::Reached(endpoint) => self.print_reached(endpoint),
            TalkEvent::Sending => {
                self.is_typing = false;
                Ok(())
            }
            TalkEvent::Received(received) => self.print_received(received),
            TalkEvent::LineFailed { line, len, reason } => self.print_failure(line, len, reason),
        }
    }

    /// Prints where the peer is, unless that was printed before.
    fn print_reached(&mut self, endpoint: &str) -> io::Result<()> {
        if self.reached.as_deref() == Some(endpoint) || self.is_typing {
            return Ok(());
        }
        self.reached = Some(endpoint.to_owned());
        if self.verbose { print_connected(endpoint, self.style == Style::Json) } else { Ok(()) }
    }

    fn print_prompt(&mut self) -> io::Result<()> {
        self.is_typing = true;
        match &self.prompt {
            Prompt::None => Ok(()),
            Prompt::Plain => self.writer.write(b">"),
            Prompt::Editor(editor) => {
                editor.request_line();
                Ok(())
            }
        }
    }

    fn print_received(&mut self, received: Received<'_>) -> io::Result<()> {
        if self.style == Style::Plain {
            return self.write_unchanged(received);
        }
        let max = if self.style == Style::Json { JSON_MAX } else { SHOWN_MAX };
        let fits = received.bytes.len().min(max.saturating_sub(self.reply.len()));
        self.reply.extend_from_slice(&received.bytes[..fits]);
        self.reply_len += received.bytes.len();
        match (self.style, received.kind) {
            // In JSON an earlier object has reported that the line got no reply in time.
            (Style::Json, ReceivedKind::LateReply(_)) => self.print_reply(None),
            (_, ReceivedKind::Reply(rtt) | ReceivedKind::LateReply(rtt)) => self.print_reply(Some(rtt)),
            (_, ReceivedKind::Unexpected) => self.print_reply(None),
            (Style::Json, ReceivedKind::Fragment) if fits < received.bytes.len() => {
                let rest = self.reply.split_off(self.reply.len() - unfinished(&self.reply));
                self.print_reply(None)?;
                (self.reply_len, self.reply) = (rest.len(), rest);
                self.print_received(Received { bytes: &received.bytes[fits..], kind: received.kind })
            }
            (Style::Labelled, ReceivedKind::Fragment) if FRAGMENT_MAX <= self.reply_len => {
                self.print_reply(None)
            }
            (_, ReceivedKind::Fragment) => Ok(()),
        }
    }

    fn write_unchanged(&mut self, received: Received<'_>) -> io::Result<()> {
        self.last_byte = received.bytes.last().copied().or(self.last_byte);
        let last_byte = self.last_byte;
        if !received.bytes.is_empty() {
            self.writer.write(received.bytes)?;
        }
        if received.kind == ReceivedKind::Fragment {
            return Ok(());
        }
        self.last_byte = None;
        // Requests were sent without newlines. With one after each reply, programs can separate the
        // replies.
        let is_reply = matches!(received.kind, ReceivedKind::Reply(_) | ReceivedKind::LateReply(_));
        let is_whole = self.kind != Kind::Stream || is_reply;
        if is_whole && self.adds_newline && last_byte != Some(b'\n') {
            self.writer.write(b"\n")
        } else {
            Ok(())
        }
    }

    /// Prints the reply that has been collected.
    fn print_reply(&mut self, rtt: Option<Duration>) -> io::Result<()> {
        let (reply, len) = (std::mem::take(&mut self.reply), std::mem::take(&mut self.reply_len));
        if self.style == Style::Json {
            let mut object = Vec::new();
            json::reply(&mut object, &EventTime::now(), &self.endpoint, &reply, rtt)?;
            return self.writer.write(&object);
        }
        let line = self.labelled(&reply, len, rtt);
        let line = match &mut self.prompt {
            Prompt::Editor(editor) if self.is_typing => match editor.print(line, self.stop.as_fd())? {
                Printed::Done => return Ok(()),
                Printed::NotTyping(line) => line,
            },
            _ => line,
        };
        self.writer.write((line + "\n").as_bytes())
    }

    /// Returns the line that shows a reply to a person. `reply` may be the beginning of a reply of
    /// `len` bytes.
    fn labelled(&self, reply: &[u8], len: usize, rtt: Option<Duration>) -> String {
        let mut line = if reply.len() < len {
            let whole = &reply[..reply.len() - unfinished(reply)];
            format!("Server: {}… ({} bytes)", Escaped(whole), grouped(len as u64))
        } else {
            let text = reply.strip_suffix(b"\n").unwrap_or(reply);
            format!("Server: {}", Escaped(text.strip_suffix(b"\r").unwrap_or(text)))
        };
        if let Some(rtt) = rtt {
            let rtt = format!("{:.2} ms", rtt.as_secs_f64() * 1e3);
            line += &if self.colored { format!("   \x1b[2m{rtt}\x1b[0m") } else { format!("   {rtt}") };
        }
        line
    }

    /// Prints that a line was not sent or got no reply.
    fn print_failure(&mut self, line: u64, len: usize, reason: &LineFailure) -> io::Result<()> {
        if !self.reply.is_empty() {
            self.print_reply(None)?;
        }
        if self.style == Style::Json {
            return self.print_failure_object(line, len, reason);
        }
        if self.quiet {
            return Ok(());
        }
        match reason {
            LineFailure::TimedOut => {
                let hint = match self.kind {
                    Kind::Stream => "",
                    _ if REPLY_FITS_MAX < len => {
                        " (with a timestamp the reply may be too long for one message)"
                    }
                    _ => "",
                };
                writeln!(stderr(), "no reply from {} within {:?}{hint}", self.endpoint, self.wait)
            }
            LineFailure::TooLong => writeln!(stderr(), "{}", self.too_long(line, len)),
            LineFailure::NotSent(error) => writeln!(stderr(), "{}", not_sent(line, error)),
            LineFailure::Failed(error) => {
                writeln!(stderr(), "line {line} got no reply: {}", sentence(error))
            }
        }
    }

    fn print_failure_object(&mut self, line: u64, len: usize, reason: &LineFailure) -> io::Result<()> {
        let mut object = Vec::new();
        let (time, endpoint) = (EventTime::now(), &self.endpoint);
        let error = match reason {
            LineFailure::TimedOut | LineFailure::Failed(_) => {
                json::no_reply(&mut object, &time, endpoint)?;
                return self.writer.write(&object);
            }
            LineFailure::TooLong => self.too_long(line, len),
            LineFailure::NotSent(error) => not_sent(line, error),
        };
        json::not_sent(&mut object, &time, endpoint, line, len, &error)?;
        self.writer.write(&object)
    }

    fn too_long(&self, line: u64, len: usize) -> String {
        let bytes = grouped(len as u64);
        match self.kind {
            Kind::Stream => format!("line {line} was not sent: {bytes} bytes are too long for a line"),
            _ => format!(
                "line {line} was not sent: {bytes} bytes are too long for one message to {}",
                self.endpoint
            ),
        }
    }

    /// Prints the last fragment, ends the line that the prompt is on, and releases the terminal.
    pub(super) fn finish(mut self, reason: TalkEnd) -> io::Result<()> {
        let is_open = !matches!(reason, TalkEnd::Stopped | TalkEnd::TimeLimit);
        if self.reply_len != 0 && is_open {
            self.print_reply(None)?;
        }
        let ends_prompt_line = match self.prompt {
            Prompt::None => return Ok(()),
            Prompt::Plain => self.is_typing && reason != TalkEnd::EmptyLine,
            Prompt::Editor(editor) => {
                let unprinted = editor.finish()?;
                if let Some(line) = unprinted.filter(|_| is_open) {
                    self.writer.write((line + "\n").as_bytes())?;
                }
                self.is_typing && (reason == TalkEnd::Peer || !is_open)
            }
        };
        if ends_prompt_line {
            terminal::write(b"\n")?;
        }
        if reason == TalkEnd::Peer {
            writeln!(stderr(), "{} closed the connection", self.endpoint)?;
        }
        Ok(())
    }
}

fn not_sent(line: u64, error: &ClientError) -> String {
    format!("line {line} was not sent: {}", sentence(error))
}

fn sentence(error: &ClientError) -> String {
    crate::failure::sentence(std::iter::successors(
        Some(error as &(dyn std::error::Error + 'static)),
        |error| error.source(),
    ))
}
