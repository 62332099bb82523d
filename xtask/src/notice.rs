//! Messages to the developer.

use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line on standard error, which a guest's command uses, too.
pub(crate) fn notice(text: impl Display) {
    // If standard error is closed, there is nobody to inform.
    let _ = writeln!(io::stderr(), "xtask: {text}");
}
