//! `cargo xtask faults`: attacks on servers, each with a condition that must hold.
//!
//! A [`lab`] is two network namespaces that are joined by a link: the server's host and its peer's.
//! Peers are threads of this program, which send forged [`frame`]s or hold crowds of connections.
//! [`server`] starts the program and reads its counters, its memory and its descriptors. A [`row`]
//! is an attack, what was measured, and the condition.
#![expect(clippy::disallowed_methods, reason = "attacks on real servers take real time")]

mod crowd;
mod datagrams;
mod frame;
mod lab;
mod loops;
mod others;
mod paths;
mod process;
mod relay;
mod row;
mod server;
mod soak;
mod stamp;
mod syscalls;
mod unix;
mod wire;

use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};

use crate::args;
use crate::faults::row::{Row, Scale, Verdict};
use crate::picture;

/// All rows, in the order of their numbers.
const ROWS: &[&[Row]] = &[
    crowd::ROWS,
    datagrams::ROWS,
    loops::ROWS,
    others::ROWS,
    paths::ROWS,
    process::ROWS,
    soak::ROWS,
    stamp::ROWS,
    syscalls::ROWS,
    unix::ROWS,
];

/// The rows that run only if they are named.
const NAMED_ONLY: [&str; 2] = ["soak", "others"];

pub(crate) use unix::swap;

/// Runs the rows and returns the exit status.
pub(crate) fn run(args: &args::Faults) -> Result<u8> {
    let scale = Scale {
        short: args.short,
        minutes: args.minutes,
        delay: std::time::Duration::from_millis(args.delay),
    };
    let rows = selected(&args.rows)?;
    let binary = args.binary.clone().map_or_else(picture::build, Ok)?;
    let binary = binary.canonicalize().with_context(|| format!("cannot find {}", binary.display()))?;
    server::BINARY.get_or_init(|| binary);
    let namespace = lab::Namespace::new();
    namespace.context("faults need root")?;

    // A panic is reported as the outcome of its row.
    panic::set_hook(Box::new(|_| {}));
    let start = Instant::now();
    let (waiting, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| row.waits);
    let verdicts = thread::scope(|scope| -> Result<Vec<(Row, Result<Verdict>)>> {
        let started: Vec<_> =
            waiting.into_iter().map(|row| scope.spawn(move || (row, try_row(row, scale)))).collect();
        let mut verdicts = Vec::new();
        for row in others {
            verdicts.push(report(row, try_row(row, scale))?);
        }
        for thread in started {
            let (row, outcome) = thread.join().map_err(|_| anyhow!("a row panicked"))?;
            verdicts.push(report(row, outcome)?);
        }
        Ok(verdicts)
    })?;
    let failed: Vec<String> = verdicts.iter().filter(|(_, outcome)| fails(outcome)).map(title).collect();
    let absent = verdicts.iter().filter(|(_, outcome)| matches!(outcome, Ok(Verdict::Absent(_)))).count();
    let passed = verdicts.len() - failed.len() - absent;
    let seconds = start.elapsed().as_secs();
    let mut out = io::stdout();
    writeln!(out, "\n{passed} passed, {} failed, {absent} absent, in {seconds} s", failed.len())?;
    for row in &failed {
        writeln!(out, "  failed: {row}")?;
    }
    Ok(u8::from(!failed.is_empty()))
}

/// Returns the rows of these names, or all but those of [`NAMED_ONLY`].
fn selected(names: &[String]) -> Result<Vec<Row>> {
    let all = || ROWS.iter().copied().flatten().copied();
    if let Some(unknown) = names.iter().find(|name| !all().any(|row| row.is_named(name))) {
        let known: Vec<String> = all().map(|row| format!("{} {}", row.number, row.name)).collect();
        bail!("no row is named {unknown}; there are: {}", known.join(", "));
    }
    let mut rows: Vec<Row> = all()
        .filter(|row| match names {
            [] => !NAMED_ONLY.contains(&row.name),
            names => names.iter().any(|name| row.is_named(name)),
        })
        .collect();
    rows.sort_by_key(|row| row.number);
    Ok(rows)
}

/// Runs a row. A panic is an error of the row.
fn try_row(row: Row, scale: Scale) -> Result<Verdict> {
    catch_unwind(AssertUnwindSafe(|| (row.run)(scale))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(anyhow!(text.unwrap_or_else(|| "panicked".to_owned())))
    })
}

fn fails(outcome: &Result<Verdict>) -> bool {
    !matches!(outcome, Ok(Verdict::Absent(_) | Verdict::Tried { holds: true, .. }))
}

fn title((row, _): &(Row, Result<Verdict>)) -> String {
    format!("{} {}", row.number, row.name)
}

/// Prints the outcome of a row and returns both.
fn report(row: Row, outcome: Result<Verdict>) -> Result<(Row, Result<Verdict>)> {
    let mut out = io::stdout();
    let Row { number, name, condition, .. } = row;
    match &outcome {
        Ok(Verdict::Tried { done, figure, holds }) => {
            let word = if *holds { "pass" } else { "FAIL" };
            writeln!(out, "{number:>2} {name}: {word}\n   did: {done}\n   got: {figure}")?;
            writeln!(out, "   must: {condition}")?;
        }
        Ok(Verdict::Absent(reason)) => writeln!(out, "{number:>2} {name}: absent: {reason}")?,
        Err(error) => writeln!(out, "{number:>2} {name}: FAIL\n   error: {error:#}")?,
    }
    Ok((row, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_selected_by_number_and_name() {
        let names = |rows: Vec<Row>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
        assert_eq!(names(selected(&["3".to_owned(), "loop".to_owned()]).unwrap()), [1, 3]);
        assert!(selected(&["nothing".to_owned()]).is_err());
        assert!(selected(&[]).unwrap().iter().all(|row| !NAMED_ONLY.contains(&row.name)));
    }
}
