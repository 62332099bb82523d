//! Hints below an error: what the user probably meant, and what may help.

pub(crate) mod endpoint;
pub(crate) mod socket;
pub(crate) mod usage;
