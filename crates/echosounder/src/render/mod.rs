//! The output of every command: pure functions from values to bytes, by subject (`ping`, `load`)
//! and format (`text`, `json`, `csv`, `hdr`, `html`). `numbers` and `prose` hold what the formats
//! share.

#[cfg(test)]
mod corpus;
pub(crate) mod demo;
pub(crate) mod escape;
pub(crate) mod histogram;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod load;
pub(crate) mod numbers;
pub(crate) mod ping;
pub(crate) mod prose;
pub(crate) mod serve;
pub(crate) mod style;
pub(crate) mod talk;
pub(crate) mod terminal_text;
