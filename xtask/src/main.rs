//! `cargo xtask`: what developers of this repository need and cargo does not do.
//!
//! A kernel without TIPC, VSOCK or SCTP cannot show whether our sockets work there. So a [`guest`] boots one that
//! has them, beside this one and without any privilege, and [`bearer`] boots two that are joined by a wire.
#![forbid(unsafe_code)]

mod args;
mod bearer;
mod guest;
mod init;
mod kernel;
mod packages;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Task};

/// As `env` and `timeout` have it: what was to run the command has failed, and not the command.
const NO_GUEST: u8 = 125;

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Guest(guest) => guest::run(&guest),
        Task::Bearer(bearer) => bearer::run(&bearer),
    };
    result
        .unwrap_or_else(|error| {
            tell(&format!("{error:#}"));
            NO_GUEST
        })
        .into()
}

/// Says something on standard error, which belongs to the command otherwise.
fn tell(what: &str) {
    // If standard error is closed, nobody wants to know.
    let _ = writeln!(io::stderr(), "xtask: {what}");
}
