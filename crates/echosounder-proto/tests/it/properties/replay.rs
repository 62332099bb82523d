//! The corpus, for `cargo test`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io, panic};

/// Tries what is in the folder of a fuzz target.
pub(crate) fn replay(target: &str, holds: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    if !fuzz.exists() {
        let line = b"skipped corpus: it is in the repository, and not in the package\n";
        return io::stderr().write_all(line).expect("standard error takes a line");
    }
    let folder = fuzz.join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    for path in inputs {
        let input = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let held = panic::catch_unwind(|| holds(&input)).is_ok();
        assert!(held, "it does not hold of {}", path.display());
    }
}
