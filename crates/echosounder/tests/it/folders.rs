//! Commands that start a server, where the folder of its sockets cannot be created, and output that
//! cannot be written.

use std::fs;

use crate::support::{Finished, Folder, finish, has_ipv6, json_lines, sh, skip, sounder};

const DEMO: &[&str] = &["demo", "--json"];
const PING: &[&str] = &["ping", "--self", "--json", "-c", "2", "-i", "1ms"];

fn with_tmpdir(args: &[&str], folder: &str) -> Finished {
    let mut command = sounder(args);
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", folder);
    finish(&mut command, b"")
}

fn endpoints(done: &Finished) -> Vec<String> {
    let is_result = |event: &serde_json::Value| event == "result";
    let results = done.objects().into_iter().filter(|object| is_result(&object["event"]));
    results.map(|object| object["endpoint"].as_str().unwrap().to_owned()).collect()
}

fn is_path(endpoint: &str) -> bool {
    endpoint.starts_with("unix") && endpoint.contains('/')
}

#[test]
fn unusable_folder_leaves_out_only_paths() {
    if !has_ipv6() {
        return;
    }
    let folder = Folder::new();
    let file = folder.join("file");
    fs::write(&file, "").unwrap();
    let long = folder.join(&"x".repeat(120));
    fs::create_dir(&long).unwrap();
    for unusable in ["/nowhere", "nowhere", &*file, &*long, "/sys", "/proc/self/fd"] {
        for args in [DEMO, PING] {
            let done = with_tmpdir(args, unusable);
            let endpoints = endpoints(&done);
            assert_eq!(done.code, Some(0), "{args:?} {unusable}: {done:?}");
            assert!(!endpoints.iter().any(|endpoint| is_path(endpoint)), "{unusable}: {endpoints:?}");
            for scheme in ["tcp://127", "tcp://[", "udp://127", "unix:@"] {
                assert!(
                    endpoints.iter().any(|endpoint| endpoint.starts_with(scheme)),
                    "{unusable}: {scheme}"
                );
            }
            let notes = json_lines(&done.stderr);
            let texts = notes.iter().filter_map(|note| note["note"].as_str());
            let left_out = texts.filter(|note| note.starts_with("UNIX socket paths are left out: ")).count();
            assert_eq!(left_out, 1, "{args:?} {unusable}: {notes:?}");
        }
    }
    assert_eq!(fs::read_dir(&long).unwrap().count(), 0);
}

#[test]
fn only_failing_endpoints_are_left_out() {
    if !has_ipv6() {
        return;
    }
    let folder = Folder::new();
    let unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"];
    let trial = finish(std::process::Command::new(unshare[0]).args(&unshare[1..]).arg("true"), b"");
    if trial.code != Some(0) {
        return skip("unshare --mount", trial.stderr.trim_end());
    }
    // The file system has inodes for its root, the folder, and two sockets.
    let mount = format!(
        "mount -t tmpfs -o nr_inodes=4 none {0} && TMPDIR={0} exec $0 \"$@\"",
        folder.path().display()
    );
    for args in [DEMO, PING] {
        let mut command = std::process::Command::new(unshare[0]);
        command.args(&unshare[1..]).args([&mount, env!("CARGO_BIN_EXE_sounder")]).args(args);
        let done = finish(command.env_remove("XDG_RUNTIME_DIR"), b"");
        assert_eq!(done.code, Some(0), "{done:?}");
        let endpoints = endpoints(&done);
        assert_eq!(endpoints.iter().filter(|endpoint| is_path(endpoint)).count(), 2, "{endpoints:?}");
        assert!(endpoints.iter().any(|endpoint| endpoint.starts_with("unix:@")), "{endpoints:?}");
        assert!(done.stderr.contains("left out: cannot bind unix-seqpacket:"), "{done:?}");
    }
}

#[test]
fn temporary_folder_may_be_relative_or_unset() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("t")).unwrap();
    for (relative, args) in [("t", DEMO), ("t", PING), ("./t", DEMO)] {
        let mut command = sounder(args);
        command.current_dir(folder.path()).env_remove("XDG_RUNTIME_DIR").env("TMPDIR", relative);
        let done = finish(&mut command, b"");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(endpoints(&done).iter().filter(|endpoint| is_path(endpoint)).count(), 3, "{done:?}");
    }
    assert_eq!(fs::read_dir(folder.path().join("t")).unwrap().count(), 0);
    // An unusable or empty XDG_RUNTIME_DIR has no effect.
    for runtime in ["/nowhere", "", "relative", "/sys"] {
        let mut command = sounder(DEMO);
        let done = finish(command.env("XDG_RUNTIME_DIR", runtime).env("TMPDIR", folder.path()), b"");
        let paths = endpoints(&done).into_iter().filter(|endpoint| is_path(endpoint)).count();
        assert_eq!((done.code, paths), (Some(0), 3), "{runtime}: {done:?}");
    }
}

#[test]
fn existing_folder_with_the_process_id_does_not_interfere() {
    let folder = Folder::new();
    for args in [DEMO, PING] {
        let args = args.join(" ");
        // exec(2) keeps the process ID of the shell.
        let script = format!("mkdir $TMPDIR/sounder-$$; exec {} {args}", env!("CARGO_BIN_EXE_sounder"));
        let mut command = sh(&script);
        command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", folder.path());
        let done = finish(&mut command, b"");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(endpoints(&done).iter().filter(|endpoint| is_path(endpoint)).count(), 3, "{done:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "the existing folders remain");
}

#[test]
fn unwritable_output_fails_and_a_closed_pipe_does_not() {
    let program = env!("CARGO_BIN_EXE_sounder");
    for args in [
        "--version",
        "--help",
        "-h",
        "ping --help",
        "completions bash",
        "completions zsh",
        "demo",
        "demo --json",
        "doctor",
        "doctor --json",
        "config --check ../../pkg/sounder.toml",
        "config --json --check ../../pkg/sounder.toml",
        "ping --self udp://127.0.0.1:0 -c 2 -i 1ms",
        "ping --json --self udp://127.0.0.1:0 -c 2 -i 1ms",
        "load --self -n 10 -w 20s",
        "load --json --self -n 10 -w 20s",
    ] {
        let full = finish(&mut sh(&format!("{program} {args} > /dev/full")), b"");
        let last = full.stderr.lines().rfind(|line| !line.contains("note")).unwrap_or_default().to_owned();
        let sentence = "cannot write standard output: No space left on device";
        let is_reported =
            last == format!("sounder: {sentence}") || last.contains(&format!(r#""error":"{sentence}""#));
        assert!(full.code == Some(2) && is_reported, "{args}: {full:?}");
        let closed = format!("{{ {program} {args}; echo $? >&2; }} | :");
        let done = finish(&mut sh(&closed), b"");
        assert_eq!(done.stderr.lines().last(), Some("0"), "{args}: {done:?}");
        assert!(!done.stderr.contains("error") && !done.stderr.contains("sounder:"), "{args}: {done:?}");
    }
}
