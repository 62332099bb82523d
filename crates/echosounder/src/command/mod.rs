//! The commands, one module each, and the parts that they share: signals, the console, result files
//! and the server that a command starts for itself.

pub(crate) mod check_config;
mod console;
pub(crate) mod demo;
pub(crate) mod doctor;
mod editor;
mod embedded;
mod line_rate_limit;
pub(crate) mod load;
pub(crate) mod manual;
pub(crate) mod ping;
mod result_file;
mod sandbox;
pub(crate) mod serve;
mod signals;
mod socket_paths;
pub(crate) mod talk;
mod terminal;
mod transcript;
