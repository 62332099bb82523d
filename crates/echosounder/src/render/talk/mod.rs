//! The output of `sounder talk`.

pub(crate) mod json;
