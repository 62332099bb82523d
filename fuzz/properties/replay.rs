//! The corpus, for `cargo test`.

use std::path::{Path, PathBuf};
use std::{fs, panic};

/// Tries what is in the folder of a fuzz target.
pub(crate) fn replay(target: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
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
