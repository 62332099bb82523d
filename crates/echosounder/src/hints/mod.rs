//! Hints that are printed below an error: the correction of an argument, or the setting of this
//! machine that may help.

pub(crate) mod endpoint;
pub(crate) mod socket;
pub(crate) mod usage;
