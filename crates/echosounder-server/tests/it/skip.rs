//! What this machine cannot test: reported as it happens, and noted in a file of the run, of which
//! `xtask/tests/skipped.rs` prints the sum. Crates share this by symbolic links, so that each can be packaged.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Reports once that something is not tested here: `skipped NAME: REASON`, past the test harness, which would
/// capture it.
///
/// # Panics
///
/// If SOUNDER_NO_SKIP is set, and SOUNDER_ELSEWHERE does not name what is tested on another kernel.
pub(crate) fn skip(name: &str, reason: impl Display) {
    static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let elsewhere = env::var("SOUNDER_ELSEWHERE").unwrap_or_default();
    let allowed = env::var_os("SOUNDER_NO_SKIP").is_none() || elsewhere.split(',').any(|other| other == name);
    assert!(allowed, "{name}: {reason}, and SOUNDER_NO_SKIP forbids to skip it");
    let line = format!("skipped {name}: {}\n", reason.to_string().trim_end().replace('\n', " "));
    if SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        // A line that cannot be written is no reason to fail a test.
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = note().and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Opens the file of this run for appending.
pub(crate) fn note() -> io::Result<File> {
    let path = notes();
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    File::options().create(true).append(true).open(path)
}

/// The file of this run. All test programs of a run have one parent, cargo; its start time tells it from an earlier
/// process of this number.
pub(crate) fn notes() -> PathBuf {
    let parent = parent_id();
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    // proc_pid_stat(5): after the name, which may contain anything, the start time is the 20th field.
    let start = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(19)).unwrap_or("0");
    let folder = env::var_os("CARGO_TARGET_TMPDIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    Path::new(&folder).join("skipped").join(format!("{parent}-{start}"))
}
