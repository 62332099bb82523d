//! The line editor of a conversation on a terminal.
//!
//! It has a thread of its own and hands its lines on through a pipe, so that the conversation can wait for a line
//! and for the peer at the same time. It reads a line when it is asked to; whatever is to be shown meanwhile is
//! printed above the line, which is never torn.

use std::borrow::Cow;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reedline::{
    ExternalPrinter, FileBackedHistory, Prompt, PromptEditMode, PromptHistorySearch, Reedline, Signal,
};

use crate::render::transcript::counted;

/// How often the editor looks for something to print, or for its end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Most lines that wait to be printed above the line being typed.
const PRINTED_MAX: usize = 1024;

/// Most lines of history that are kept.
const HISTORY_MAX: usize = 1000;

/// A line editor that works in the background.
#[derive(Debug)]
pub(crate) struct Editor {
    asked: Sender<()>,
    printer: SyncSender<String>,
    /// Lines that were not printed.
    left_out: u64,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Editor {
    /// Starts the editor; its lines come out of the file, which ends when the user ends the input.
    pub(crate) fn start() -> io::Result<(Self, File)> {
        let (lines, input) = UnixStream::pair()?;
        let (asked, requests) = mpsc::channel();
        let printer = ExternalPrinter::new(PRINTED_MAX);
        let sender = printer.sender();
        let stop = Arc::new(AtomicBool::new(false));
        let mut line_editor = Reedline::create()
            .with_ansi_colors(false)
            .with_external_printer(printer)
            .with_break_signal(Arc::clone(&stop))
            .with_poll_interval(LOOK_EVERY);
        if let Some(history) = history() {
            line_editor = line_editor.with_history(Box::new(history));
        }
        let edit = move || edit(line_editor, &requests, lines);
        let thread = thread::Builder::new().name("editor".into()).spawn(edit)?;
        Ok((Self { asked, printer: sender, left_out: 0, stop, thread }, File::from(OwnedFd::from(input))))
    }

    /// Asks for a line.
    pub(crate) fn ask(&self) {
        // An editor that has ended has closed its pipe, which says so.
        let _ = self.asked.send(());
    }

    /// Prints above the line being typed. What does not fit any more is left out, and counted: the peer floods us.
    pub(crate) fn print(&mut self, line: String) {
        let told = match self.left_out {
            0 => line,
            left_out => format!("({} left out)\n{line}", counted(left_out, "line")),
        };
        self.left_out = if self.printer.try_send(told).is_ok() { 0 } else { self.left_out + 1 };
    }

    /// Ends the line being typed, and waits until the terminal is as it was.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.asked);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the line editor panicked")))
    }
}

/// Reads a line for each request, until the user ends the input or is not asked any more.
fn edit(mut line_editor: Reedline, requests: &Receiver<()>, mut lines: UnixStream) -> io::Result<()> {
    while requests.recv().is_ok() {
        match line_editor.read_line(&Angle)? {
            Signal::Success(line) => {
                // However the program ends, the line is remembered; if it cannot be, it is talked all the same.
                let _ = line_editor.sync_history();
                lines.write_all((line + "\n").as_bytes())?;
            }
            _ => break,
        }
    }
    Ok(())
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
