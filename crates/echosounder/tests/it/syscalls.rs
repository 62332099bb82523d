//! The number of system calls that the server makes per message.

use std::fs;

use crate::serve::{connect, exchange};
use crate::support::{CTIME, Folder, Serving, finish, installed, skip};

/// Returns the system calls that strace counted, with their numbers.
fn counts(table: &str) -> Vec<(&str, u64)> {
    let rows = table.lines().filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        // The columns are percent, seconds, microseconds per call, calls, errors (may be empty),
        // name.
        Some((*columns.last()?, columns.get(3)?.parse().ok()?))
    });
    rows.filter(|(name, _)| *name != "total").collect()
}

#[test]
fn a_message_takes_three_system_calls() {
    const MESSAGES: u64 = 1000;
    let Some(mut strace) = installed("strace") else { return };
    let folder = Folder::new();
    let trial = finish(
        installed("strace").unwrap().args(["-D", "-f", "-c", "-o", &folder.join("trial"), "true"]),
        b"",
    );
    if trial.code != Some(0) {
        return skip("strace", trial.stderr);
    }
    let table = folder.join("table");
    // With -D, strace runs as a grandchild, so that signals reach the server.
    strace.args([
        "-D",
        "-f",
        "-c",
        "-o",
        &table,
        env!("CARGO_BIN_EXE_sounder"),
        "serve",
        "tcp://127.0.0.1:0",
    ]);
    let serving = Serving::start(&mut strace, 1);
    let mut stream = connect(&serving);
    for _ in 0..MESSAGES {
        exchange(&mut stream, b"hello", CTIME + 5);
    }
    drop(stream);
    let done = serving.stop();
    assert!(done.stderr.contains("1,000 messages, 5,000 bytes"), "{}", done.stderr);

    let table = fs::read_to_string(table).unwrap();
    let counts = counts(&table);
    let calls = |name| counts.iter().find(|(called, _)| *called == name).map_or(0, |(_, calls)| *calls);
    for name in ["recvfrom", "sendto", "epoll_wait"] {
        assert!((MESSAGES..MESSAGES + 20).contains(&calls(name)), "{} times {name}:\n{table}", calls(name));
    }
    for (name, calls) in
        counts.iter().filter(|(name, _)| !matches!(*name, "recvfrom" | "sendto" | "epoll_wait"))
    {
        assert!(*calls < MESSAGES / 4, "{calls} times {name}:\n{table}");
    }
}
