//! Prints what the test programs of this run have skipped. cargo runs the programs by the names of their packages, and
//! so this one as the last of the workspace.

#[expect(dead_code, reason = "it shares the name of the file with those that skip")]
#[path = "../../crates/echosounder-socket/tests/it/skip.rs"]
mod skip;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::{env, fs};

fn main() -> io::Result<()> {
    if env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let path = skip::notes();
    let mut out = io::stdout().lock();
    // Where nothing can be noted, that nothing was noted says nothing.
    match skip::note().and_then(|_| fs::read_to_string(&path)) {
        Ok(lines) => {
            fs::remove_file(path)?;
            write_sum(&lines, &mut out)
        }
        Err(error) => writeln!(out, "\nskipped in all: unknown, since {}: {error}", path.display()),
    }
}

/// Writes how many things were skipped, and for each the first reason.
fn write_sum(lines: &str, out: &mut impl Write) -> io::Result<()> {
    let mut skipped = BTreeMap::new();
    for (name, reason) in lines.lines().filter_map(|line| line.strip_prefix("skipped ")?.split_once(": ")) {
        skipped.entry(name).or_insert(reason);
    }
    writeln!(out, "\nskipped in all: {}", skipped.len())?;
    skipped.iter().try_for_each(|(name, reason)| writeln!(out, "  {name}: {reason}"))
}
