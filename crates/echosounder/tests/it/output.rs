//! The files of `-o` are complete or unchanged after any failure while they are written.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use echosounder_socket::{Interest, Signal, ready};

use crate::support::{
    Finished, Folder, Program, Serving, closed_port, finish, installed, json_lines, net_lab, run, sh,
    sounder, unique, wait_for, wait_until, without_times,
};

const OLD: &str = "yesterday's report\n";

/// Arguments of a short ping and of a short load with a server of their own.
const PING: &[&str] = &["ping", "--self", "udp://127.0.0.1:0", "-c", "3", "-i", "1ms", "-q"];
const LOAD: &[&str] = &["load", "--self", "-n", "20", "-w", "20s"];

fn entries(folder: &Folder) -> usize {
    fs::read_dir(folder.path()).unwrap().count()
}

/// Creates a file with the old report and returns its path.
fn old(folder: &Folder, name: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, OLD).unwrap();
    path
}

fn run_with(args: &[&str], output: &str) -> Finished {
    run(&[args, &["-o", output]].concat(), b"")
}

/// Starts a ping that runs until it is stopped, and waits for a few lines.
fn pinging(outputs: &[&str]) -> Program {
    let mut command = sounder(["ping", "--self", "udp://127.0.0.1:0", "-i", "5ms"]);
    for output in outputs {
        command.args(["-o", output]);
    }
    let program = Program::start(&mut command);
    program.wait_for_lines(4);
    program
}

#[test]
fn refused_connection_leaves_the_old_report() {
    let folder = Folder::new();
    let dead = format!("tcp://127.0.0.1:{}", closed_port());
    for ending in ["json", "csv", "hdr"] {
        let path = old(&folder, &format!("r.{ending}"));
        let done = run_with(&["load", &dead], &path);
        assert_eq!((done.code, fs::read_to_string(&path).unwrap().as_str()), (Some(1), OLD), "load {ending}");
    }
    // There is no such socket, so there may be nothing to write.
    for ending in ["csv", "hdr"] {
        let path = old(&folder, &format!("r.{ending}"));
        let done = run_with(&["ping", "-c", "1", "unix:/nowhere/echo"], &path);
        assert_ne!(done.code, Some(0), "{ending}: {done:?}");
        let rows = fs::read_to_string(&path).unwrap();
        assert!(rows == OLD || rows.contains(",1,"), "{ending}: {rows}");
    }
    assert_eq!(entries(&folder), 3);
}

#[test]
fn killed_run_leaves_the_old_report() {
    let folder = Folder::new();
    let paths = ["r.json", "r.csv", "r.hdr", "r.html"].map(|name| old(&folder, name));
    let running = pinging(&paths.each_ref().map(String::as_str));
    running.signal("KILL");
    running.wait();
    for path in &paths {
        assert_eq!(fs::read_to_string(path).unwrap(), OLD, "{path}");
        let done = run_with(PING, path);
        assert_eq!(done.code, Some(0), "{path}: {}", done.stderr);
        assert_ne!(fs::read_to_string(path).unwrap(), OLD, "{path}");
    }
    // The temporary file with the lines of the killed run is left.
    assert_eq!(entries(&folder), paths.len() + 1);
}

#[test]
fn signal_leaves_complete_files() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new();
        let paths = ["r.json", "r.csv", "r.hdr", "r.html"].map(|name| folder.join(name));
        let running = pinging(&paths.each_ref().map(String::as_str));
        running.signal(signal);
        assert_eq!(running.wait().code, Some(0), "{signal}");
        assert_eq!(entries(&folder), paths.len(), "{signal}");
        let [json, csv, _, html] = paths.map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(json_lines(&json)[0]["event"], "result", "{signal}");
        assert!(4 <= csv.lines().count() && html.ends_with("</html>\n"), "{signal}");
    }
}

#[test]
fn sigquit_saves_an_interim_report_that_survives_a_kill() {
    let folder = Folder::new();
    let paths = ["r.json", "r.csv", "r.hdr", "r.html"].map(|name| old(&folder, name));
    let running = pinging(&paths.each_ref().map(String::as_str));
    running.signal("QUIT");
    for path in &paths {
        wait_until(path, || fs::read_to_string(path).unwrap() != OLD);
    }
    running.signal("KILL");
    running.wait();
    let [json, csv, hdr, html] = paths.map(|path| fs::read_to_string(path).unwrap());
    let object = &json_lines(&json)[0];
    assert!(object["event"] == "interim" && object["answered"].as_u64() >= Some(3), "{json}");
    assert!(csv.starts_with("endpoint,seq,") && 4 <= csv.lines().count(), "{csv}");
    assert_eq!(hdr.lines().filter(|line| !line.starts_with('#')).count(), 1, "{hdr}");
    assert!(html.contains("(interim report)</") && html.ends_with("</html>\n"), "{html}");
    assert_eq!(entries(&folder), 4, "a file of lines was put in its place");
}

#[test]
fn ping_saves_an_interim_report_every_ten_seconds() {
    let folder = Folder::new();
    let path = folder.join("r.json");
    let running = pinging(&[&path]);
    assert!(!Path::new(&path).exists());
    wait_until("the interim report", || Path::new(&path).exists());
    running.signal("KILL");
    let object = &json_lines(&fs::read_to_string(&path).unwrap())[0];
    assert_eq!(object["event"], "interim");
}

#[test]
fn load_saves_an_interim_report_every_ten_seconds() {
    let folder = Folder::new();
    let [json, csv, html] = ["r.json", "r.csv", "r.html"].map(|name| folder.join(name));
    let mut command = sounder(["load", "--self", "-t", "2", "-d", "1h", "-r", "1k"]);
    let running = Program::start(command.args(["-o", &json, "-o", &csv, "-o", &html]));
    wait_until("the interim report", || [&json, &csv, &html].iter().all(|path| Path::new(path).exists()));
    running.signal("KILL");
    let object = &json_lines(&fs::read_to_string(&json).unwrap())[0];
    let count = |key: &str| object[key].as_u64().unwrap();
    assert_eq!((&object["event"], object["elapsed_ns"].is_u64()), (&"interim".into(), true), "{object}");
    assert!(1000 < count("answered"), "{object}");
    // Messages in flight do not count as lost.
    assert_eq!(count("sent"), count("answered") + count("late"), "{object}");
    assert!(10 < fs::read_to_string(&csv).unwrap().lines().count());
    assert!(fs::read_to_string(&html).unwrap().contains("(interim report)</"));
}

#[test]
fn csv_lines_are_appended_to_an_interim_report() {
    let folder = Folder::new();
    let path = folder.join("r.csv");
    let running = pinging(&[&path]);
    running.signal("QUIT");
    wait_until("the interim report", || Path::new(&path).exists());
    let before = fs::read_to_string(&path).unwrap();
    running.wait_for_lines(before.lines().count() + 40);
    running.signal("INT");
    running.wait();
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.starts_with(&before) && before.lines().count() + 5 < after.lines().count());
    let numbers: Vec<&str> = after.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    let expected: Vec<String> = (1..=numbers.len()).map(|number| number.to_string()).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn full_disk_leaves_the_old_report() {
    let folder = Folder::new();
    let sounder = env!("CARGO_BIN_EXE_sounder");
    for (command, ending) in
        [(PING, "json"), (PING, "csv"), (PING, "html"), (LOAD, "json"), (LOAD, "csv"), (LOAD, "html")]
    {
        let path = old(&folder, &format!("r.{ending}"));
        // With a limit of zero, write(2) fails as on a full disk.
        let limited = format!("trap '' XFSZ; ulimit -f 0; exec {sounder} {} -o {path}", command.join(" "));
        let done = finish(&mut sh(&limited), b"");
        assert_eq!(done.code, Some(2), "{command:?} {ending}: {done:?}");
        assert_eq!(done.stderr, format!("sounder: cannot write {path}: File too large\n"), "{command:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), OLD, "{command:?} {ending}");
    }
    assert_eq!(entries(&folder), 3, "no temporary file is left");
}

#[test]
fn unwritable_path_fails_before_the_measurement() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("folder.json")).unwrap();
    symlink("loop.json", folder.path().join("loop.json")).unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let long = format!("{}.json", "x".repeat(251));
    for (name, cause) in [
        ("folder.json", "Is a directory"),
        ("missing/r.json", "No such file or directory"),
        ("file/r.json", "Not a directory"),
        ("new.json/", "is a directory"),
        ("loop.json", "Too many levels of symbolic links"),
        (&*long, "File name too long"),
    ] {
        let path = folder.path().join(name).display().to_string();
        for command in [PING, LOAD] {
            let done = run_with(command, &path);
            let error = format!("sounder: cannot create {path}: {cause}\n");
            assert_eq!(done.all(), (Some(2), "", error.as_str()), "{command:?} {name}");
        }
    }
    assert_eq!(entries(&folder), 3);
    // Not even root can create files there.
    let done = run_with(PING, "/sys/r.json");
    assert_eq!((done.code, done.text()), (Some(2), ""), "{done:?}");
    assert!(done.stderr.starts_with("sounder: cannot create /sys/r.json: "), "{done:?}");
}

#[test]
fn permissions_decide_between_error_and_writing_in_place() {
    let folder = Folder::new();
    let [protected, open] = ["protected.json", "open.json"].map(|name| old(&folder, name));
    let permit = |path: &str, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    permit(&protected, 0o444);
    if fs::OpenOptions::new().write(true).open(&protected).is_ok() {
        // Permissions do not apply to root. The tests also run as another user.
        return;
    }
    let done = run_with(PING, &protected);
    let error = format!("sounder: cannot create {protected}: Permission denied\n");
    assert_eq!(done.all(), (Some(2), "", error.as_str()));
    permit(folder.path().to_str().unwrap(), 0o555);
    let new = folder.join("new.json");
    for (path, code) in [(&open, 0), (&new, 2)] {
        assert_eq!(run_with(PING, path).code, Some(code), "{path}");
    }
    assert_eq!(json_lines(&fs::read_to_string(&open).unwrap())[0]["event"], "result");
    permit(folder.path().to_str().unwrap(), 0o755);
}

#[test]
fn file_keeps_links_permissions_and_long_name() {
    let folder = Folder::new();
    let longest = format!("{}.json", "x".repeat(250));
    let path = old(&folder, &longest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let link = folder.join("link.json");
    // The link is relative to its own folder, not to the working directory.
    symlink(&longest, &link).unwrap();
    let dangling = folder.join("dangling.json");
    symlink("new.json", &dangling).unwrap();
    for (command, event) in [(PING, "result"), (LOAD, "result")] {
        for output in [&link, &dangling] {
            let done = run_with(command, output);
            assert_eq!(done.code, Some(0), "{command:?}: {}", done.stderr);
            assert!(fs::symlink_metadata(output).unwrap().is_symlink(), "{command:?}");
            assert_eq!(json_lines(&fs::read_to_string(output).unwrap())[0]["event"], event);
        }
    }
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o604);
    let sounder = env!("CARGO_BIN_EXE_sounder");
    let fresh = folder.join("fresh.json");
    finish(&mut sh(&format!("umask 027; {sounder} {} -o {fresh}", LOAD.join(" "))), b"");
    assert_eq!(fs::metadata(&fresh).unwrap().mode() & 0o7777, 0o640);
}

#[test]
fn pipes_and_descriptors_are_written_in_place() {
    let (folder, sounder) = (Folder::new(), env!("CARGO_BIN_EXE_sounder"));
    let fifo = folder.join("fifo.json");
    for (command, event) in [(PING, "result"), (LOAD, "result")] {
        let command = command.join(" ");
        for (name, script) in [
            ("a pipe", format!("{sounder} {command} -o /dev/fd/3 3>&1 >&2 | cat")),
            (
                "a named pipe",
                format!("mkfifo {fifo}; {sounder} {command} -o {fifo} >&2 & cat {fifo}; rm {fifo}"),
            ),
        ] {
            let done = finish(&mut sh(&script), b"");
            let objects = json_lines(done.text());
            assert_eq!((objects.len(), &objects[0]["event"]), (1, &event.into()), "{name}: {done:?}");
        }
        // The file of a descriptor is not replaced, so that the descriptor still leads to the
        // result.
        let held = folder.join("held");
        let script = format!("exec 3<>{held}; {sounder} {command} -o /dev/fd/3 >&2; cat <&3");
        let done = finish(&mut sh(&script), b"");
        assert_eq!(json_lines(done.text())[0]["event"], event, "{done:?}");
    }
    assert_eq!(entries(&folder), 1);
}

#[test]
fn dash_writes_only_the_result_to_standard_output() {
    for (command, event) in [(PING, "result"), (LOAD, "result")] {
        for json in [&[][..], &["--json"]] {
            let done = run(&[command, json, &["-o", "-"]].concat(), b"");
            let objects = done.objects();
            assert_eq!((done.code, objects.len()), (Some(0), 1), "{command:?}: {done:?}");
            assert_eq!(objects[0]["event"], event);
            assert!(!done.stderr.is_empty(), "{command:?}");
        }
        let command = command.join(" ");
        let sounder = env!("CARGO_BIN_EXE_sounder");
        let full = finish(&mut sh(&format!("{sounder} {command} -o - 2>&1 >/dev/full")), b"");
        let error = "sounder: cannot write standard output: No space left on device\n";
        assert!(full.code == Some(2) && full.text().ends_with(error), "{full:?}");
        let closed = format!("{{ {sounder} {command} -o - 2>/dev/null; echo $? >&2; }} | true");
        assert_eq!(finish(&mut sh(&closed), b"").stderr, "0\n", "a closed pipe is a clean end");
    }
}

#[test]
fn several_files_are_written_but_none_twice() {
    let folder = Folder::new();
    let [json, csv] = ["r.json", "r.csv"].map(|name| folder.join(name));
    for command in [PING, LOAD] {
        let done = run(&[command, &["-o", &json, "-o", &csv, "-o", "-"]].concat(), b"");
        assert_eq!(done.code, Some(0), "{done:?}");
        let in_file = json_lines(&fs::read_to_string(&json).unwrap());
        assert_eq!(without_times(done.objects()), without_times(in_file));
        assert!(fs::read_to_string(&csv).unwrap().contains("_ns,"));
        let other = format!("{}/./r.json", folder.path().display());
        let link = folder.join("link.json");
        symlink(&json, &link).unwrap();
        for twin in [&json, &other, &link] {
            let done = run(&[command, &["-o", &json, "-o", twin]].concat(), b"");
            let error = format!("sounder: -o {json} and -o {twin} are the same file\n");
            assert_eq!(done.all(), (Some(2), "", error.as_str()), "{command:?}");
        }
        for file in [&json, &csv, &link] {
            fs::remove_file(file).unwrap();
        }
    }
    let done = run(&[PING, &["-o", "-", "-o", "-"]].concat(), b"");
    assert_eq!(done.all(), (Some(2), "", "sounder: -o - and -o - are the same file\n"));
}

/// Returns a full pipe that nobody reads.
fn stuck() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let mut filler = writer.try_clone().unwrap();
    // It blocks until the reader is closed.
    thread::spawn(move || while filler.write_all(&[b'x'; 4096]).is_ok() {});
    wait_until("the pipe is full", || {
        let [state] = ready([(writer.as_fd(), Interest::WRITE)], Some(Duration::ZERO)).unwrap();
        !state.can_write()
    });
    (reader, writer)
}

/// Returns whether a process has started a thread of this name.
fn has_thread(pid: u32, name: &str) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.any(|line| line.trim_end() == name)
}

/// Runs a command whose standard output nobody reads, sends it a signal if there is one, and waits
/// for its end.
fn run_unread(command: &mut Command, signal: Option<Signal>) -> (Option<i32>, String) {
    let (_reader, writer) = stuck();
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    // The command's copy would keep the pipe open.
    command.stdout(Stdio::null());
    if let Some(signal) = signal {
        // A load that is stopped before its first thread has nothing to report.
        let thread = if command.get_args().any(|arg| arg == "load") { "load" } else { "signals" };
        wait_until("the thread that the signal needs", || has_thread(child.id(), thread));
        signal.send(child.id()).unwrap();
    }
    let status = wait_for("the end of the program", || child.try_wait().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (status.code(), stderr)
}

#[test]
fn stuck_reader_delays_neither_the_end_nor_the_files() {
    let unread = "cannot write standard output: nobody reads it";
    let ping = ["ping", "--self", "udp://127.0.0.1:0"];
    let terminate = Some(Signal::Terminate);
    for (command, args, signal) in [
        (&ping[..], &["-i", "10ms", "-w", "300ms"][..], None),
        (&ping, &["-i", "0", "-c", "3000", "--json"], None),
        (&ping, &["-i", "10ms"], terminate),
        (&ping, &["-i", "0", "--json"], Some(Signal::Interrupt)),
        (LOAD, &["--json"], None),
        (&["load", "--self"], &["-d", "300ms", "--json"], None),
        (&["load", "--self"], &["-d", "1h"], terminate),
        (&["demo"], &[], terminate),
        (&["demo"], &["--json"], Some(Signal::Interrupt)),
    ] {
        let folder = Folder::new();
        let mut started = sounder(command);
        started.args(args).env("TMPDIR", folder.path()).env_remove("XDG_RUNTIME_DIR");
        let paths: &[String] =
            if command[0] == "demo" { &[] } else { &["r.json", "r.csv"].map(|it| old(&folder, it)) };
        for path in paths {
            started.args(["-o", path]);
        }
        let (code, stderr) = run_unread(&mut started, signal);
        // A demo that is stopped before its first line writes nothing.
        let is_reported = stderr.contains(unread) || command[0] == "demo" && stderr.contains("interrupted");
        assert!(code == Some(2) && is_reported, "{command:?} {args:?}: {code:?} {stderr}");
        for path in paths {
            assert_ne!(fs::read_to_string(path).unwrap(), OLD, "{command:?} {args:?}: {path}");
        }
        assert_eq!(entries(&folder), paths.len(), "{command:?} {args:?}");
    }
}

#[test]
fn file_size_limit_is_an_error() {
    let sounder = env!("CARGO_BIN_EXE_sounder");
    for command in [PING, LOAD] {
        for ending in ["json", "csv", "hdr"] {
            let folder = Folder::new();
            let path = old(&folder, &format!("r.{ending}"));
            let script = format!("ulimit -f 0; exec {sounder} {} -o {path}", command.join(" "));
            let done = finish(&mut sh(&script), b"");
            let error = format!("sounder: cannot write {path}: File too large\n");
            assert!(done.code == Some(2) && done.stderr.ends_with(&error), "{command:?}: {done:?}");
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), entries(&folder)), (OLD, 1));
        }
    }
    let folder = Folder::new();
    let file = folder.join("transcript");
    let serve = format!("ulimit -f 0; exec {sounder} serve --transcript messages tcp://127.0.0.1:0 >{file}");
    let serving = Serving::start(&mut sh(&serve), 1);
    for _ in 0..2 {
        assert_eq!(run(&["talk", serving.endpoint()], b"hello\n").code, Some(0), "it goes on");
    }
    let talk = format!("ulimit -f 0; exec {sounder} talk {} >{file}", serving.endpoint());
    assert_eq!(finish(&mut sh(&talk), b"hello\n").code, Some(2));
    let done = serving.stop();
    let error = "sounder: cannot write 9 lines of the transcript: File too large\n";
    assert!(done.code == Some(2) && done.stderr.ends_with(error), "{done:?}");
}

#[test]
fn transcript_is_complete_again_when_the_disk_has_space() {
    let (folder, sounder) = (Folder::new(), env!("CARGO_BIN_EXE_sounder"));
    let Some(mut prlimit) = installed("prlimit") else { return };
    let file = folder.join("transcript");
    // The limit is not a multiple of a line's length, so that the last write is partial.
    let serve = format!(
        "ulimit -S -f 1; exec {sounder} serve --json --transcript messages unix:@{} >{file}",
        unique()
    );
    let serving = Serving::start(&mut sh(&serve), 1);
    let talk = |lines: usize| {
        let text = "hello\n".repeat(lines);
        assert_eq!(run(&["talk", "--lines", serving.endpoint()], text.as_bytes()).code, Some(0));
    };
    talk(20);
    wait_until("the full disk", || 500 < fs::metadata(&file).unwrap().len());
    assert!(fs::metadata(&file).unwrap().len() <= 1024);
    let pid = serving.program().pid().to_string();
    assert!(prlimit.args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap().success());
    let content = || fs::read_to_string(&file).unwrap();
    wait_until("the number of lines that were left out", || content().contains("\"left_out\""));
    talk(1);
    let done = serving.stop();
    assert_eq!(done.code, Some(0), "{done:?}");
    let lines = json_lines(&content());
    let left_out: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
    let shown = lines.iter().filter(|line| line["event"] != "left_out").count() as u64;
    // Two connections with 21 messages.
    assert_eq!((left_out + shown, 0 < left_out), (2 * 2 + 21, true), "{lines:?}");
    assert_eq!(lines.last().unwrap()["event"], "closed");
}

#[test]
fn transcript_ends_at_its_maximum_and_the_server_goes_on() {
    let (folder, sounder) = (Folder::new(), env!("CARGO_BIN_EXE_sounder"));
    for (json, max) in [("", "1024"), ("--json", "2k")] {
        let file = folder.join("transcript");
        let serve = format!(
            "exec {sounder} serve {json} --transcript messages --transcript-max {max} unix:@{} >{file}",
            unique()
        );
        let serving = Serving::start(&mut sh(&serve), 1);
        let talk = || run(&["talk", "--lines", serving.endpoint()], "hello\n".repeat(40).as_bytes());
        assert_eq!((talk().code, talk().code), (Some(0), Some(0)));
        let done = serving.stop();
        let content = fs::read_to_string(&file).unwrap();
        let max = if json.is_empty() { 1024 } else { 2048 };
        assert!((max / 2..=max).contains(&content.len()), "{content}");
        let last = "the transcript ends here: it has the size of --transcript-max";
        assert!(content.lines().last().unwrap().contains(last), "{content}");
        let lines = 2 * (2 + 40) - (content.lines().count() - 1);
        let note = format!("{lines} lines left out of the transcript, which has its maximum size");
        assert!(done.code == Some(0) && done.stderr.contains(&note), "{lines}: {done:?}");
        if !json.is_empty() {
            json_lines(&content);
        }
    }
    let done = run(&["serve", "--transcript-max", "1000"], b"");
    assert!(done.code == Some(2) && done.stderr.contains("the minimum is 1024 bytes"), "{done:?}");
}

#[test]
fn local_failure_leaves_the_old_report() {
    let folder = Folder::new();
    for ending in ["json", "csv", "hdr", "html"] {
        let path = old(&folder, &format!("r.{ending}"));
        let done = run_with(&["ping", "-c", "1", "tcp://255.255.255.255:1"], &path);
        assert_eq!((done.code, fs::read_to_string(&path).unwrap().as_str()), (Some(2), OLD), "{ending}");
    }
    // A failure of the peer is a result.
    let path = old(&folder, "refused.json");
    let done = run_with(&["ping", "-c", "1", &format!("tcp://127.0.0.1:{}", closed_port())], &path);
    assert_eq!(
        (done.code, &json_lines(&fs::read_to_string(&path).unwrap())[0]["reason"]),
        (Some(1), &"REFUSED".into())
    );
}

#[test]
fn path_of_standard_output_means_standard_output() {
    let (folder, sounder) = (Folder::new(), env!("CARGO_BIN_EXE_sounder"));
    let file = folder.join("r.json");
    for (command, event) in [(PING, "result"), (LOAD, "result")] {
        for path in ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", &file] {
            for sink in [format!(">{file}"), format!(">>{file}"), format!("| cat >{file}")] {
                if path == file && sink.starts_with('|') {
                    continue;
                }
                fs::write(&file, "").unwrap();
                let script = format!("{sounder} {} -o {path} {sink}", command.join(" "));
                let done = finish(&mut sh(&script), b"");
                let lines = json_lines(&fs::read_to_string(&file).unwrap());
                assert_eq!((lines.len(), &lines[0]["event"]), (1, &event.into()), "{path} {sink}");
                assert!(!done.stderr.is_empty(), "the text is on standard error: {path} {sink}");
            }
        }
    }
}

#[test]
fn a_full_disk_ends_a_file_of_lines_with_its_last_complete_line() {
    for (kib, has_file) in [(32, true), (0, false)] {
        let fill =
            format!("mount -t tmpfs -o size=64k none /mnt; cd /mnt; head -c {}k /dev/zero >fill", 64 - kib);
        let Some(mut lab) = net_lab(&fill) else { return };
        let script =
            "\"$0\" ping --self -q -c 2000 -i 0 -W 10s -o a.csv udp://127.0.0.1:0 >/dev/null; code=$?
            cat a.csv; exit $code";
        let done = finish(lab.args(["sh", "-c", script, env!("CARGO_BIN_EXE_sounder")]), b"");
        assert_eq!(done.code, Some(2), "{}", done.stderr);
        let error = "cannot write a.csv: No space left on device";
        assert!(done.stderr.contains(&format!("sounder: {error}\n")), "{}", done.stderr);
        let note = format!("note: {error}; further requests are not written to it\n");
        assert_eq!(done.stderr.matches(&note).count(), 1, "{}", done.stderr);
        if !has_file {
            continue;
        }
        // The requests before the disk was full are there.
        let columns = |line: &str| line.matches(',').count();
        let lines: Vec<&str> = done.text().lines().collect();
        assert!(100 < lines.len() && done.text().ends_with('\n'), "{}", lines.len());
        assert!(lines.iter().all(|line| columns(line) == columns(lines[0])), "{lines:?}");
    }
}
