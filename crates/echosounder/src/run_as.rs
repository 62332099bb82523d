//! The user that `serve --user` runs as after binding.

use std::ffi::CString;
use std::io;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, User};

use crate::failure::{UsageError, UserError};

/// A user with the groups that the user database lists.
#[derive(Clone, Debug)]
pub(crate) struct RunAs {
    /// As given on the command line.
    name: String,
    uid: Uid,
    gid: Gid,
    /// The name in the user database; `None` if the database lacks the number.
    account: Option<CString>,
}

impl RunAs {
    /// Finds a user by name or by number. A number that the user database lacks is also that of the
    /// group. A system without a database, such as a small container, has no names.
    pub(crate) fn find(text: &str) -> anyhow::Result<Self> {
        let has_sign = text.starts_with('+');
        // The number -1 is no user: it tells setresuid(2) to change nothing.
        let number = text.parse().ok().filter(|&number| number != u32::MAX && !has_sign);
        let by_number =
            || number.and_then(|number| if_found(User::from_uid(Uid::from_raw(number))).transpose());
        let name = text.to_owned();
        let found = if_found(User::from_name(text)).transpose().or_else(by_number).transpose();
        match (found.map_err(|errno| UserError::new(text, "find", errno.into()))?, number) {
            (Some(User { name: account, uid, gid, .. }), _) => {
                // A name from the database contains no NUL.
                Ok(Self { name, uid, gid, account: CString::new(account).ok() })
            }
            (None, Some(number)) => {
                Ok(Self { name, uid: Uid::from_raw(number), gid: Gid::from_raw(number), account: None })
            }
            (None, None) => Err(UsageError(format!("no user is named {text:?}")).into()),
        }
    }

    /// Returns the user's id.
    pub(crate) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Gives the process the ids and groups of the user for good. Call it while the process has one
    /// thread.
    ///
    /// A process that runs as the user already, and cannot change its groups, keeps them.
    pub(crate) fn become_user(&self) -> Result<(), UserError> {
        let failed = |operation| move |errno: nix::Error| UserError::new(&self.name, operation, errno.into());
        let ids = (unistd::getresuid(), unistd::getresgid());
        if let (Ok(users), Ok(groups)) = ids
            && !self.uid.is_root()
            && [users.real, users.effective, users.saved] == [self.uid; 3]
            && [groups.real, groups.effective, groups.saved] == [self.gid; 3]
        {
            return Ok(());
        }
        match &self.account {
            Some(account) => unistd::initgroups(account, self.gid).map_err(failed("initgroups"))?,
            None => unistd::setgroups(&[]).map_err(failed("setgroups"))?,
        }
        unistd::setresgid(self.gid, self.gid, self.gid).map_err(failed("setresgid"))?;
        unistd::setresuid(self.uid, self.uid, self.uid).map_err(failed("setresuid"))?;
        if !self.uid.is_root() && unistd::seteuid(Uid::from_raw(0)).is_ok() {
            let cause = io::Error::other("the process can become root again");
            return Err(UserError::new(&self.name, "setresuid", cause));
        }
        Ok(())
    }

    /// Returns the user as given on the command line.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// Returns `None` for the errors by which getpwnam(3) says that a user was not found. ENOENT is that
/// of a missing /etc/passwd.
fn if_found(found: nix::Result<Option<User>>) -> nix::Result<Option<User>> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        found => found,
    }
}
