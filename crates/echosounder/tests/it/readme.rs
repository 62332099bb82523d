//! The README's examples are run and must print what the README shows.
//!
//! A `console` block consists of lines `$ COMMAND`, each followed by the output. A command that
//! ends in ` &` runs beside the following ones, and `$ kill -INT %1` ends it and is followed by its
//! remaining output. A port of 127.0.0.1 or ::1 that a command beside the others prints stands for
//! the port that it has bound when the block is run.
//!
//! Words and columns must be the same; fractions, times, ports and random names may differ, and
//! lines that depend on the machine may be missing.

use std::fs;
use std::path::Path;
use std::process::Command;

use snapbox::{IntoData, assert_data_eq};

use crate::support::{Folder, Program, finish, has_ipv6, run, sh, skip, unique};

/// How often a block is run that prints something else.
const ATTEMPTS: usize = 5;

/// Returns the `console` blocks of a text.
fn blocks(markdown: &str) -> Vec<&str> {
    let blocks = markdown.split("```console\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("a block ends").0).collect()
}

/// Returns whether a block is run: not if it builds or downloads something.
fn can_run(block: &str) -> bool {
    !block.lines().any(|line| line.starts_with("$ cargo ") || line.starts_with("$ git "))
}

/// Returns the commands of a block, each with its output.
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

/// Returns a shell that runs a command line in this folder, with `sounder` first in the path and
/// one pipe for both outputs.
fn shell(command: &str, folder: &Folder) -> Command {
    let ours = Path::new(env!("CARGO_BIN_EXE_sounder")).parent().unwrap();
    let mut path = ours.as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = sh(&format!("exec 2>&1; {command}"));
    shell.current_dir(folder.path()).env("PATH", path).env_remove("XDG_RUNTIME_DIR").env_remove("TMPDIR");
    shell
}

/// Runs a block; returns its commands with the output that they printed now.
fn play(block: &str) -> String {
    let folder = Folder::new();
    let mut background = Vec::new();
    let mut played = String::new();
    let mut ports = Vec::new();
    for (shown, below) in steps(block) {
        let command = &with_ports(shown, &ports);
        let written = match (command.strip_suffix(" &"), killed(command)) {
            (Some(command), _) => {
                let program = Program::start(&mut shell(&format!("exec {command}"), &folder));
                let mut lines = program.wait_for_lines(below.len());
                lines.truncate(below.len());
                ports.extend(
                    below.iter().zip(&lines).filter_map(|(shown, bound)| Some((port(shown)?, port(bound)?))),
                );
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
        for line in [format!("$ {shown}")].iter().chain(&written) {
            played.push_str(line);
            played.push('\n');
        }
    }
    played
}

/// Returns the port at the end of a line, if it is one of loopback.
fn port(line: &str) -> Option<String> {
    let hosts = ["127.0.0.1:", "[::1]:"];
    let port = hosts.iter().find_map(|host| Some(line.rsplit_once(host)?.1))?;
    (!port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then(|| port.to_owned())
}

/// Replaces the ports that the README shows by those that were bound.
fn with_ports(command: &str, ports: &[(String, String)]) -> String {
    ports.iter().fold(command.to_owned(), |command, (shown, bound)| {
        command.replace(&format!(":{shown}"), &format!(":{bound}"))
    })
}

/// Returns the signal and the job of `kill -SIGNAL %JOB`.
fn killed(command: &str) -> Option<(&str, usize)> {
    let (signal, job) = command.strip_prefix("kill -")?.split_once(" %")?;
    Some((signal, job.parse().ok()?))
}

/// A word of a line, with its place in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    /// The word without the parts that differ from run to run.
    text: String,
    start: usize,
    end: usize,
}

/// Splits a text into lines of words, without the lines and the parts of words that differ from run
/// to run.
fn normalised(text: &str) -> Vec<Vec<Word>> {
    text.lines().filter(|line| !depends_on_machine(line)).map(words).collect()
}

/// Returns whether a line is printed on some machines only: about a socket family that not every
/// kernel has, about how busy this machine is, or about a class of delays.
fn depends_on_machine(line: &str) -> bool {
    let line = line.trim_start();
    let families = ["vsock", "tipc", "netlink://", "mptcp", "sctp", "not on this machine:"];
    let busy = ["bottleneck", "kernel ", "timing ", "scheduling", "verdict "];
    let is_histogram =
        line.starts_with("< ") && line.contains(" ms ") && line.trim_end().ends_with(['%', '#']);
    let is_batch = line.contains(" shared a timestamp with an earlier one");
    families.iter().chain(&busy).any(|start| line.starts_with(start)) || is_histogram || is_batch
}

/// Returns the words of a line.
fn words(line: &str) -> Vec<Word> {
    // These have spaces in them, or characters that other rules would replace, and always the same
    // length.
    let line = replace_pattern(line, "AAA AAA _9 99:99:99 9999", "CTIME");
    let line = replace_pattern(&line, "9999-99-99T99:99:99.999999999+99:99", "RFC3339");
    let mut words: Vec<Word> = Vec::new();
    let mut position = 0;
    for part in line.split(' ') {
        let end = position + part.chars().count();
        if !part.is_empty() {
            words.push(Word { text: normalised_word(part), start: position, end });
        }
        position = end + 1;
    }
    for index in 1..words.len() {
        let (before, after) = words.split_at_mut(index);
        let unit = after[0].text.trim_end_matches(',');
        let number = &mut before[index - 1].text;
        let is_number = number.chars().all(|char| char.is_ascii_digit() || char == ',');
        if is_number && ["messages/s", "%", "µs"].contains(&unit) {
            *number = "NUMBER".into();
        }
    }
    words
}

fn normalised_word(word: &str) -> String {
    let word = replace_after(word, "127.0.0.1:", "PORT", |char| char.is_ascii_digit());
    let word = replace_after(&word, "[::1]:", "PORT", |char| char.is_ascii_digit());
    let word = ["/sounder-", "@sounder-"]
        .iter()
        .fold(word, |word, before| replace_after(&word, before, "NAME", |char| char.is_ascii_alphanumeric()));
    replace_decimals(&word)
}

/// Replaces the parts that match a pattern, in which `9` is a digit, `_` a digit or a space, `A` a
/// letter and `+` a sign, by a name that is filled up to the same length.
fn replace_pattern(line: &str, pattern: &str, name: &str) -> String {
    let matches = |at: usize| {
        let Some(part) = line.get(at..at + pattern.len()) else { return false };
        pattern.bytes().zip(part.bytes()).all(|(wanted, byte)| match wanted {
            b'9' => byte.is_ascii_digit(),
            b'_' => byte.is_ascii_digit() || byte == b' ',
            b'A' => byte.is_ascii_alphabetic(),
            b'+' => byte == b'+' || byte == b'-',
            literal => byte == literal,
        })
    };
    match (0..line.len()).find(|&at| matches(at)) {
        Some(at) => {
            let rest = replace_pattern(&line[at + pattern.len()..], pattern, name);
            format!("{}{name:~<width$}{rest}", &line[..at], width = pattern.len())
        }
        None => line.to_owned(),
    }
}

/// Replaces the characters of a kind that follow a text.
fn replace_after(word: &str, before: &str, name: &str, is_replaced: fn(char) -> bool) -> String {
    let mut parts = word.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(is_replaced);
        out.push_str(before);
        out.push_str(if rest.len() < part.len() { name } else { "" });
        out.push_str(rest);
    }
    out
}

/// Replaces decimal fractions such as `0.087` or `+0.013`; not addresses, nor names such as
/// `p99.9`.
fn replace_decimals(word: &str) -> String {
    let is_part = |char: char| char.is_ascii_digit() || char == '.' || char == ',';
    let Some(start) = word.find(|char: char| char.is_ascii_digit()) else { return word.to_owned() };
    let (before, number) = word.split_at(start);
    let len = number.find(|char| !is_part(char)).unwrap_or(number.len());
    let (number, rest) = number.split_at(len);
    let digits = number.trim_end_matches(['.', ',']);
    let is_decimal = digits.matches('.').count() == 1 && !before.ends_with(char::is_alphabetic);
    let rest = format!("{}{}", &number[digits.len()..], replace_decimals(rest));
    if is_decimal {
        format!("{}TIME{rest}", before.trim_end_matches(['+', '-', '\u{2212}']))
    } else {
        format!("{before}{digits}{rest}")
    }
}

/// Returns the words of each line, with one space between them.
fn text_of(lines: &[Vec<Word>]) -> String {
    let joined =
        |words: &Vec<Word>| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
    lines.iter().map(|words| joined(words) + "\n").collect()
}

/// Returns whether two lines with the same words have the same columns.
///
/// A word after two or more spaces begins a column, in which both words begin, or both end, at the
/// same place. Other words follow their column to any position.
fn same_columns(one: &[Word], other: &[Word]) -> bool {
    let mut ends = (0, 0);
    one.iter().zip(other).all(|(one, other)| {
        let gaps = (one.start - ends.0, other.start - ends.1);
        ends = (one.end, other.end);
        match gaps {
            (0 | 1, 0 | 1) => gaps.0 == gaps.1,
            (2.., 2..) => one.start == other.start || one.end == other.end,
            _ => false,
        }
    })
}

/// Returns whether a block, run again, prints the same words in the same columns.
fn is_reproduced(played: &str, block: &str) -> bool {
    let (played, block) = (normalised(played), normalised(block));
    text_of(&played) == text_of(&block)
        && played.iter().zip(&block).all(|(one, other)| same_columns(one, other))
}

/// Fails unless a block, run again, prints the same words in the same columns.
fn assert_reproduced(played: &str, block: &str) {
    let (played_lines, lines) = (normalised(played), normalised(block));
    assert_data_eq!(text_of(&played_lines), text_of(&lines).raw());
    for (one, other) in played_lines.iter().zip(&lines) {
        assert!(
            same_columns(one, other),
            "the columns of {one:?} and {other:?} differ in\n{played}\n{block}"
        );
    }
}

/// Returns whether this user may ping by ICMP; otherwise skips.
fn may_open_icmp_sockets() -> bool {
    let done = run(&["ping", "-q", "-c", "1", "-W", "10s", "icmp://127.0.0.1"], b"");
    if done.code != Some(0) {
        skip("icmp", "this user may not open ICMP sockets");
    }
    done.code == Some(0)
}

#[test]
fn readme_examples_print_what_it_shows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> = blocks(&readme).into_iter().filter(|block| can_run(block)).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if block.contains("[::1]") && !has_ipv6() {
            continue;
        }
        if block.contains("icmp://") && !may_open_icmp_sockets() {
            continue;
        }
        // On a busy machine, the server may read two requests at once, and ping prints less.
        let mut played = play(block);
        for _ in 1..ATTEMPTS {
            if is_reproduced(&played, block) {
                break;
            }
            played = play(block);
        }
        assert_reproduced(&played, block);
    }
}

#[test]
fn block_is_commands_with_their_output() {
    let text = "a\n```console\n$ one\n1\n$ two\n```\nb\n```sh\nno\n```\n```console\n$ cargo test\n```\n";
    assert_eq!(blocks(text), ["$ one\n1\n$ two\n", "$ cargo test\n"]);
    assert_eq!(steps(blocks(text)[0]), [("one", vec!["1"]), ("two", vec![])]);
    assert!(can_run(blocks(text)[0]) && !can_run(blocks(text)[1]));
}

#[test]
fn block_is_run_in_a_folder_of_its_own() {
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
    assert!(lines[4].contains("sounder-test-"), "{played}");
    assert_eq!(lines[5..], ["$ kill -TERM %1", "1 connection, 1 message, 6 bytes, 0 dropped"]);
}

#[test]
fn shown_ports_stand_for_bound_ones() {
    let block = "$ sounder serve --stamp none tcp://127.0.0.1:0 &\n\
                 Waiting for connection on tcp://127.0.0.1:1\n\
                 $ echo hello | sounder talk tcp://127.0.0.1:1\nhello\n\
                 $ kill -INT %1\n1 connection, 1 message, 6 bytes, 0 dropped\n";
    assert_reproduced(&play(block), block);
}

#[test]
fn parts_that_differ_from_run_to_run_are_replaced() {
    let text = |line: &str| text_of(&normalised(line));
    let one = "tcp://[::1]:43623   [Sun Nov  2 14:59:41 2026] hello   0.087 ms\n";
    assert_eq!(text(one), format!("tcp://[::1]:PORT [{:~<24}] hello TIME ms\n", "CTIME"));
    let other = "unix:/tmp/sounder-8aZ0q7/stream [2026-11-22T12:19:36.123456789+01:00] 127.0.0.1:80:\n";
    let expected = format!("unix:/tmp/sounder-NAME/stream [{:~<35}] 127.0.0.1:PORT:\n", "RFC3339");
    assert_eq!(text(other), expected);
    let ping = "64 bytes from 10.99.3.7: seq=1 rtt=0.070 ms up=+0.000 down=-0.101 (0.2 ms), ±0.3 p99.9\n";
    let expected = "64 bytes from 10.99.3.7: seq=1 rtt=TIME ms up=TIME down=TIME (TIME ms), ±TIME p99.9\n";
    assert_eq!(text(ping), expected);
    assert_eq!(text("19,842 messages/s, 3 % of 2,000/s\n"), "NUMBER messages/s, NUMBER % of 2,000/s\n");
    assert_eq!(text("verdict  steady\n    < 0.02 ms    3.77 %  ###\nsctp://x\n"), "");
    for same in ["sounder-client 7 mm\n", "Sun Nov 22\n", "x ms\n", "1 message, 5 bytes\n"] {
        assert_eq!(text(same), same);
    }
}

#[test]
fn columns_are_compared_with_their_whitespace() {
    let same = |one: &str, other: &str| same_columns(&words(one), &words(other));
    assert!(same("rtt     0.070   0.085", "rtt    10.070   0.085"), "numbers end at the same place");
    assert!(same("hello   0.03 ms", "hello   10.03 ms"), "numbers begin at the same place");
    assert!(!same("rtt     0.070   0.085", "rtt     0.070  0.085"));
    assert!(!same("rtt     0.070", "rtt 0.070"));
    assert!(!same("   one", "  one"));
    assert!(!same("a  b", "a b"));
}
