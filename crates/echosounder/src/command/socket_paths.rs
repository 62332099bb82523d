//! The paths of UNIX sockets that `serve` removes when it stops.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::effective_user_id;
use echosounder_socket::{Endpoint, Name};
use nix::unistd::{AccessFlags, eaccess};

/// The mode bit of a folder in which only the owner of a file may remove it: inode(7).
const STICKY: u32 = 0o1000;

/// Returns the path of an endpoint, if it has one.
pub(super) fn path(endpoint: &Endpoint) -> Option<&Path> {
    match endpoint.name() {
        Name::Unix(UnixName::Path(path)) => Some(Path::new(OsStr::from_bytes(path))),
        _ => None,
    }
}

/// Returns the folder of a file.
pub(super) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => ".".into(),
        parent => parent.unwrap_or(path).into(),
    }
}

/// Returns whether this process may remove a file: path_resolution(7), unlink(2).
pub(super) fn is_removable(path: &Path) -> bool {
    let folder = folder(path);
    let is_own = |file: io::Result<Metadata>| file.is_ok_and(|file| file.uid() == effective_user_id());
    let is_sticky = fs::metadata(&folder).is_ok_and(|folder| folder.mode() & STICKY != 0);
    eaccess(&folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
        && (!is_sticky || is_own(fs::metadata(&folder)) || is_own(fs::symlink_metadata(path)))
}
