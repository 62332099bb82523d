//! References to UNIX sockets in the file system.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::sync::OnceLock;

use crate::family::unix::UnixName;
use crate::sys;

/// The identity of the socket at a path: device and inode. It is unique while the socket is pinned
/// by a [`PinnedSocket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PathIdentity {
    device: u64,
    inode: u64,
    owner: u32,
}

impl PathIdentity {
    /// Returns the identity of the socket at a path, without following a symbolic link: lstat(2).
    ///
    /// # Errors
    ///
    /// As lstat(2): `NotFound` if nothing is there; `InvalidInput` if it is not a socket.
    pub fn at(path: &[u8]) -> io::Result<Self> {
        Self::of(&fs::symlink_metadata(OsStr::from_bytes(path))?)
    }

    fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        if !metadata.file_type().is_socket() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), owner: metadata.uid() })
    }

    /// Returns the user id of the user who bound the socket.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Returns whether this user is known to have bound the socket. In a user namespace all
    /// unmapped users share one user id, which therefore proves nothing: user_namespaces(7).
    pub fn is_owned_by(&self, user: u32) -> bool {
        self.owner == user && (user != overflow_user() || maps_all_users())
    }
}

/// An open reference to a socket in the file system. A message sent to its [`name`](Self::name)
/// reaches this socket, even if its path has been replaced.
///
/// The owner of a path could replace it by a link, and so make a server send its reply to a socket
/// that the owner has no permission to write to. A server avoids that by pinning the socket and
/// checking its owner before it replies.
#[derive(Debug)]
pub struct PinnedSocket {
    /// Keeps the name valid.
    _file: File,
    identity: PathIdentity,
    name: UnixName,
}

impl PinnedSocket {
    /// Opens the socket at a path: open(2) with O_PATH.
    ///
    /// # Errors
    ///
    /// As open(2): `NotFound` if nothing is there; `InvalidInput` if it is not a socket, but a
    /// symbolic link for example.
    pub fn open(path: &[u8]) -> io::Result<Self> {
        let file = sys::path::open(path)?;
        let identity = PathIdentity::of(&file.metadata()?)?;
        // The kernel would resolve /proc/self again for each message.
        let process = Path::new("/proc").join(fs::read_link("/proc/self")?);
        let name = process.join("fd").join(file.as_raw_fd().to_string());
        let name = UnixName::Path(name.into_os_string().into_vec().into());
        Ok(Self { _file: file, identity, name })
    }

    /// Returns the identity of the socket.
    pub fn identity(&self) -> PathIdentity {
        self.identity
    }

    /// Returns the name to send to, a path in /proc. It is valid as long as this object exists.
    pub fn name(&self) -> &UnixName {
        &self.name
    }
}

/// Reads the files about users that [`PathIdentity::is_owned_by`] needs, so that a process may give up
/// its access to files afterwards.
pub fn read_user_map() {
    overflow_user();
    maps_all_users();
}

/// Returns the user id that stands for unmapped users: /proc/sys/kernel/overflowuid.
fn overflow_user() -> u32 {
    static USER: OnceLock<u32> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok();
    *USER.get_or_init(|| read().unwrap_or(65_534))
}

/// Returns whether the user namespace of this process maps all user ids, as the initial one does.
fn maps_all_users() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    let read = || {
        fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
    };
    *ALL.get_or_init(read)
}
