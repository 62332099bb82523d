//! The output of `sounder ping`, one module per format. Each function turns a value into bytes and
//! reads neither the clock nor the terminal.

pub(crate) mod csv;
pub(crate) mod hdr;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod path_mtu;
pub(crate) mod target;
pub(crate) mod text;
