//! SIGHUP, sent when a terminal closes, ends every command as SIGTERM does.

use std::fs;
use std::process::Command;

use crate::support::{CTIME, Folder, Program, Serving, installed, json_lines, run, unique};

/// Returns our program started by env(1) with an option for SIGHUP. The tests may run with SIGHUP
/// ignored, which child processes inherit.
fn with_env_option(option: &str, args: &[&str]) -> Option<Command> {
    let mut env = installed("env")?;
    env.arg(option).arg(env!("CARGO_BIN_EXE_sounder")).args(args);
    Some(env)
}

#[test]
fn server_removes_its_paths_and_prints_statistics() {
    let folder = Folder::new();
    let paths = ["stream", "unix-dgram:d", "unix-seqpacket:p"].map(|name| match name.split_once(':') {
        Some((scheme, name)) => format!("{scheme}:{}", folder.join(name)),
        None => folder.join(name),
    });
    let serve = ["serve", &paths[0], &paths[1], &paths[2]];
    let Some(mut serve) = with_env_option("--default-signal=HUP", &serve) else { return };
    let serving = Serving::start(&mut serve, 3);
    assert_eq!(run(&["talk", &paths[0]], b"hello\n").text().len(), CTIME + 6);
    let done = serving.stop_by("HUP");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.ends_with("1 connection, 1 message, 6 bytes, 0 dropped\n"), "{}", done.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn ignored_hangup_stays_ignored() {
    let name = format!("@{}", unique());
    let Some(mut serve) = with_env_option("--ignore-signal=HUP", &["serve", &name]) else { return };
    let serving = Serving::start(&mut serve, 1);
    serving.program().signal("HUP");
    serving.program().signal("USR1");
    serving.program().wait_for_stderr(" dropped\n");
    assert_eq!(run(&["talk", &name], b"hello\n").code, Some(0));
    let done = serving.stop_by("TERM");
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.ends_with("\n1 connection, 1 message, 6 bytes, 0 dropped\n"), "{}", done.stderr);
}

/// Runs a command with a folder for its sockets, sends SIGHUP after so many lines of output, and
/// checks that the folder is empty in the end.
fn hang_up(args: &[&str], lines: usize, codes: &[i32]) -> String {
    let folder = Folder::new();
    let Some(mut command) = with_env_option("--default-signal=HUP", args) else { return String::new() };
    command.env("TMPDIR", folder.path()).env_remove("XDG_RUNTIME_DIR");
    let program = Program::start(&mut command);
    program.wait_for_lines(lines);
    program.signal("HUP");
    // timeout(1) and a closing terminal send two signals, which count as one request.
    program.signal("HUP");
    let done = program.wait();
    assert!(done.code.is_some_and(|code| codes.contains(&code)), "{args:?}: {:?} {}", done.code, done.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{args:?}");
    done.text().to_owned()
}

#[test]
fn ping_removes_its_sockets_and_prints_its_results() {
    // Whether each target has had a reply by then depends on how busy this machine is.
    let output = hang_up(&["ping", "--json", "--self", "-i", "20ms"], 30, &[0, 1]);
    assert!(json_lines(&output).iter().filter(|line| line["event"] == "result").count() > 4, "{output}");
}

#[test]
fn demo_removes_its_sockets() {
    hang_up(&["demo"], 3, &[2]);
}

#[test]
fn result_files_are_written() {
    let folder = Folder::new();
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let (ping, load) = (folder.join("ping.json"), folder.join("load.json"));
    hang_up(&["ping", "-i", "10ms", "-o", &ping, serving.endpoint()], 3, &[0]);
    hang_up(&["load", "--json", "-d", "60", "-o", &load, serving.endpoint()], 1, &[0]);
    for (file, event) in [(ping, "result"), (load, "result")] {
        let results = json_lines(&fs::read_to_string(&file).unwrap());
        assert_eq!(results[0]["event"], event, "{file}");
    }
}

#[test]
fn talk_ends() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let Some(mut talk) = with_env_option("--default-signal=HUP", &["talk", serving.endpoint()]) else {
        return;
    };
    let mut talk = Program::start(&mut talk);
    talk.write(b"hello\n");
    talk.wait_for_bytes(CTIME + 5);
    talk.signal("HUP");
    assert_eq!(talk.wait().code, Some(0));
}
