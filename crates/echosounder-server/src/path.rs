//! The path of a UNIX socket in the file system.
//!
//! A path that another socket is bound to is never taken. A path that a dead server left behind is
//! replaced. At the end the path is removed if it is still this server's.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::effective_user_id;
use echosounder_socket::{Address, Socket, Transport, ready};

/// How often to try a lock that other servers hold only for a moment.
const LOCK_TRIES: u32 = 50;

/// How long to wait between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A bound path. Dropping it removes the path if it is still the same file.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl BoundPath {
    /// Binds `socket` to `path` with the permissions `mode`, less the umask.
    pub(crate) fn bind(socket: &Socket, path: &[u8], mode: u32) -> io::Result<Self> {
        let address = Address::Unix(UnixName::Path(path.into()));
        let path = PathBuf::from(OsStr::from_bytes(path));
        socket.set_permissions(mode)?;
        match socket.bind(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                if let Some(obstacle) = obstacle_at(&path) {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, obstacle));
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
            // If this fails, the next server finds a dead socket and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Returns what keeps this user from replacing the file at `path`; `None` if it is a socket of this
/// user's, or nothing.
fn obstacle_at(path: &Path) -> Option<&'static str> {
    let file = fs::symlink_metadata(path).ok()?;
    match file.file_type().is_socket() {
        false => Some("a file that is not a socket is there"),
        true if file.uid() != effective_user_id() => Some("a socket of another user is there"),
        true => None,
    }
}

/// Binds `socket` in place of a dead socket. Returns `None` if the socket at `path` is not dead.
///
/// The lock decides between servers that start at the same time: the second finds the first one's
/// socket alive. If the lock cannot be taken, the dead socket is moved away and compared with the
/// one that was found. If another socket has taken its place meanwhile, it is moved back.
fn replace_dead(socket: &Socket, path: &Path, address: &Address) -> Option<io::Result<()>> {
    let _lock = Lock::acquire(path);
    let found = fs::symlink_metadata(path).ok()?;
    if !is_dead(path, address) {
        return None;
    }
    Some(move_away(path, &found).and_then(|()| socket.bind(address)))
}

/// Removes the file `found` from `path`, but not another file that has taken its place.
fn move_away(path: &Path, found: &Metadata) -> io::Result<()> {
    let aside = beside(path, &format!("{:016x}", RandomState::new().hash_one(path)));
    match fs::rename(path, &aside) {
        // Another server has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    // The kernel reuses inode numbers, so an inode alone may be that of a newer file.
    let identity = |file: &Metadata| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec());
    if fs::symlink_metadata(&aside).is_ok_and(|moved| identity(&moved) == identity(found)) {
        return fs::remove_file(&aside);
    }
    // A link does not replace another file, as a rename would. Some files may not be linked:
    // protected_hardlinks, proc_sys_fs(5).
    match fs::hard_link(&aside, path) {
        Ok(()) => fs::remove_file(&aside)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(_) => fs::rename(&aside, path)?,
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Returns the path of a hidden file in the folder of `path`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    // File names have at most 255 bytes (NAME_MAX), socket paths at most 108.
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// The lock for replacing a dead socket: a locked file that only this user may open. Dropping it
/// removes the file.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock. Returns `None` if that fails or takes too long.
    fn acquire(path: &Path) -> Option<Self> {
        let path = beside(path, "lock");
        for _ in 0..LOCK_TRIES {
            let file = match Self::open(&path) {
                // Its holder has removed it since the first attempt to create it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file.ok()?,
            };
            match file.try_lock() {
                // The former holder has removed the file, so it excludes nobody any more.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Some(Self { path, _file: file }),
                Err(TryLockError::WouldBlock) => drop(ready([], Some(LOCK_PAUSE)).ok()?),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    /// Opens or creates the lock file, if it is a regular file of this user's.
    fn open(path: &Path) -> io::Result<File> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        let there = fs::symlink_metadata(path)?;
        if !there.is_file() || there.uid() != effective_user_id() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        OpenOptions::new().write(true).open(path)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // If this fails, the next server reuses the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns whether an open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |file: Metadata| (file.dev(), file.ino());
    let there = fs::symlink_metadata(path).map(identity);
    there.is_ok_and(|there| file.metadata().map(identity).is_ok_and(|open| open == there))
}

/// Returns whether a socket of this user is at `path` and no process is bound to it.
///
/// A datagram socket tries to connect, because that has no effect on a bound socket: a datagram
/// socket does not notice, and a socket of another type refuses with EPROTOTYPE (unix(7)).
fn is_dead(path: &Path, address: &Address) -> bool {
    let is_ours = obstacle_at(path).is_none();
    let refused = |socket: Socket| {
        socket.connect(address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    is_ours && Transport::UnixDatagram.socket(address).is_ok_and(refused)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_socket_that_replaced_the_dead_one_is_moved_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let dead = fs::symlink_metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();

        let living = UnixListener::bind(&path).unwrap();
        assert_eq!(move_away(&path, &dead).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no other file is left in the folder");

        let found = fs::symlink_metadata(&path).unwrap();
        drop(living);
        move_away(&path, &found).unwrap();
        move_away(&path, &found).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
