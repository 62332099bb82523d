//! `sounder`: a timestamped echo on every kind of socket, and the client to talk to it.
//!
//! What is typed ([`args`]) is turned into what it means ([`config`]) before anything is done; a
//! [`command`] does it. This crate is the only one that prints.
#![forbid(unsafe_code)]

mod args;
mod choices;
mod command;
mod config;
mod failure;
mod hints;
mod output;
mod render;
mod stderr;
mod support;
mod value_parsers;

use std::env;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches, ValueEnum};

use crate::args::{Args, Color, Command};

fn main() -> ExitCode {
    // For every command, and before the first thread. Without it a file that grows too large ends the program, no worse.
    let _ = echosounder_socket::ignore_file_size_signal();
    let color = typed_color();
    let args = parse(color).unwrap_or_else(|error| failure::usage(error, color));
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
    let code = match result {
        Ok(outcome) => outcome.into(),
        Err(error) => failure::failure(&error, args.output),
    };
    stderr::finish();
    code
}

/// The colours that are wanted for help and errors about arguments, before these are understood.
fn typed_color() -> Color {
    let typed: Vec<String> = env::args_os().filter_map(|typed| typed.into_string().ok()).collect();
    let value = |pair: &[String]| match pair[0].strip_prefix("--color") {
        Some("") => pair.get(1).cloned(),
        Some(value) => value.strip_prefix('=').map(str::to_owned),
        None => None,
    };
    let value = (0..typed.len()).find_map(|place| value(&typed[place..]));
    value.and_then(|value| Color::from_str(&value, false).ok()).unwrap_or(Color::Auto)
}

fn parse(color: Color) -> Result<Args, clap::Error> {
    let color = match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    let matches = Args::command().color(color).try_get_matches()?;
    match hints::usage::split_endpoint(&matches) {
        Some(error) => Err(error),
        None => Args::from_arg_matches(&matches),
    }
}
