//! Tests of `sounder` as a process: output, exit statuses, signals, and other programs as peers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod abuse;
mod cli;
mod clock;
mod config;
mod connect;
mod failures;
mod families;
mod folders;
mod hangup;
mod hostile;
mod injected;
mod interop;
mod kernel;
mod load;
mod load_connect;
mod log;
mod output;
mod outside;
mod page;
mod path;
mod ping;
mod privileges;
mod readme;
mod reliability;
mod sandbox;
mod schema;
mod serve;
mod stamp;
mod support;
mod syscalls;
mod talk;
mod terminal;
