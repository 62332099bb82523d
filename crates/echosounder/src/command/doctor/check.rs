//! The result of one test of the doctor.

use std::io;

use serde::Serialize;

use crate::failure::plain;

/// The result of a test.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    event: &'static str,
    group: &'static str,
    pub(super) check: String,
    /// The use of a feature, or the kernel's name of a socket type.
    pub(super) about: String,
    pub(super) status: Status,
    /// The cause of a failure, or a detail of a success.
    pub(super) reason: Option<String>,
    /// The setting, permission or kernel that enables it.
    pub(super) remedy: Option<String>,
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Works,
    /// The kernel lacks it.
    Absent,
    /// This process lacks the permission.
    NotPermitted,
    /// It exists and does not work.
    Fails,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Absent => "absent",
            Self::NotPermitted => "not permitted",
            Self::Fails => "fails",
        }
    }

    fn of(error: &io::Error, absent: bool) -> Self {
        match error.kind() {
            _ if absent => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            _ => Self::Fails,
        }
    }
}

/// Returns the result of a test. The remedy counts only if the test failed.
pub(super) fn check(
    group: &'static str,
    name: &str,
    about: &str,
    result: io::Result<Option<String>>,
    absent: bool,
    remedy: Option<&str>,
) -> Check {
    let (status, reason) = match &result {
        Ok(detail) => (Status::Works, detail.clone()),
        Err(error) => (Status::of(error, absent), Some(plain(&error.to_string()))),
    };
    let remedy = remedy.filter(|remedy| result.is_err() && !remedy.is_empty()).map(str::to_owned);
    Check { event: "check", group, check: name.to_owned(), about: about.to_owned(), status, reason, remedy }
}
