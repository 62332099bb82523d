//! The destinations of `-o`. A regular file is replaced in one step when its new content is complete, so that a crash, a
//! full disk or a refused connection leaves the old report as it was.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::{NamedTempFile, TempPath};

use super::console::stdout;
use crate::config::SAVE_EVERY;
use crate::failure::UsageError;
use crate::output::{OutputFile, ResultFormat};

/// Symbolic links that are followed on the way to a file, as many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// When the report so far is to be saved next.
#[derive(Debug)]
pub(crate) struct SaveTimer {
    next: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer has a clock of its own, and measures nothing by it"
)]
impl SaveTimer {
    pub(crate) fn start() -> Self {
        Self { next: Instant::now() + SAVE_EVERY }
    }

    /// Whether it is time; then the next interval begins.
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

/// A destination that was found to be writable before anything is measured.
#[derive(Debug)]
pub(crate) struct ResultFile {
    /// As it was typed, for messages.
    name: String,
    format: ResultFormat,
    destination: Destination,
    /// The lines so far, of a file that is written line by line.
    lines: Option<Draft>,
}

#[derive(Debug)]
enum Destination {
    Stdout,
    /// A device, a pipe, what a descriptor leads to, or a file in a folder where no other can be made: written in place, at
    /// the end.
    InPlace(File),
    /// A regular file, which a temporary file beside it replaces.
    Replaced {
        target: PathBuf,
        old: Option<Metadata>,
    },
}

/// Takes a path that leads to the file or the pipe that standard output is (`/dev/stdout`) for standard output itself, so
/// that the result and everything else do not overwrite or tear each other.
pub(crate) fn find_stdout(outputs: &mut [OutputFile]) {
    let Ok(stdout) = stdout_metadata() else { return };
    if !stdout.is_file() && !stdout.file_type().is_fifo() {
        return;
    }
    let is_stdout = |path: &Path| fs::metadata(path).is_ok_and(|file| inode(&file) == inode(&stdout));
    for output in outputs {
        // Standard output gets JSON.
        if matches!(output, OutputFile::Path(path, ResultFormat::Json) if is_stdout(path)) {
            *output = OutputFile::Stdout;
        }
    }
}

fn stdout_metadata() -> io::Result<Metadata> {
    File::from(io::stdout().as_fd().try_clone_to_owned()?).metadata()
}

/// What tells one file from others.
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

    /// Whether a later report can take the place of one that was written before.
    pub(crate) fn is_replaceable(&self) -> bool {
        matches!(self.destination, Destination::Replaced { .. })
    }

    /// Writes the whole content and puts it in its place.
    ///
    /// # Errors
    ///
    /// If it cannot be written; a file that was to be replaced is as it was.
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

    /// Appends lines to a file that is written line by line; they are in a temporary file until they are published.
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

    /// Puts the lines so far in their place; those that follow are appended there.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub(crate) fn publish(&mut self) -> Result<()> {
        let lines = self.lines.as_mut();
        let published = lines.map_or(Ok(()), |lines| lines.publish(&self.destination));
        published.map_err(|error| self.failed(&error.into()))
    }

    /// Whether lines were appended.
    pub(crate) fn has_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// In one piece: a pipe without a reader is a failure here, unlike on standard output.
    fn failed(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow::anyhow!("cannot write {}: {error:#}", self.name)
    }

    /// Whether both lead to the same file.
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
        // A file that must not be written to is not replaced either, even if its folder would allow it: as with cp(1).
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

    /// What tells one file from others.
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
    /// None once it has taken its place.
    temporary: Option<TempPath>,
}

impl Draft {
    fn publish(&mut self, destination: &Destination) -> io::Result<()> {
        self.out.flush()?;
        let (Some(temporary), Destination::Replaced { target, old }) = (self.temporary.take(), destination)
        else {
            return Ok(());
        };
        match temporary.persist(target) {
            Ok(()) => Ok(()),
            // Over a mount point nothing can be renamed, nor over another user's file in a sticky folder.
            Err(failed) if old.is_some() && is_forbidden(&failed.error) => {
                self.out = BufWriter::new(overwrite(self.out.get_mut(), target)?);
                Ok(())
            }
            Err(failed) => Err(failed.error),
        }
    }
}

/// Copies the content over the old one; the file at the end of the copy is returned.
fn overwrite(content: &mut File, target: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(target)?;
    content.rewind()?;
    io::copy(content, &mut file)?;
    Ok(file)
}

/// A temporary file beside the target, with the owner and the permissions of the old file, or those of any new one.
/// Its name is short, whatever the target's length, and nobody can have made it before.
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
        // Not before, since a change of the owner takes the bits of set-user-ID away.
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    Ok(temporary)
}

/// Whether a file may not be replaced although it can be written to.
fn is_forbidden(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy)
}

/// The file that a path leads to through symbolic links, which need not exist yet. None if that is in /proc, where links
/// lead to descriptors rather than to names.
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
            // Nothing is there, or no link.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => {
                return Ok(Some(found));
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many levels of symbolic links"))
}
