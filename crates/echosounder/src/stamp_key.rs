//! The key of authenticated STAMP packets, which comes from a file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use echosounder_proto::stamp::Key;

/// The longest key in bytes, so that a wrong file is not read to its end.
const BYTES_MAX: u64 = 4096;

/// A key, and what to tell the user about its file.
#[derive(Debug)]
pub(crate) struct KeyFile {
    pub(crate) key: Key,
    /// A sentence, if other users can read the file.
    pub(crate) note: Option<String>,
}

/// Reads a key: the content of the file without a newline at its end.
pub(crate) fn read(path: &Path) -> Result<KeyFile> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot open the key file {name}"))?;
    let is_readable_by_others = file
        .metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o044 != 0);
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read the key file {name}"))?;
    ensure!(bytes.len() as u64 <= BYTES_MAX, "the key in {name} has more than {BYTES_MAX} bytes");
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let too_short =
        || format!("the key in {name} has {} bytes; the minimum is {}", bytes.len(), Key::MIN_LEN);
    let key = Key::new(bytes).with_context(too_short)?;
    let note = is_readable_by_others.then(|| format!("other users can read the key file {name}"));
    Ok(KeyFile { key, note })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn keys_are_files_without_their_last_newline() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("key");
        let written = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read(&path)
        };
        let error = |bytes: &[u8]| written(bytes).unwrap_err().to_string();
        assert!(written(b"0123456789abcdef\n").is_ok());
        assert!(error(b"0123456789abcde\n").ends_with("has 15 bytes; the minimum is 16"));
        assert!(error(&[b'x'; 4097]).ends_with("has more than 4096 bytes"));
        assert!(read(&folder.path().join("absent")).is_err());
    }

    #[test]
    fn a_file_that_others_can_read_has_a_note() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, [b'x'; 16]).unwrap();
        for (mode, has_note) in [(0o600, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).unwrap().note.is_some(), has_note, "{mode:o}");
        }
    }
}
