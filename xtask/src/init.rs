//! A guest's first process: a script that prepares the guest, runs the job, and reports its exit
//! status in the log.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The script's line in the log when the guest is ready to run the job.
const UP: &str = "guest: up";

/// The text before the job's exit status in the log.
const STATUS: &str = "guest: status ";

/// The command that a guest runs.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) command: &'a [OsString],
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a [(OsString, OsString)],
}

/// The paths of the script's tools and of the guest's devices.
#[derive(Debug)]
pub(crate) struct Paths<'a> {
    pub(crate) busybox: &'a Path,
    pub(crate) modules: &'a Path,
    pub(crate) consoles: [&'static str; 2],
    pub(crate) link: Option<Link<'a>>,
}

/// The guest's end of the Ethernet link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    /// The guest's TIPC node identity.
    pub(crate) node: &'static str,
    pub(crate) device: &'static str,
    /// The program tipc(8).
    pub(crate) tipc: &'a Path,
    /// The folders of its libraries, if this machine lacks them.
    pub(crate) tipc_libraries: &'a OsStr,
}

/// Returns the script.
pub(crate) fn script(job: &Job<'_>, paths: &Paths<'_>) -> Vec<u8> {
    let mut script = b"#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n".to_vec();
    let mut set = |name: &str, value: &OsStr| {
        script.extend(name.as_bytes());
        script.push(b'=');
        quote(value, &mut script);
        script.push(b'\n');
    };
    set("busybox", paths.busybox.as_os_str());
    set("modules", paths.modules.as_os_str());
    set("out", paths.consoles[0].as_ref());
    set("err", paths.consoles[1].as_ref());
    set("link", paths.link.map_or("", |link| link.node).as_ref());
    if let Some(link) = paths.link {
        set("device", link.device.as_ref());
        set("tipc", link.tipc.as_os_str());
        set("libraries", link.tipc_libraries);
    }
    define_job(job, &mut script);
    script.extend(include_bytes!("init.sh"));
    script
}

/// Returns whether the guest became ready to run the job.
pub(crate) fn is_up(log: &str) -> bool {
    log.lines().any(|line| line.trim_end() == UP)
}

/// Returns the job's exit status, if it ended.
pub(crate) fn status(log: &str) -> Option<u8> {
    log.lines().rev().find_map(|line| line.trim_end().strip_prefix(STATUS)?.parse().ok())
}

/// Appends the definition of the shell function `job`.
///
/// env(1) sets the variables, because a shell accepts only some names and gives some of them a
/// meaning of its own. It is this machine's env, since that of busybox prefers its built-in
/// commands to this machine's.
fn define_job(job: &Job<'_>, script: &mut Vec<u8>) {
    script.extend(b"job() {\ncd ");
    quote(job.folder.as_os_str(), script);
    script.extend(b" || exit 125\nexec env -i");
    for (name, value) in job.environment.iter().filter(|(name, _)| is_passed(name)) {
        let mut variable = name.clone();
        variable.push("=");
        variable.push(value);
        script.push(b' ');
        quote(&variable, script);
    }
    script.extend(b" TMPDIR=/run/tmp");
    for word in job.command {
        script.push(b' ');
        quote(word, script);
    }
    script.extend(b"\n}\n");
}

/// Returns whether a variable is passed to the guest. The others name folders that it lacks or
/// cannot write to.
fn is_passed(name: &OsStr) -> bool {
    ["TMPDIR", "XDG_RUNTIME_DIR"].iter().all(|ours| name != *ours)
}

/// Appends a word, quoted so that the shell takes every byte literally.
fn quote(word: &OsStr, script: &mut Vec<u8>) {
    script.push(b'\'');
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => script.extend(br"'\''"),
            _ => script.push(byte),
        }
    }
    script.push(b'\'');
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    use super::*;

    fn quoted(word: &[u8]) -> Vec<u8> {
        let mut script = Vec::new();
        quote(OsStr::from_bytes(word), &mut script);
        script
    }

    #[test]
    fn quotes_are_escaped() {
        assert_eq!(quoted(b"it's"), br"'it'\''s'");
        assert_eq!(quoted(b""), b"''");
    }

    #[test]
    fn shell_takes_every_byte_literally() {
        let every: Vec<u8> = (1..=u8::MAX).chain(*b"\n$x `y` \\ \"z\" ''\n").collect();
        let mut line = b"printf %s ".to_vec();
        line.extend(quoted(&every));
        let shell = Command::new("sh").arg("-c").arg(OsString::from_vec(line)).output().unwrap();
        assert_eq!(shell.stdout, every);
    }

    #[test]
    fn job_gets_the_environment_without_folders() {
        let environment = ["A.B", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name.into(), "a b".into()));
        let command = ["echo".into(), "it's".into()];
        let mut script = Vec::new();
        define_job(
            &Job { command: &command, folder: Path::new("/a b"), environment: &environment },
            &mut script,
        );
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("cd '/a b' ||"), "{script}");
        assert!(script.ends_with("env -i 'A.B=a b' TMPDIR=/run/tmp 'echo' 'it'\\''s'\n}\n"), "{script}");
    }

    #[test]
    fn last_status_counts() {
        assert_eq!(
            status("[0.1] hello\r\nguest: up\r\nguest: status 77\r\n[5.8] reboot: Power down\r\n"),
            Some(77)
        );
        assert_eq!(status("guest: status 1\nguest: status 0\n"), Some(0));
        assert_eq!(status("guest: up\nguest: status 256\nguest: stat"), None);
    }

    #[test]
    fn guest_is_up_after_its_line_in_the_log() {
        assert!(is_up("panic\r\nguest: up\r\n"));
        assert!(!is_up("guest: upside down\n"));
    }
}
