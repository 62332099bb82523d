//! How things look: pure functions from values to bytes.

pub(crate) mod escape;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod load;
pub(crate) mod ping;
mod prose;
pub(crate) mod style;
pub(crate) mod terminal_text;
pub(crate) mod transcript;
