//! A guest's first process: a script that prepares the guest, runs the job, and tells how it ended.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::packages::Tipc;

/// What the script says in the log when the guest is ready to run the job.
const UP: &str = "guest: up";

/// What stands before the job's exit status in the log.
const STATUS: &str = "guest: status ";

/// What runs in a guest.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) command: &'a [OsString],
    pub(crate) folder: &'a Path,
    pub(crate) environment: &'a [(OsString, OsString)],
}

/// Where the script finds its tools and the guest's devices.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) busybox: &'a Path,
    pub(crate) modules: &'a Path,
    pub(crate) consoles: [&'static str; 2],
    pub(crate) link: Option<Link<'a>>,
}

/// The guest's end of the Ethernet link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link<'a> {
    /// Who the guest is: its TIPC node identity.
    pub(crate) node: &'static str,
    pub(crate) device: &'static str,
    pub(crate) tipc: &'a Tipc,
}

/// Writes the script.
pub(crate) fn script(job: &Job<'_>, place: &Place<'_>) -> Vec<u8> {
    let mut script = b"#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n".to_vec();
    let mut set = |name: &str, value: &OsStr| {
        script.extend(name.as_bytes());
        script.push(b'=');
        quote(value, &mut script);
        script.push(b'\n');
    };
    set("busybox", place.busybox.as_os_str());
    set("modules", place.modules.as_os_str());
    set("out", place.consoles[0].as_ref());
    set("err", place.consoles[1].as_ref());
    set("link", place.link.map_or("", |link| link.node).as_ref());
    if let Some(link) = place.link {
        set("device", link.device.as_ref());
        set("tipc", link.tipc.program.as_os_str());
        set("libraries", &link.tipc.libraries);
    }
    define(job, &mut script);
    script.extend(include_bytes!("init.sh"));
    script
}

/// Whether the guest was ready to run the job.
pub(crate) fn is_up(log: &str) -> bool {
    log.lines().any(|line| line.trim_end() == UP)
}

/// The job's exit status, if it ended.
pub(crate) fn status(log: &str) -> Option<u8> {
    log.lines().rev().find_map(|line| line.trim_end().strip_prefix(STATUS)?.parse().ok())
}

/// Defines the function `job`.
///
/// env(1) sets the variables, because a shell takes only some names and gives some of them a meaning of its own. It is not
/// busybox's, which would run its own commands before this machine's.
fn define(job: &Job<'_>, script: &mut Vec<u8>) {
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

/// Whether a variable means the same in the guest: these name folders that it does not have or cannot write.
fn is_passed(name: &OsStr) -> bool {
    ["TMPDIR", "XDG_RUNTIME_DIR"].iter().all(|ours| name != *ours)
}

/// Appends a word that the shell takes as it is, whatever is in it.
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
    fn a_quote_ends_the_quotes_and_comes_back() {
        assert_eq!(quoted(b"it's"), br"'it'\''s'");
        assert_eq!(quoted(b""), b"''");
    }

    #[test]
    fn the_shell_returns_every_byte_as_it_was() {
        let every: Vec<u8> = (1..=u8::MAX).chain(*b"\n$x `y` \\ \"z\" ''\n").collect();
        let mut line = b"printf %s ".to_vec();
        line.extend(quoted(&every));
        let shell = Command::new("sh").arg("-c").arg(OsString::from_vec(line)).output().unwrap();
        assert_eq!(shell.stdout, every);
    }

    #[test]
    fn the_job_has_its_environment_but_not_our_folders() {
        let environment = ["A.B", "TMPDIR", "XDG_RUNTIME_DIR"].map(|name| (name.into(), "a b".into()));
        let command = ["echo".into(), "it's".into()];
        let mut script = Vec::new();
        define(&Job { command: &command, folder: Path::new("/a b"), environment: &environment }, &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("cd '/a b' ||"), "{script}");
        assert!(script.ends_with("env -i 'A.B=a b' TMPDIR=/run/tmp 'echo' 'it'\\''s'\n}\n"), "{script}");
    }

    #[test]
    fn the_status_is_the_last_one_told() {
        assert_eq!(
            status("[0.1] hello\r\nguest: up\r\nguest: status 77\r\n[5.8] reboot: Power down\r\n"),
            Some(77)
        );
        assert_eq!(status("guest: status 1\nguest: status 0\n"), Some(0));
        assert_eq!(status("guest: up\nguest: status 256\nguest: stat"), None);
    }

    #[test]
    fn a_guest_is_up_when_it_says_so() {
        assert!(is_up("panic\r\nguest: up\r\n"));
        assert!(!is_up("guest: upside down\n"));
    }
}
