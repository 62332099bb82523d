//! The Landlock part of the sandbox: landlock(7).

use std::io;
use std::path::Path;

use echosounder_socket::internal::kernel;
use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};

use super::Needs;

/// The version of Landlock that the rules are written for (Linux 6.12). Older kernels enforce the
/// rules that they know.
const VERSION: ABI = ABI::V6;

/// Takes from this thread the access to all files and TCP ports, and to processes outside of the
/// sandbox, except for what the server needs. Open files and bound sockets are not affected.
pub(super) fn restrict(needs: &Needs) -> io::Result<()> {
    let rules = || {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(VERSION))?
            .handle_access(AccessNet::from_all(VERSION))?
            .scope(Scope::Signal)?;
        if !needs.abstract_peers {
            rules = rules.scope(Scope::AbstractUnixSocket)?;
        }
        let mut rules = rules.create()?;
        for folder in needs.folders.iter().filter_map(|folder| open(folder)) {
            rules = rules.add_rule(PathBeneath::new(folder, AccessFs::RemoveFile))?;
        }
        rules.restrict_self()
    };
    // Without Landlock, the rules would have no effect and give no reason.
    kernel::landlock()?;
    match rules().map_err(io::Error::other)?.ruleset {
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        _ => Ok(()),
    }
}

/// Opens a folder. A path in a folder that cannot be opened stays when the server stops.
fn open(folder: &Path) -> Option<PathFd> {
    PathFd::new(folder).ok()
}
