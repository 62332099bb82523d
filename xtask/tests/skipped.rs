//! Prints a summary of what the test programs of this run have skipped. cargo runs test programs in
//! the order of their packages' names, so this one is the last of the workspace.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::{env, fs};

use echosounder_testkit::{open_skip_file, skip_file};

fn main() -> io::Result<()> {
    if env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let path = skip_file();
    let mut out = io::stdout().lock();
    // An absent file means that nothing was skipped only if the file could have been written.
    match open_skip_file().and_then(|_| fs::read_to_string(&path)) {
        Ok(lines) => {
            fs::remove_file(path)?;
            write_summary(&lines, &mut out)
        }
        Err(error) => writeln!(out, "\nskipped in all: unknown, since {}: {error}", path.display()),
    }
}

/// Writes how many things were skipped, each with the first reason.
fn write_summary(lines: &str, out: &mut impl Write) -> io::Result<()> {
    let mut skipped = BTreeMap::new();
    for (name, reason) in lines.lines().filter_map(|line| line.strip_prefix("skipped ")?.split_once(": ")) {
        skipped.entry(name).or_insert(reason);
    }
    writeln!(out, "\nskipped in all: {}", skipped.len())?;
    skipped.iter().try_for_each(|(name, reason)| writeln!(out, "  {name}: {reason}"))
}
