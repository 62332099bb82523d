//! Networks that a test makes itself.

use std::process::Command;

use crate::{installed, may_run};

/// Returns a command that runs its arguments in network and mount namespaces of its own, after the
/// lines of a shell script; skips if this user may not create them, or without ip(8).
///
/// The script runs as root of these namespaces. The loopback interface is up, and `/run` is empty, so
/// that `ip netns add` makes further namespaces. All of them end with the command.
///
/// ```
/// use echosounder_testkit::{finish, net_lab};
///
/// if let Some(mut command) = net_lab("ip link add left mtu 1300 type veth peer name right") {
///     let done = finish(command.args(["ip", "link", "show", "left"]), b"");
///     assert!(done.text().contains("mtu 1300"));
/// }
/// ```
pub fn net_lab(script: &str) -> Option<Command> {
    installed("ip")?;
    let mut unshare = installed("unshare")?;
    let script = format!("set -e; mount -t tmpfs none /run; ip link set lo up\n{script}\nexec \"$@\"");
    unshare.args(["--map-root-user", "--net", "--mount", "sh", "-c", &script, "sh"]);
    may_run(unshare)
}
