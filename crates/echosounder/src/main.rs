//! `sounder`: a timestamped echo on every kind of socket, and the client to talk to it.
//!
//! What is typed ([`args`]) is turned into what it means ([`config`]) before anything is done; a
//! [`command`] does it. This crate is the only one that prints.
#![forbid(unsafe_code)]

mod args;
mod command;
mod config;
mod hints;
mod probe;
mod render;
mod report;
mod units;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = parse().unwrap_or_else(|error| report::usage(error));
    let result = match args.command {
        Command::Serve(serve) => {
            config::serve(serve).and_then(|config| command::serve::run(config, args.output))
        }
        Command::Talk(talk) => {
            config::talk(talk, args.output.color).and_then(|config| command::talk::run(config, args.output))
        }
        Command::Ping(ping) => config::ping(ping).and_then(|config| command::ping::run(config, args.output)),
        Command::Load(load) => config::load(load).and_then(|config| command::load::run(config, args.output)),
        Command::Demo => command::demo::run(args.output),
        Command::Doctor => command::doctor::run(args.output),
        Command::Completions { shell } => command::manual::completions(shell),
        Command::Man { folder } => command::manual::pages(&folder),
    };
    match result {
        Ok(outcome) => outcome.into(),
        Err(error) => report::failure(&error, args.output),
    }
}

fn parse() -> Result<Args, clap::Error> {
    let matches = Args::command().try_get_matches()?;
    match hints::split_endpoint(&matches) {
        Some(error) => Err(error),
        None => Args::from_arg_matches(&matches),
    }
}
