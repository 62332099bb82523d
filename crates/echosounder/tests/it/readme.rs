//! The README's examples are run, and must come out as they stand there.
//!
//! A `console` block is lines of `$ COMMAND` and what each of them writes. A command that ends in ` &` goes on
//! beside the others, and `$ kill -INT %1` ends it: below stands what it writes from then on.

use std::fs;
use std::path::Path;
use std::process::Command;

use snapbox::{IntoData, assert_data_eq};

use crate::support::{Folder, Program, finish, has_ipv6, sh, unique};

/// The `console` blocks of a text.
fn blocks(markdown: &str) -> Vec<&str> {
    let blocks = markdown.split("```console\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("a block ends").0).collect()
}

/// Whether a block can be run: those that build or fetch are for people.
fn can_run(block: &str) -> bool {
    !block.lines().any(|line| line.starts_with("$ cargo ") || line.starts_with("$ git "))
}

/// The commands of a block, each with the lines below it.
fn steps(block: &str) -> Vec<(&str, Vec<&str>)> {
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command, Vec::new())),
            (None, Some((_, below))) => below.push(line),
            (None, None) => panic!("a block begins with a command: {block}"),
        }
    }
    steps
}

/// A command line, with our program first in the path, in this folder, both its outputs in one.
fn shell(command: &str, folder: &Folder) -> Command {
    let ours = Path::new(env!("CARGO_BIN_EXE_sounder")).parent().unwrap();
    let mut path = ours.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = sh(&format!("exec 2>&1; {command}"));
    shell.current_dir(folder.path()).env("PATH", path).env_remove("XDG_RUNTIME_DIR").env_remove("TMPDIR");
    shell
}

/// Runs a block and returns it with what really was written.
fn play(block: &str) -> String {
    let folder = Folder::new();
    let mut background = Vec::new();
    let mut played = String::new();
    for (command, below) in steps(block) {
        let written = match (command.strip_suffix(" &"), killed(command)) {
            (Some(command), _) => {
                let program = Program::start(&mut shell(&format!("exec {command}"), &folder));
                let mut lines = program.wait_for_lines(below.len());
                lines.truncate(below.len());
                background.push(Some((program, lines.len())));
                lines
            }
            (None, Some((signal, job))) => {
                let (program, seen): (Program, usize) = background[job - 1].take().expect("the job runs");
                program.signal(signal);
                program.finish().text().lines().skip(seen).map(str::to_owned).collect()
            }
            (None, None) => {
                let done = finish(&mut shell(command, &folder), b"");
                done.text().lines().map(str::to_owned).collect()
            }
        };
        for line in [format!("$ {command}")].iter().chain(&written) {
            played.push_str(line);
            played.push('\n');
        }
    }
    played
}

/// The signal and the job of `kill -SIGNAL %JOB`.
fn killed(command: &str) -> Option<(&str, usize)> {
    let (signal, job) = command.strip_prefix("kill -")?.split_once(" %")?;
    Some((signal, job.parse().ok()?))
}

/// A text without what differs from one run to the next.
fn normalised(text: &str) -> String {
    let mut lines = String::new();
    // Which of these a kernel has differs from one machine to the next.
    let optional = ["vsock", "tipc", "netlink://", "mptcp", "sctp", "not on this machine:"];
    let everywhere = |line: &&str| !optional.iter().any(|name| line.trim_start().starts_with(name));
    for line in text.lines().filter(everywhere) {
        let line = drawn(line, "AAA AAA _9 99:99:99 9999", "CTIME");
        let line = drawn(&line, "9999-99-99T99:99:99.999999999+99:99", "RFC3339");
        let line = numbered(&line, "127.0.0.1:", "PORT");
        let line = numbered(&line, "[::1]:", "PORT");
        let line = ["/sounder-", "@sounder-"].iter().fold(line, |line, before| random(&line, before));
        let words: Vec<&str> = line.split_whitespace().collect();
        let timed = words.iter().map(|&word| match word.parse::<f64>() {
            Ok(_) if word.contains('.') => "TIME",
            _ => word,
        });
        lines.push_str(&timed.collect::<Vec<_>>().join(" "));
        lines.push('\n');
    }
    lines
}

/// Replaces what looks like the picture, in which `9` is a digit, `_` a digit or a space, `A` a letter and `+` a
/// sign.
fn drawn(line: &str, picture: &str, name: &str) -> String {
    let fits = |at: usize| {
        let Some(piece) = line.get(at..at + picture.len()) else { return false };
        picture.bytes().zip(piece.bytes()).all(|(drawn, byte)| match drawn {
            b'9' => byte.is_ascii_digit(),
            b'_' => byte.is_ascii_digit() || byte == b' ',
            b'A' => byte.is_ascii_alphabetic(),
            b'+' => byte == b'+' || byte == b'-',
            literal => byte == literal,
        })
    };
    match (0..line.len()).find(|&at| fits(at)) {
        Some(at) => {
            let after = drawn(&line[at + picture.len()..], picture, name);
            format!("{}{name}{after}", &line[..at])
        }
        None => line.to_owned(),
    }
}

/// Replaces the numbers that stand behind some text.
fn numbered(line: &str, before: &str, name: &str) -> String {
    replaced(line, before, name, |c| c.is_ascii_digit())
}

/// Replaces the random part of a name.
fn random(line: &str, before: &str) -> String {
    replaced(line, before, "NAME", |c| c.is_ascii_alphanumeric())
}

/// Replaces such characters behind some text.
fn replaced(line: &str, before: &str, name: &str, is_such: fn(char) -> bool) -> String {
    let mut pieces = line.split(before);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(is_such);
        out.push_str(before);
        out.push_str(if rest.len() < piece.len() { name } else { "" });
        out.push_str(rest);
    }
    out
}

#[test]
fn the_readme_tells_the_truth() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = blocks(&readme).into_iter().filter(|block| can_run(block)).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if block.contains("[::1]") && !has_ipv6() {
            continue;
        }
        assert_data_eq!(normalised(&play(block)), normalised(block).raw());
    }
}

#[test]
fn a_block_is_commands_and_what_they_write() {
    let text = "a\n```console\n$ one\n1\n$ two\n```\nb\n```sh\nno\n```\n```console\n$ cargo test\n```\n";
    assert_eq!(blocks(text), ["$ one\n1\n$ two\n", "$ cargo test\n"]);
    assert_eq!(steps(blocks(text)[0]), [("one", vec!["1"]), ("two", vec![])]);
    assert!(can_run(blocks(text)[0]) && !can_run(blocks(text)[1]));
}

#[test]
fn what_is_played_is_what_happened() {
    let name = unique();
    let block = format!(
        "$ sounder serve --stamp none unix:@{name} &\nWaiting for connection on unix:@{name}\n\
         $ echo hello | sounder talk @{name}; pwd >&2; ls\nwrong\n\
         $ kill -TERM %1\n1 connection, 1 message, 6 bytes, 0 dropped\n"
    );
    let played = play(&block);
    assert_ne!(normalised(&played), normalised(&block));
    let lines: Vec<&str> = played.lines().collect();
    assert_eq!(lines[3], "hello");
    assert!(lines[4].contains("sounder-test-"), "it runs in a folder of its own, which is empty: {played}");
    assert_eq!(lines[5..], ["$ kill -TERM %1", "1 connection, 1 message, 6 bytes, 0 dropped"]);
}

#[test]
fn what_differs_from_run_to_run_is_not_compared() {
    let one = "tcp://[::1]:43623   [Sun Nov  2 14:59:41 2026] hello   0.087 ms\n";
    assert_eq!(normalised(one), "tcp://[::1]:PORT [CTIME] hello TIME ms\n");
    let other = "unix:/tmp/sounder-8aZ0q7/stream [2026-11-22T12:19:36.123456789+01:00] 127.0.0.1:80:\n";
    assert_eq!(normalised(other), "unix:/tmp/sounder-NAME/stream [RFC3339] 127.0.0.1:PORT:\n");
    for same in ["sounder-client 7 mm\n", "Sun Nov 22\n", "x ms\n", "1 message, 5 bytes\n"] {
        assert_eq!(normalised(same), same);
    }
}
