//! The line editor of a conversation on a terminal, on a thread of its own.
//!
//! The conversation requests a line and gets it through a channel, so that it can wait for the line
//! and for the peer at the same time. Text that is printed meanwhile appears above the line that is
//! being typed.

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

/// How often the editor checks for text to print and for its end.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// How long to wait for the editor to end. It does not end while the terminal accepts nothing.
const END_MAX: Duration = Duration::from_millis(300);

/// How many lines of history are stored.
const HISTORY_MAX: usize = 1000;

/// A line editor that runs in the background.
#[derive(Debug)]
pub(crate) struct Editor {
    requests: Sender<()>,
    /// Holds one text. Until the editor has taken it, the conversation does not read from the peer.
    printer: SyncSender<String>,
    last_printed: String,
    /// Whether the editor reads a line, which text must not tear.
    reading: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    ended: Receiver<io::Result<()>>,
}

/// The lines from the editor. They end when the user ends the input.
#[derive(Debug)]
pub(crate) struct EditedLines {
    lines: Receiver<String>,
    waker: Arc<Waker>,
    next: Option<String>,
    ended: bool,
}

/// How a text was printed.
#[derive(Debug)]
pub(crate) enum Printed {
    /// The editor prints it above the line that is being typed.
    Done,
    /// No line is being typed. The caller may write the text itself.
    NotTyping(String),
}

impl Editor {
    /// Starts the editor. `typed` are the keys that were pressed before; they become its first
    /// lines.
    pub(crate) fn start(typed: &[u8]) -> io::Result<(Self, EditedLines)> {
        let (lines, received) = mpsc::channel();
        let (requests, requested) = mpsc::channel();
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
            .with_poll_interval(CHECK_EVERY);
        if let Some(history) = history() {
            line_editor = line_editor.with_history(Box::new(history));
        }
        let (early, rest) = early_lines(typed);
        if !rest.is_empty() {
            line_editor.run_edit_commands(&[EditCommand::InsertString(rest)]);
        }
        let work = Work { line_editor, requested, lines, early, reading: Arc::clone(&reading) };
        let alarm = Arc::clone(&waker);
        thread::Builder::new().name("editor".into()).spawn(move || {
            let result = work.run(&alarm);
            // Both fail only if the conversation has ended.
            let _ = end.send(result);
            let _ = alarm.wake();
        })?;
        let editor = Self { requests, printer: sender, last_printed: String::new(), reading, stop, ended };
        Ok((editor, EditedLines { lines: received, waker, next: None, ended: false }))
    }

    /// Requests a line, which arrives through [`EditedLines`].
    pub(crate) fn request_line(&self) {
        self.reading.store(true, Ordering::Release);
        // It fails if the editor has ended. Then the lines have ended, too.
        let _ = self.requests.send(());
    }

    /// Prints a text above the line that is being typed, as soon as the text before it is on the
    /// screen.
    ///
    /// # Errors
    ///
    /// `Interrupted` if `stop` becomes readable first.
    pub(crate) fn print(&mut self, text: String, stop: BorrowedFd<'_>) -> io::Result<Printed> {
        self.last_printed.clone_from(&text);
        let mut text = text;
        while self.reading.load(Ordering::Acquire) {
            text = match self.printer.try_send(text) {
                Ok(()) => return Ok(Printed::Done),
                Err(TrySendError::Full(text) | TrySendError::Disconnected(text)) => text,
            };
            let [stop] = ready([(stop, Interest::READ)], Some(CHECK_EVERY))?;
            if stop.can_read() {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(Printed::NotTyping(text))
    }

    /// Ends the line that is being typed, and waits a moment until the editor has released the
    /// terminal. Returns the text that the editor has not printed.
    pub(crate) fn finish(self) -> io::Result<Option<String>> {
        let is_waiting = || matches!(self.printer.try_send(String::new()), Err(TrySendError::Full(_)));
        if is_waiting() && self.reading.load(Ordering::Acquire) {
            ready([], Some(2 * CHECK_EVERY))?;
        }
        let unprinted = is_waiting().then_some(self.last_printed);
        self.stop.store(true, Ordering::Relaxed);
        drop(self.requests);
        match self.ended.recv_timeout(END_MAX) {
            Ok(result) => result.map(|()| unprinted),
            Err(RecvTimeoutError::Timeout) => {
                // The editor waits in a write for a terminal that accepts nothing.
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
                    // The lines may have ended meanwhile.
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

/// The state of the editor's thread.
struct Work {
    line_editor: Reedline,
    requested: Receiver<()>,
    lines: Sender<String>,
    /// Lines that were typed before the editor started.
    early: VecDeque<String>,
    reading: Arc<AtomicBool>,
}

impl Work {
    /// Reads a line for each request, until the user ends the input or the conversation ends.
    fn run(mut self, alarm: &Waker) -> io::Result<()> {
        let result = self.read_lines(alarm);
        self.reading.store(false, Ordering::Release);
        result
    }

    fn read_lines(&mut self, alarm: &Waker) -> io::Result<()> {
        while self.requested.recv().is_ok() {
            let line = match self.early.pop_front() {
                Some(line) => Some(line),
                None => match self.line_editor.read_line(&Angle)? {
                    Signal::Success(line) => Some(line),
                    _ => None,
                },
            };
            self.reading.store(false, Ordering::Release);
            // The line is stored now, since the program may be killed. The conversation does not
            // need the history.
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

/// Splits the keys that were pressed before the editor started into whole lines and the beginning
/// of the next. Control keys are left out.
fn early_lines(typed: &[u8]) -> (VecDeque<String>, String) {
    let text = String::from_utf8_lossy(typed).replace('\r', "\n");
    let text = text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "");
    let mut lines: VecDeque<String> = text.split('\n').map(str::to_owned).collect();
    let rest = lines.pop_back().unwrap_or_default();
    (lines, rest)
}

/// Returns the history of earlier lines, or `None` if it cannot be stored.
fn history() -> Option<FileBackedHistory> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().map(|home| home.join(".local/state"));
    let folder = state.or_else(home)?.join("echosounder");
    let file = folder.join("talk_history");
    // A line may be a secret.
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
    fn early_keys_become_lines_and_the_beginning_of_one() {
        let early = |typed: &[u8]| {
            let (lines, rest) = early_lines(typed);
            (lines.into_iter().collect::<Vec<_>>().join("|"), rest)
        };
        assert_eq!(early(b""), (String::new(), String::new()));
        assert_eq!(early(b"one\rtwo\nthr\x1bee\t"), ("one|two".into(), "three\t".into()));
        assert_eq!(early("\u{e9}\r".as_bytes()), ("\u{e9}".into(), String::new()));
    }
}
