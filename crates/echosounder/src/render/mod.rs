//! How things look: pure functions from values to bytes.

pub(crate) mod escape;
pub(crate) mod json;
pub(crate) mod load;
#[cfg_attr(not(test), expect(dead_code, reason = "the command that writes it is still to come"))]
pub(crate) mod page;
pub(crate) mod transcript;
