//! The sandbox of `serve`: what the process may do after it has bound its addresses.
//!
//! [`enter`] locks in the calling thread and the threads that it creates later, so it must run
//! before the first other thread starts. Landlock takes away the access to files, TCP ports and
//! other processes, and a seccomp filter refuses every system call that the server does not need.
//! Neither needs a privilege, and neither can be undone.

mod calls;
mod files;

use std::collections::BTreeSet;
use std::path::PathBuf;

use echosounder_socket::Endpoint;
use echosounder_socket::internal::drop_clock_capability;

use super::socket_paths;
use crate::failure::plain;

/// What the server needs after its start.
#[derive(Debug, Default)]
struct Needs {
    /// The folders of the paths that it removes when it stops.
    folders: BTreeSet<PathBuf>,
    /// Whether it sends to abstract UNIX sockets of other processes, as a server on UNIX datagram
    /// sockets does.
    abstract_peers: bool,
}

/// Restricts this thread, and the threads that it creates later, to what a server on these endpoints
/// needs. `reads_clock` is whether it reads the state of the system clock, as a STAMP reflector does.
/// Returns a sentence about the parts that this kernel or container does not allow, if there
/// are any.
pub(crate) fn enter<'a>(endpoints: impl Iterator<Item = &'a Endpoint>, reads_clock: bool) -> Option<String> {
    // A filter cannot see whether a call that reads the state of the clock also sets it.
    let reads_clock = reads_clock && drop_clock_capability().is_ok();
    // Landlock first: the seccomp filter refuses its calls.
    let landlock = files::restrict(&needs(endpoints));
    let seccomp = calls::restrict(calls::REFUSAL, reads_clock);
    let missing: Vec<String> = [("Landlock", landlock), ("seccomp", seccomp)]
        .into_iter()
        .filter_map(|(part, result)| Some(format!("no {part} ({})", plain(&result.err()?.to_string()))))
        .collect();
    (!missing.is_empty()).then(|| format!("the sandbox is incomplete: {}", missing.join(", ")))
}

fn needs<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Needs {
    let mut needs = Needs::default();
    for endpoint in endpoints {
        needs.abstract_peers |= endpoint.transport().replies_to_paths();
        needs.folders.extend(socket_paths::path(endpoint).map(socket_paths::folder));
    }
    needs
}

#[cfg(test)]
mod tests;
