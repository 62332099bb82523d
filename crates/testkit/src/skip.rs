//! Skipped tests: reported as they happen, and noted in a file of the run, which
//! `xtask/tests/skipped.rs` sums up.

use std::collections::BTreeSet;
use std::env;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Reports that something cannot be tested on this machine, once for each reason: `skipped NAME:
/// REASON`.
///
/// The line goes to standard error directly, since the test harness would capture what is printed
/// by macro.
///
/// # Panics
///
/// If SOUNDER_NO_SKIP is set, unless SOUNDER_ELSEWHERE, a list separated by commas, says that
/// `name` is tested in another step.
#[track_caller]
pub fn skip(name: &str, reason: impl Display) {
    static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let elsewhere = env::var("SOUNDER_ELSEWHERE").unwrap_or_default();
    let is_allowed =
        env::var_os("SOUNDER_NO_SKIP").is_none() || elsewhere.split(',').any(|other| other == name);
    assert!(is_allowed, "{name}: {reason}, and SOUNDER_NO_SKIP forbids to skip it");
    let line = format!("skipped {name}: {}\n", reason.to_string().trim_end().replace('\n', " "));
    if SKIPPED.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        // A line that cannot be written is no reason to fail a test.
        let _ = io::stderr().write_all(line.as_bytes());
        let _ = open_skip_file().and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Opens this run's file of skipped tests for appending.
///
/// # Errors
///
/// If cargo's target folder is not writable.
pub fn open_skip_file() -> io::Result<File> {
    let path = skip_file();
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    File::options().create(true).append(true).open(path)
}

/// Returns the path of this run's file of skipped tests.
///
/// All test programs of a run have one parent, cargo. Its start time distinguishes it from an
/// earlier process with the same number.
pub fn skip_file() -> PathBuf {
    let parent = parent_id();
    let stat = fs::read_to_string(format!("/proc/{parent}/stat")).unwrap_or_default();
    // proc_pid_stat(5): the start time is the 20th field after the name, which may contain
    // anything.
    let start = stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(19)).unwrap_or("0");
    scratch().join("skipped").join(format!("{parent}-{start}"))
}

/// Returns the folder that cargo leaves to tests, `target/tmp`, or that of the variable
/// CARGO_TARGET_TMPDIR.
fn scratch() -> PathBuf {
    if let Some(folder) = env::var_os("CARGO_TARGET_TMPDIR") {
        return folder.into();
    }
    // Test programs are in `target/PROFILE/deps`.
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).unwrap_or_else(|| Path::new("")).join("tmp")
}
