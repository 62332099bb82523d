//! The line editor of a conversation on a terminal.
//!
//! It has a thread of its own and hands its lines on through a channel, so that the conversation can wait for a line
//! and for the peer at the same time. It reads a line when it is asked to; whatever is to be shown meanwhile is
//! printed above the line, which is never torn.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::env;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError, TrySendError};
use std::thread;
use std::time::Duration;

use echosounder_client::{Line, LineSource};
use echosounder_socket::{Interest, Waker, ready};
use reedline::{
    EditCommand, Emacs, ExternalPrinter, FileBackedHistory, KeyCode, KeyModifiers, Prompt, PromptEditMode,
    PromptHistorySearch, Reedline, ReedlineEvent, Signal, default_emacs_keybindings,
};

use super::terminal;

/// How often the editor looks for something to print, or for its end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the editor may take to end; the terminal may be stuck.
const END_MAX: Duration = Duration::from_millis(300);

/// Most lines of history that are kept.
const HISTORY_MAX: usize = 1000;

/// A line editor that works in the background.
#[derive(Debug)]
pub(crate) struct Editor {
    asked: Sender<()>,
    /// Has room for one text: until the editor has taken it, the peer is not read.
    printer: SyncSender<String>,
    last_printed: String,
    reading: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    ended: Receiver<io::Result<()>>,
}

/// The lines of the editor. They end when the user ends the input.
#[derive(Debug)]
pub(crate) struct EditedLines {
    lines: Receiver<String>,
    waker: Arc<Waker>,
    next: Option<String>,
    ended: bool,
}

/// What became of a text that is to be printed above the line being typed.
#[derive(Debug)]
pub(crate) enum Printed {
    /// The editor prints it.
    Done,
    /// No line is being typed: it can be written as it is.
    NotTyping(String),
}

impl Editor {
    /// Starts the editor. What was typed before is put into its first lines.
    pub(crate) fn start(typed: &[u8]) -> io::Result<(Self, EditedLines)> {
        let (lines, received) = mpsc::channel();
        let (asked, requests) = mpsc::channel();
        let (end, ended) = mpsc::sync_channel(1);
        let printer = ExternalPrinter::new(1);
        let sender = printer.sender();
        let stop = Arc::new(AtomicBool::new(false));
        let reading = Arc::new(AtomicBool::new(false));
        let waker = Arc::new(Waker::new()?);
        let mut keys = default_emacs_keybindings();
        let tab = ReedlineEvent::Edit(vec![EditCommand::InsertChar('\t')]);
        keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, tab);
        let mut line_editor = Reedline::create()
            .with_ansi_colors(false)
            .with_edit_mode(Box::new(Emacs::new(keys)))
            .with_external_printer(printer)
            .with_break_signal(Arc::clone(&stop))
            .with_poll_interval(LOOK_EVERY);
        if let Some(history) = history() {
            line_editor = line_editor.with_history(Box::new(history));
        }
        let (early, rest) = early_lines(typed);
        if !rest.is_empty() {
            line_editor.run_edit_commands(&[EditCommand::InsertString(rest)]);
        }
        let work = Work { line_editor, requests, lines, early, reading: Arc::clone(&reading) };
        let alarm = Arc::clone(&waker);
        thread::Builder::new().name("editor".into()).spawn(move || {
            let result = work.run(&alarm);
            // Both fail only if nobody waits for it any more.
            let _ = end.send(result);
            let _ = alarm.wake();
        })?;
        let editor = Self { asked, printer: sender, last_printed: String::new(), reading, stop, ended };
        Ok((editor, EditedLines { lines: received, waker, next: None, ended: false }))
    }

    /// Asks for a line.
    pub(crate) fn ask(&self) {
        self.reading.store(true, Ordering::Release);
        // An editor that has ended has closed its channel, which says so.
        let _ = self.asked.send(());
    }

    /// Prints above the line being typed, as soon as what was printed before is on the screen.
    ///
    /// # Errors
    ///
    /// `Interrupted` if that does not come before the interrupt.
    pub(crate) fn print(&mut self, text: String, interrupt: BorrowedFd<'_>) -> io::Result<Printed> {
        self.last_printed.clone_from(&text);
        let mut text = text;
        while self.reading.load(Ordering::Acquire) {
            text = match self.printer.try_send(text) {
                Ok(()) => return Ok(Printed::Done),
                Err(TrySendError::Full(text) | TrySendError::Disconnected(text)) => text,
            };
            let [interrupt] = ready([(interrupt, Interest::Read)], Some(LOOK_EVERY))?;
            if interrupt.readable {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(Printed::NotTyping(text))
    }

    /// Ends the line being typed, and waits a moment until the editor has let go of the terminal. Returns what it has not
    /// printed.
    pub(crate) fn finish(self) -> io::Result<Option<String>> {
        let is_waiting = || matches!(self.printer.try_send(String::new()), Err(TrySendError::Full(_)));
        if is_waiting() && self.reading.load(Ordering::Acquire) {
            ready([], Some(2 * LOOK_EVERY))?;
        }
        let unprinted = is_waiting().then_some(self.last_printed);
        self.stop.store(true, Ordering::Relaxed);
        drop(self.asked);
        match self.ended.recv_timeout(END_MAX) {
            Ok(result) => result.map(|()| unprinted),
            Err(RecvTimeoutError::Timeout) => {
                // It is stuck in a write.
                terminal::discard_output();
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the line editor panicked")),
        }
    }
}

impl AsFd for EditedLines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

impl LineSource for EditedLines {
    fn fill(&mut self) -> io::Result<()> {
        if self.next.is_none() {
            self.waker.reset()?;
            match self.lines.try_recv() {
                Ok(line) => {
                    self.next = Some(line);
                    // The end may have been told meanwhile.
                    self.waker.wake()?;
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.ended = true,
            }
        }
        Ok(())
    }

    fn next_line(&mut self) -> Option<Line> {
        self.next.take().map(|line| Line::ended(line.into_bytes()))
    }

    fn is_done(&self) -> bool {
        self.ended && self.next.is_none()
    }
}

/// What the editor's thread works with.
struct Work {
    line_editor: Reedline,
    requests: Receiver<()>,
    lines: Sender<String>,
    /// Lines that were typed before the editor began.
    early: VecDeque<String>,
    reading: Arc<AtomicBool>,
}

impl Work {
    /// Reads a line for each request, until the user ends the input or is not asked any more.
    fn run(mut self, alarm: &Waker) -> io::Result<()> {
        let result = self.read_lines(alarm);
        self.reading.store(false, Ordering::Release);
        result
    }

    fn read_lines(&mut self, alarm: &Waker) -> io::Result<()> {
        while self.requests.recv().is_ok() {
            let line = match self.early.pop_front() {
                Some(line) => Some(line),
                None => match self.line_editor.read_line(&Angle)? {
                    Signal::Success(line) => Some(line),
                    _ => None,
                },
            };
            self.reading.store(false, Ordering::Release);
            // However the program ends, the line is remembered; if it cannot be, it is talked all the same.
            let _ = self.line_editor.sync_history();
            let Some(line) = line else { break };
            if self.lines.send(line).is_err() {
                break;
            }
            alarm.wake()?;
        }
        Ok(())
    }
}

/// What was typed before the editor began: whole lines, and the beginning of the next. Keys that are no text are left
/// out.
fn early_lines(typed: &[u8]) -> (VecDeque<String>, String) {
    let text = String::from_utf8_lossy(typed).replace('\r', "\n");
    let text = text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "");
    let mut lines: VecDeque<String> = text.split('\n').map(str::to_owned).collect();
    let rest = lines.pop_back().unwrap_or_default();
    (lines, rest)
}

/// The user's earlier lines, if there is a place for them.
fn history() -> Option<FileBackedHistory> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().map(|home| home.join(".local/state"));
    let folder = state.or_else(home)?.join("echosounder");
    let file = folder.join("talk_history");
    // What is typed may be a secret.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(&file).ok()?;
    FileBackedHistory::with_file(HISTORY_MAX, file).ok()
}

/// The prompt: `>`.
struct Angle;

impl Prompt for Angle {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        ">".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!("(search: {}) ", search.term).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_early_is_lines_and_the_beginning_of_one() {
        let early = |typed: &[u8]| {
            let (lines, rest) = early_lines(typed);
            (lines.into_iter().collect::<Vec<_>>().join("|"), rest)
        };
        assert_eq!(early(b""), (String::new(), String::new()));
        assert_eq!(early(b"one\rtwo\nthr\x1bee\t"), ("one|two".into(), "three\t".into()));
        assert_eq!(early("\u{e9}\r".as_bytes()), ("\u{e9}".into(), String::new()));
    }
}
