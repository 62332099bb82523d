//! Temporary folders and unique names.

use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

/// Returns a name that no other test uses, in this process or another. It fits into a UNIX socket
/// name.
pub fn unique() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("sounder-test-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// An empty temporary folder, removed with its contents when it is dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// Creates a folder in the system's folder for temporary files, which is short enough for UNIX
    /// socket paths.
    #[expect(clippy::new_without_default, reason = "creating a folder is an action, not a default value")]
    pub fn new() -> Self {
        Self(TempDir::with_prefix("sounder-test-").unwrap())
    }

    /// Returns the folder's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the path of a file in the folder, as text for a command line.
    pub fn join(&self, name: &str) -> String {
        self.path().join(name).to_str().unwrap().to_owned()
    }

    /// Returns the endpoint of this scheme at a path in the folder.
    pub fn endpoint(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}:{}", self.join(name))
    }

    /// Returns the path of a file in the folder such that the whole path is `len` bytes long.
    pub fn path_of_len(&self, len: usize) -> PathBuf {
        let before = self.path().as_os_str().len() + 1;
        let name = len.checked_sub(before).expect("the path of the folder for temporary files is short");
        self.path().join("s".repeat(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_removed_with_its_contents() {
        let folder = Folder::new();
        let path = folder.path().to_owned();
        std::fs::write(folder.join("file"), "text").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn path_has_the_length_asked_for() {
        assert_eq!(Folder::new().path_of_len(108).as_os_str().len(), 108);
    }

    #[test]
    fn unique_names_differ() {
        assert_ne!(unique(), unique());
    }
}
