//! How things look: pure functions from values to bytes.

pub(crate) mod escape;
pub(crate) mod json;
pub(crate) mod load;
pub(crate) mod page;
pub(crate) mod ping;
pub(crate) mod style;
pub(crate) mod terminal_text;
pub(crate) mod transcript;
mod words;
