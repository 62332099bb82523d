//! The path of a UNIX socket: never stolen from the living, taken over from the dead, removed only if ours.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Socket, Transport, effective_user_id, ready};

/// How often, and how long after each time, a lock is tried again that other servers hold for a moment only.
const LOCK_TRIES: u32 = 50;
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
        socket.set_permissions(mode)?;
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
        true if file.uid() != effective_user_id() => Some("a socket of another user lies there"),
        true => None,
    }
}

/// Binds in place of a dead socket; `None` if what lies there is not one.
///
/// Of two servers that start at the same time one wins the lock, and the other finds the winner alive. Should the lock
/// not be had, what stands there is looked at once more after it was moved away, and put back if it is another.
fn replace_dead(socket: &Socket, path: &Path, address: &Address) -> Option<io::Result<()>> {
    let _lock = Lock::of(path);
    let found = fs::symlink_metadata(path).ok()?;
    if !is_dead(path, address) {
        return None;
    }
    Some(move_away(path, &found).and_then(|()| socket.bind(address)))
}

/// Takes the file that was found dead from its path, and no other that has taken its place since.
fn move_away(path: &Path, found: &Metadata) -> io::Result<()> {
    let aside = beside(path, &format!("{:016x}", RandomState::new().hash_one(path)));
    match fs::rename(path, &aside) {
        // Somebody has removed it, which is as good.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result?,
    }
    // A number alone may be that of a file which was made since.
    let identity = |file: &Metadata| (file.dev(), file.ino(), file.mtime(), file.mtime_nsec());
    if fs::symlink_metadata(&aside).is_ok_and(|moved| identity(&moved) == identity(found)) {
        return fs::remove_file(&aside);
    }
    // A link never takes the place of another file, as a rename would. Not every file may be linked (proc_sys_fs(5),
    // protected_hardlinks).
    match fs::hard_link(&aside, path) {
        Ok(()) => fs::remove_file(&aside)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(_) => fs::rename(&aside, path)?,
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// The path of a hidden file in the folder of `path`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    // Names have at most 255 bytes (NAME_MAX), and that of a socket at most 108.
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// The lock under which a server takes a dead socket's place: a file that nobody but this user may open, so that
/// nobody else can hold it. It is removed when it is dropped.
struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock, unless it cannot be had soon.
    fn of(path: &Path) -> Option<Self> {
        let path = beside(path, "lock");
        for _ in 0..LOCK_TRIES {
            let file = match Self::open(&path) {
                // It was removed while it was looked at.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file.ok()?,
            };
            match file.try_lock() {
                // Whoever had it has removed the file; it locks nothing any more.
                Ok(()) if !is_at(&file, &path) => {}
                Ok(()) => return Some(Self { path, _file: file }),
                Err(TryLockError::WouldBlock) => drop(ready([], Some(LOCK_PAUSE)).ok()?),
                Err(TryLockError::Error(_)) => return None,
            }
        }
        None
    }

    /// Opens the file, if it is a file of this user's.
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
        // If it cannot be removed, the next server uses it again.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether an open file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |file: Metadata| (file.dev(), file.ino());
    let there = fs::symlink_metadata(path).map(identity);
    there.is_ok_and(|there| file.metadata().map(identity).is_ok_and(|open| open == there))
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

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process;

    use super::*;

    #[test]
    fn what_has_taken_a_dead_sockets_place_is_put_back() {
        let folder = env::temp_dir().join(format!("echosounder-path-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        drop(UnixListener::bind(&path).unwrap());
        let dead = fs::symlink_metadata(&path).unwrap();
        fs::remove_file(&path).unwrap();

        let living = UnixListener::bind(&path).unwrap();
        assert_eq!(move_away(&path, &dead).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");

        let found = fs::symlink_metadata(&path).unwrap();
        drop(living);
        move_away(&path, &found).unwrap();
        move_away(&path, &found).unwrap();
        fs::remove_dir(&folder).unwrap();
    }
}
