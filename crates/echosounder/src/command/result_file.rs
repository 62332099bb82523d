//! The destinations of `-o`. A regular file is replaced in one step when its new content is
//! complete, so that a crash, a full disk or a refused connection leaves the old report unchanged.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::{NamedTempFile, TempPath};

use super::console::stdout;
use crate::config::SAVE_EVERY;
use crate::failure::UsageError;
use crate::output::{OutputFile, ResultFormat};

/// Maximum number of symbolic links on the way to a file, as in the kernel (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// More bytes than any line of a result has.
const LINE_MAX: u64 = 64 * 1024;

/// The interval at which the report so far is saved.
#[derive(Debug)]
pub(crate) struct SaveTimer {
    next: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this clock times the writing of files and measures nothing")]
impl SaveTimer {
    pub(crate) fn start() -> Self {
        Self { next: Instant::now() + SAVE_EVERY }
    }

    /// Returns whether the interval is over, and then begins the next one.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.remaining().is_zero();
        if is_due {
            *self = Self::start();
        }
        is_due
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }
}

/// A destination that was writable before anything was measured.
#[derive(Debug)]
pub(crate) struct ResultFile {
    /// The name as it was typed, for messages.
    name: String,
    format: ResultFormat,
    destination: Destination,
    /// The content so far of a file that is written line by line.
    lines: Option<Draft>,
}

#[derive(Debug)]
enum Destination {
    Stdout,
    /// A device, a pipe, the file of a descriptor, or a file whose folder takes no other file. It
    /// is written in place, at the end.
    InPlace(File),
    /// A regular file, which a temporary file in the same folder replaces.
    Replaced {
        target: PathBuf,
        old: Option<Metadata>,
    },
}

/// Replaces a path to the file or pipe of standard output, such as `/dev/stdout`, with standard
/// output itself. Otherwise the result and the progress would overwrite each other.
pub(crate) fn find_stdout(outputs: &mut [OutputFile]) {
    let Ok(stdout) = stdout_metadata() else { return };
    if !stdout.is_file() && !stdout.file_type().is_fifo() {
        return;
    }
    let is_stdout = |path: &Path| fs::metadata(path).is_ok_and(|file| inode(&file) == inode(&stdout));
    for output in outputs {
        // On standard output the result is JSON.
        if matches!(output, OutputFile::Path(path, ResultFormat::Json) if is_stdout(path)) {
            *output = OutputFile::Stdout;
        }
    }
}

fn stdout_metadata() -> io::Result<Metadata> {
    File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()
}

/// Returns the identity of a file: its device and inode.
fn inode(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Opens all destinations.
///
/// # Errors
///
/// If one cannot be written to, or two are the same file.
pub(crate) fn open_all(outputs: &[OutputFile]) -> Result<Vec<ResultFile>> {
    let files: Vec<ResultFile> = outputs.iter().map(ResultFile::open).collect::<Result<_>>()?;
    for (place, file) in files.iter().enumerate() {
        if let Some(twin) = files[..place].iter().find(|twin| twin.is(file)) {
            return Err(UsageError(format!("-o {} and -o {} are the same file", twin.name, file.name)).into());
        }
    }
    Ok(files)
}

impl ResultFile {
    fn open(output: &OutputFile) -> Result<Self> {
        let (name, format, destination) = match output {
            OutputFile::Stdout => ("-".to_owned(), ResultFormat::Json, Destination::Stdout),
            OutputFile::Path(path, format) => {
                let name = path.display().to_string();
                let destination = Destination::open(path).with_context(|| format!("cannot create {name}"))?;
                (name, *format, destination)
            }
        };
        Ok(Self { name, format, destination, lines: None })
    }

    pub(crate) fn format(&self) -> ResultFormat {
        self.format
    }

    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.destination, Destination::Stdout)
    }

    /// Returns whether a report can be written again over an earlier one.
    pub(crate) fn is_replaceable(&self) -> bool {
        matches!(self.destination, Destination::Replaced { .. })
    }

    /// Writes the whole content and moves it to its destination.
    ///
    /// # Errors
    ///
    /// If it cannot be written. The old file stays as it was.
    pub(crate) fn write(&self, render: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
        if let Destination::Stdout = self.destination {
            let mut out = stdout();
            return render(&mut out).and_then(|()| Ok(out.flush()?));
        }
        let written = self.destination.begin().map_err(anyhow::Error::from).and_then(|mut draft| {
            render(&mut draft.out)?;
            Ok(draft.publish(&self.destination)?)
        });
        written.map_err(|error| self.failed(&error))
    }

    /// Appends lines to a file that is written line by line. They stay in a temporary file until
    /// they are published.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub(crate) fn append(&mut self, render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let draft = match self.lines.take() {
            Some(draft) => Ok(draft),
            None => self.destination.begin(),
        };
        let appended = draft.and_then(|draft| render(&mut self.lines.insert(draft).out));
        appended.map_err(|error| self.failed(&error.into()))
    }

    /// Moves the lines so far to their destination. Further lines are appended there.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let lines = self.lines.as_mut();
        let published = lines.map_or(Ok(()), |lines| lines.publish(&self.destination));
        published.map_err(|error| self.failed(&error.into()))
    }

    /// Ends a file that is written line by line after a failure, and moves its complete lines to their
    /// destination. If that fails, too, the file stays as it was.
    pub(crate) fn end_lines(&mut self) {
        let Some(mut draft) = self.lines.take().and_then(|draft| draft.without_torn_line().ok()) else {
            return;
        };
        let _ = draft.publish(&self.destination);
    }

    /// Returns whether lines were appended.
    pub(crate) fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// Converts an error to a message. So a pipe without a reader is a failure here, unlike on
    /// standard output.
    fn failed(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow::anyhow!("cannot write {}: {error:#}", self.name)
    }

    /// Returns whether both lead to the same file.
    fn is(&self, other: &Self) -> bool {
        let inode = |file: &Self| file.destination.inode();
        let target = |file: &Self| match &file.destination {
            Destination::Replaced { target, .. } => Some(target.clone()),
            _ => None,
        };
        inode(self).is_some_and(|it| inode(other) == Some(it))
            || target(self).is_some_and(|it| target(other) == Some(it))
    }
}

impl Destination {
    fn open(path: &Path) -> io::Result<Self> {
        // As with cp(1), a file without write permission is not replaced, even if its folder allows
        // it.
        match OpenOptions::new().write(true).open(path) {
            Ok(file) => {
                let old = file.metadata()?;
                match resolve(path)? {
                    Some(target) if old.is_file() => match temporary(&target, Some(&old)) {
                        Ok(_) => Ok(Self::Replaced { target, old: Some(old) }),
                        Err(error) if is_forbidden(&error) => Ok(Self::InPlace(file)),
                        Err(error) => Err(error),
                    },
                    _ => Ok(Self::InPlace(file)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let target = resolve(path)?.ok_or(error)?;
                temporary(&target, None)?;
                Ok(Self::Replaced { target, old: None })
            }
            Err(error) => Err(error),
        }
    }

    fn begin(&self) -> io::Result<Draft> {
        let (file, temporary) = match self {
            Self::Stdout => (io::stdout().as_fd().try_clone_to_owned()?.into(), None),
            Self::InPlace(file) => {
                if file.metadata()?.is_file() {
                    file.set_len(0)?;
                }
                (file.try_clone()?, None)
            }
            Self::Replaced { target, old } => {
                let (file, temporary) = temporary(target, old.as_ref())?.into_parts();
                (file, Some(temporary))
            }
        };
        Ok(Draft { out: BufWriter::new(file), temporary })
    }

    /// Returns the identity of the file that exists at the destination.
    fn inode(&self) -> Option<(u64, u64)> {
        match self {
            Self::Stdout => stdout_metadata().ok().as_ref().map(inode),
            Self::InPlace(file) => file.metadata().ok().as_ref().map(inode),
            Self::Replaced { old, .. } => old.as_ref().map(inode),
        }
    }
}

/// Content that is being written. Its temporary file is removed when it is dropped.
#[derive(Debug)]
struct Draft {
    out: BufWriter<File>,
    /// `None` once the file has been moved to its destination.
    temporary: Option<TempPath>,
}

impl Draft {
    /// Removes what was written behind the last complete line, and what waits to be written.
    fn without_torn_line(self) -> io::Result<Self> {
        let (file, _) = self.out.into_parts();
        let len = file.metadata()?.len();
        let mut tail = vec![0; usize::try_from(len.min(LINE_MAX)).unwrap_or(0)];
        let start = len - tail.len() as u64;
        file.read_exact_at(&mut tail, start)?;
        let end = tail.iter().rposition(|byte| *byte == b'\n').ok_or(io::ErrorKind::UnexpectedEof)?;
        file.set_len(start + end as u64 + 1)?;
        Ok(Self { out: BufWriter::new(file), temporary: self.temporary })
    }

    fn publish(&mut self, destination: &Destination) -> io::Result<()> {
        self.out.flush()?;
        let (Some(temporary), Destination::Replaced { target, old }) = (self.temporary.take(), destination)
        else {
            return Ok(());
        };
        match temporary.persist(target) {
            Ok(()) => Ok(()),
            // A mount point cannot be replaced, nor can another user's file in a sticky folder.
            Err(failed) if old.is_some() && is_forbidden(&failed.error) => {
                self.out = BufWriter::new(overwrite(self.out.get_mut(), target)?);
                Ok(())
            }
            Err(failed) => Err(failed.error),
        }
    }
}

/// Copies the content over the old one. Returns the file, positioned at its end.
fn overwrite(content: &mut File, target: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(target)?;
    content.rewind()?;
    io::copy(content, &mut file)?;
    Ok(file)
}

/// Creates a temporary file in the folder of the target, with owner and permissions of the old file
/// if there is one. Its name is short even if the target's is not, and no other process can have
/// created it.
fn temporary(target: &Path, old: Option<&Metadata>) -> io::Result<NamedTempFile> {
    let folder = target.parent().unwrap_or_else(|| Path::new("/"));
    let create =
        |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).mode(0o666).open(path);
    let temporary = tempfile::Builder::new().prefix(".sounder-").suffix(".tmp").make_in(folder, create)?;
    if let Some(old) = old {
        let file = temporary.as_file();
        let new = file.metadata()?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            fchown(file, Some(old.uid()), Some(old.gid()))?;
        }
        // After the owner, because changing the owner clears the set-user-ID bits.
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    Ok(temporary)
}

/// Returns whether an error means that a file cannot be replaced, although it may be writable.
fn is_forbidden(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// Follows symbolic links to a file that need not exist. Returns `None` for a file in /proc, where
/// links lead to descriptors instead of names.
fn resolve(path: &Path) -> io::Result<Option<PathBuf>> {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = fs::canonicalize(folder)?;
        let found = folder.join(name);
        if found.starts_with("/proc") {
            return Ok(None);
        }
        match fs::read_link(&found) {
            Ok(next) => path = folder.join(next),
            // The path does not exist, or is not a link.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                return Ok(Some(found));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}
