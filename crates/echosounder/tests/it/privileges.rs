//! What `sounder serve` gives up after binding: its user, its access to files, and system calls.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use crate::sandbox::sandboxed;
use crate::serve::{connect, exchange};
use crate::support::{
    CTIME, Folder, PATIENCE, Serving, finish, installed, may_run, python, retry_interrupted, run, skip,
};

/// The number of an unprivileged user and group on every system.
const NOBODY: u32 = 65_534;

/// Returns the values of a line of /proc/PID/status for every thread of a process: proc_pid_status(5).
fn status(pid: u32, name: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let value = |path: &Path| {
        let text = fs::read_to_string(path.join("status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::trim));
        line.unwrap_or_default().replace('\t', " ")
    };
    threads.map(|thread| value(&thread.unwrap().path())).collect()
}

/// Returns the one value that all threads of a process share.
#[track_caller]
fn shared_status(pid: u32, name: &str) -> String {
    let mut values = status(pid, name);
    assert!(3 < values.len(), "the server has started its threads");
    values.dedup();
    assert_eq!(values.len(), 1, "{name}: {values:?}");
    values.remove(0)
}

#[test]
fn all_threads_are_in_the_sandbox() {
    let folder = Folder::new();
    let ends =
        ["tcp://127.0.0.1:0".into(), "udp://127.0.0.1:0".into(), folder.endpoint("unix-dgram", "datagrams")];
    let ends = ends.each_ref().map(String::as_str);
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("Seccomp:")).unwrap().trim().to_owned();
    for (options, seccomp, privileges) in [(&[][..], "2", "1"), (&["--no-sandbox"], own.as_str(), "0")] {
        let serving = Serving::with(&[options, &ends].concat(), 3);
        let done = run(&["ping", "-c", "1", &serving.endpoints()[0]], b"");
        assert_eq!(done.code, Some(0), "{done:?}");
        let pid = serving.program().pid();
        assert_eq!(shared_status(pid, "Seccomp"), seccomp, "{options:?}");
        assert_eq!(shared_status(pid, "NoNewPrivs"), privileges, "{options:?}");
        let done = serving.stop();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(!done.stderr.contains("note: "), "{}", done.stderr);
    }
}

#[test]
fn without_landlock_or_seccomp_the_server_runs_with_a_note() {
    for (calls, missing) in [
        ("landlock_create_ruleset", "no Landlock (Operation not permitted)"),
        ("seccomp", "no seccomp (Operation not permitted)"),
        (
            "landlock_create_ruleset,seccomp",
            "no Landlock (Operation not permitted), no seccomp (Operation not permitted)",
        ),
    ] {
        let Some(mut serve) = sandboxed("EPERM", calls, &["serve", "tcp://127.0.0.1:0"]) else { return };
        let serving = Serving::start(&mut serve, 1);
        exchange(&mut connect(&serving), b"hello", CTIME + 5);
        let done = serving.stop();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let note = format!("note: the sandbox is incomplete: {missing}\n");
        assert!(done.stderr.starts_with(&note), "{}", done.stderr);
    }
}

#[test]
fn in_the_sandbox_the_server_opens_only_references() {
    let Some(strace) = installed("strace") else { return };
    let folder = Folder::new();
    let calls = folder.join("calls");
    // With -D, strace runs as a grandchild, so that signals reach the server.
    let options = ["-D", "-f", "-qq", "-o", &calls, "-e", "trace=open,openat,seccomp"];
    let mut trial = Command::new(strace.get_program());
    trial.args(options);
    let Some(mut serve) = may_run(trial) else { return };
    serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", "--transcript", "messages"]);
    serve.args(["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    serve.args([folder.endpoint("unix", "stream"), folder.endpoint("unix-dgram", "datagrams")]);
    let serving = Serving::start(serve.env("TZ", "Europe/Berlin"), 4);
    for endpoint in serving.endpoints() {
        let done = run(&["load", "-c", "20", "-n", "1000", endpoint], b"");
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    // A client with a path of its own.
    let client = UnixDatagram::bind(folder.join("client")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"hello", folder.join("datagrams")).unwrap();
    assert_eq!(retry_interrupted(|| client.recv(&mut [0; 64])).unwrap(), CTIME + 5);
    serving.program().signal("USR1");
    serving.program().wait_for_stderr(" dropped\n");
    let done = serving.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let calls = fs::read_to_string(calls).unwrap();
    let Some((_, after)) = calls.rsplit_once("SECCOMP_SET_MODE_FILTER") else {
        return skip("kernel features", "the server installed no seccomp filter");
    };
    let opened: Vec<&str> = after.lines().filter(|line| line.contains(" open")).collect();
    assert!(opened.iter().any(|line| line.contains("/client\"")), "{opened:#?}");
    assert!(opened.iter().all(|line| line.contains("O_PATH")), "{opened:#?}");
}

/// Returns whether this process is root, which may change to other users.
fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        skip("change of user", "only root may change to another user");
    }
    is_root
}

#[test]
fn a_server_on_a_low_port_runs_as_another_user() {
    let (true, Some(loopback)) = (is_root(), python("loopback.py", [] as [&str; 0])) else { return };
    let Some(mut unshare) = installed("unshare") else { return };
    unshare.arg("--net").arg(loopback.get_program()).args(loopback.get_args());
    let Some(mut serve) = may_run(unshare) else { return };
    serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", "--user", "65534", "tcp://127.0.0.1:80"]);
    let serving = Serving::start(&mut serve, 1);
    let pid = serving.program().pid();
    let mut ping = Command::new("nsenter");
    ping.args(["--net", "--target", &pid.to_string(), env!("CARGO_BIN_EXE_sounder")]);
    let done = finish(ping.args(["ping", "-c", "2", "-i", "10ms", "tcp://127.0.0.1:80"]), b"");
    assert_eq!(done.code, Some(0), "{done:?}");
    for ids in ["Uid", "Gid"] {
        assert_eq!(shared_status(pid, ids), [NOBODY.to_string().as_str(); 4].join(" "), "{ids}");
    }
    assert!(["", "65534"].contains(&shared_status(pid, "Groups").as_str()));
    assert_eq!(shared_status(pid, "CapEff"), "0000000000000000");
    assert_eq!(shared_status(pid, "CapPrm"), "0000000000000000");
    let done = serving.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn paths_that_the_user_may_not_remove_are_noted() {
    if !is_root() {
        return;
    }
    // Who may remove a file depends on its folder, which may be sticky.
    for (owner, mode, is_removed) in
        [(0, 0o755, false), (0, 0o1777, false), (0, 0o777, true), (NOBODY, 0o1700, true)]
    {
        let folder = Folder::new();
        chown(folder.path(), Some(owner), None).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
        let ends = [folder.endpoint("unix", "stream"), folder.endpoint("unix-dgram", "datagrams")];
        let args = ["--user", "65534", &ends[0], &ends[1]];
        // The second server replaces what the first one leaves.
        for _ in 0..2 {
            let serving = Serving::with(&args, 2);
            for end in &ends {
                let done = run(&["ping", "-c", "1", end], b"");
                assert_eq!(done.code, Some(0), "{mode:o}: {done:?}");
            }
            let done = serving.stop();
            assert_eq!(done.code, Some(0), "{}", done.stderr);
            for end in &ends {
                let note =
                    format!("note: {end} remains when the server stops: user 65534 may not remove it\n");
                assert_eq!(done.stderr.contains(&note), !is_removed, "{mode:o}: {}", done.stderr);
            }
            assert_eq!(Path::new(&folder.join("stream")).exists(), !is_removed, "{mode:o}");
            assert_eq!(Path::new(&folder.join("datagrams")).exists(), !is_removed, "{mode:o}");
        }
    }
}

#[test]
fn a_user_that_the_server_cannot_become_is_an_error() {
    for user in ["no such user", "+5", "5 ", ""] {
        let done = run(&["serve", "--user", user, "tcp://127.0.0.1:0"], b"");
        let reason = format!("sounder: no user is named {user:?}");
        assert_eq!((done.code, done.stderr.lines().next()), (Some(2), Some(&*reason)));
    }
    let Some(mut unshare) = installed("unshare") else { return };
    // Groups cannot be changed in such a namespace: user_namespaces(7).
    unshare.arg("--map-root-user");
    let Some(mut serve) = may_run(unshare) else { return };
    let serve = serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", "--user", "65534", "tcp://127.0.0.1:0"]);
    let done = finish(serve, b"");
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert!(lines[0].starts_with("sounder: cannot run as user 65534: "), "{}", done.stderr);
    assert!(lines[0].ends_with(": Operation not permitted"), "{}", done.stderr);
    assert_eq!(lines[1], "hint: --user requires root, or the capabilities CAP_SETUID and CAP_SETGID");
}

#[test]
fn users_are_numbers_where_no_user_database_exists() {
    for (user, reason) in [
        // Groups cannot be changed in a user namespace. The server has taken the number before.
        ("65534", "sounder: cannot run as user 65534: setgroups: Operation not permitted"),
        ("nobody", "sounder: no user is named \"nobody\""),
        ("4294967295", "sounder: no user is named \"4294967295\""),
    ] {
        let Some(mut unshare) = installed("unshare") else { return };
        unshare.args(["--map-root-user", "--mount"]);
        let Some(mut serve) = may_run(unshare) else { return };
        // An empty folder hides /etc/passwd.
        serve.args(["sh", "-c", "mount -t tmpfs none /etc && exec \"$@\"", "sh"]);
        serve.args([env!("CARGO_BIN_EXE_sounder"), "serve", "--user", user, "tcp://127.0.0.1:0"]);
        let done = finish(&mut serve, b"");
        assert_eq!((done.code, done.stderr.lines().next()), (Some(2), Some(reason)));
    }
}

#[test]
fn the_program_calls_no_function_that_reads_or_changes_the_environment_for_all_threads() {
    let Some(mut nm) = installed("nm") else { return };
    let done = finish(nm.args(["--dynamic", "--undefined-only", env!("CARGO_BIN_EXE_sounder")]), b"");
    let symbols: Vec<&str> = done.text().lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(symbols.iter().any(|symbol| symbol.starts_with("epoll_wait")), "{symbols:?}");
    // Other threads must not read the environment meanwhile, and localtime(3) reads it.
    for unsafe_with_threads in ["localtime", "localtime_r", "tzset", "mktime", "setenv", "unsetenv", "putenv"]
    {
        let is_it = |symbol: &&&str| symbol.split('@').next() == Some(unsafe_with_threads);
        assert_eq!(symbols.iter().find(is_it), None);
    }
}
