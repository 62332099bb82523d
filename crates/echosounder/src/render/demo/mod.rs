//! The output of `sounder demo`: the echoes of each endpoint.

pub(crate) mod echoes;
pub(crate) mod json;
pub(crate) mod text;
