//! The path of a UNIX socket: never stolen from the living, taken over from the dead, removed only if ours.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Socket, Transport, effective_user, ready};

/// How often, and how long after each time, the lock of a folder is tried again.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A bound path, removed when it is dropped if it is still the same file.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl BoundPath {
    /// Binds `socket` to `path` with the given permissions, less the umask.
    pub(crate) fn bind(socket: &Socket, path: &[u8], mode: u32) -> io::Result<Self> {
        let address = Address::Unix(UnixName::Path(path.into()));
        let path = PathBuf::from(OsStr::from_bytes(path));
        socket.set_mode(mode)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if let Some(other) = what_else_lies_at(&path) {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, other));
                }
                replace_dead(socket, &path, &address).ok_or(error)??;
            }
            result => result?,
        }
        let file = fs::symlink_metadata(&path)?;
        Ok(Self { path, device: file.dev(), inode: file.ino() })
    }

    fn is_same(&self, file: &Metadata) -> bool {
        (file.dev(), file.ino()) == (self.device, self.inode)
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| self.is_same(&file)) {
            // If it cannot be removed, the next server finds a dead socket and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What lies there that is not a socket of this user's, in words; it is left alone.
fn what_else_lies_at(path: &Path) -> Option<&'static str> {
    let file = fs::symlink_metadata(path).ok()?;
    match file.file_type().is_socket() {
        false => Some("a file that is not a socket lies there"),
        true if file.uid() != effective_user() => Some("a socket of another user lies there"),
        true => None,
    }
}

/// Binds in place of a dead socket; `None` if what lies there is not one.
///
/// Whoever does so holds a lock on the folder meanwhile: of two servers that start at the same time one wins,
/// and the other finds the lock taken, or the winner alive.
fn replace_dead(socket: &Socket, path: &Path, address: &Address) -> Option<io::Result<()>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or_else(|| Path::new("."))).ok()?;
    if let Err(error) = lock(&folder) {
        return Some(Err(error));
    }
    is_dead(path, address).then(|| {
        fs::remove_file(path)?;
        socket.bind(address)
    })
}

/// Takes the lock of a folder, which others hold for a moment only.
fn lock(folder: &File) -> io::Result<()> {
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Err(TryLockError::WouldBlock) => ready([], Some(LOCK_PAUSE))?,
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => return Ok(()),
        };
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process holds a lock on its folder"))
}

/// Whether a socket of this user lies at `path`, and nobody is bound to it.
///
/// It is asked with a datagram socket, which connects without a word: whoever lives there never notices, and a
/// socket of another type answers EPROTOTYPE (unix(7)).
fn is_dead(path: &Path, address: &Address) -> bool {
    let ours = what_else_lies_at(path).is_none();
    let refused = |socket: Socket| {
        socket.connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    ours && Transport::UnixDatagram.socket(address).is_ok_and(refused)
}
