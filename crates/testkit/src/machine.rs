//! The capabilities of this machine.

use std::env;
use std::net::UdpSocket;
use std::process::Command;

use crate::{finish, skip};

/// Returns a command that runs an installed program, or skips.
pub fn installed(name: &str) -> Option<Command> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    if !found {
        skip(name, "not installed");
    }
    found.then(|| Command::new(name))
}

/// Returns the command, which runs its last arguments as another command, if it can do so on this
/// machine; else skips.
pub fn may_run(command: Command) -> Option<Command> {
    let mut trial = Command::new(command.get_program());
    let tried = finish(trial.args(command.get_args()).arg("true"), b"");
    if tried.code != Some(0) {
        skip(&command.get_program().to_string_lossy(), tried.stderr);
    }
    (tried.code == Some(0)).then_some(command)
}

/// Returns whether the loopback interface has IPv6; if not, skips.
pub fn has_ipv6() -> bool {
    let bound = UdpSocket::bind("[::1]:0");
    if let Err(error) = &bound {
        skip("ipv6", error);
    }
    bound.is_ok()
}
