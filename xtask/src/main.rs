//! `cargo xtask`: tasks for developers of this repository that cargo does not do.
//!
//! A kernel without TIPC, VSOCK or SCTP cannot show whether the socket crate supports them.
//! [`guest`] boots one that has them, without any privilege, and [`bearer`] boots two that are
//! joined by an Ethernet link. [`faults`] attacks servers in network namespaces. [`picture`] draws
//! the README's pictures.
#![forbid(unsafe_code)]

mod args;
mod bearer;
mod boot;
mod command;
mod faults;
mod guest;
mod init;
mod machine;
mod notice;
mod packages;
mod picture;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Task};
use crate::notice::notice;

/// The exit status if this program failed and not the command that it was to run, as with env(1)
/// and timeout(1).
const NOT_RUN: u8 = 125;

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Guest(guest) => guest::run(&guest),
        Task::Bearer(bearer) => bearer::run(&bearer),
        Task::Faults(faults) => faults::run(&faults),
        Task::SwapReturnAddress(peer) => faults::swap(&peer.folder, peer.rounds).map(|()| 0),
        Task::Picture(picture) => picture::run(&picture),
    };
    result
        .unwrap_or_else(|error| {
            notice(format!("{error:#}"));
            NOT_RUN
        })
        .into()
}
