//! `sounder`: timestamped echo server, client, latency prober and load generator for every socket
//! family on Linux.
//!
//! The [`command_line`] is parsed into [`args`], which become the work of a command in [`config`]; a
//! module of [`command`] does that work, and [`render`] writes the results. No other crate of the
//! project prints.
#![forbid(unsafe_code)]

mod args;
mod choices;
mod command;
mod command_line;
mod config;
mod config_file;
mod failure;
mod hints;
mod line_sink;
mod output;
mod render;
mod request_sizes;
mod run_as;
mod stamp_key;
mod stderr;
mod support;
mod target;
mod value_parsers;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ColorChoice, CommandFactory, ValueEnum};

use crate::args::{Args, Command};
use crate::command_line::{CommandLine, Rejection};
use crate::failure::Outcome;
use crate::output::Color;

fn main() -> ExitCode {
    let (code, as_json) = run_program();
    failure::report_losses(&stderr::finish(), as_json);
    code
}

/// Returns the exit status, and whether errors are printed as JSON.
fn run_program() -> (ExitCode, bool) {
    // Before the first thread, which inherits it. If this fails, a file over the size limit ends
    // the program by SIGXFSZ.
    let _ = echosounder_socket::internal::ignore_file_size_signal();
    let color = color_of_usage();
    let mut program = Args::command();
    program.build();
    let typed: Vec<OsString> = env::args_os().collect();
    let line = match command_line::parse(&program.clone().color(choice(color)), &typed) {
        Ok(line) => line,
        Err(Rejection::Typed(error)) => {
            return (failure::report_usage(error, color, &program), failure::is_json_typed());
        }
        Err(Rejection::File(errors)) => {
            return (failure::report_file(errors, color), failure::is_json_typed());
        }
    };
    let log = line.log();
    let code = match run_command(line) {
        Ok(outcome) => outcome.into(),
        Err(error) => failure::report_and_exit_code(&error, log),
    };
    (code, log.json)
}

fn run_command(line: CommandLine) -> Result<Outcome> {
    let log = line.log();
    let CommandLine { args, options } = line;
    let output = args.output;
    match args.command {
        Command::Serve(args) => {
            let located = |error| match options {
                Some(options) => options.located(error),
                None => error,
            };
            command::serve::run(config::serve(args).map_err(located)?, output, log)
        }
        Command::Talk(args) => command::talk::run(config::talk(args, output.color)?, output),
        Command::Ping(args) => command::ping::run(config::ping(args)?, output),
        Command::Load(args) => command::load::run(config::load(args)?, output),
        Command::Demo => command::demo::run(output),
        Command::Doctor => command::doctor::run(output),
        Command::Config { check } => command::check_config::run(&check, output),
        Command::Completions { shell } => command::manual::completions(shell),
        Command::Man { folder } => command::manual::write_pages(&folder),
    }
}

/// Returns the value of `--color` for help texts and usage errors, which come before the arguments
/// are parsed.
fn color_of_usage() -> Color {
    let typed: Vec<String> = env::args_os().filter_map(|typed| typed.into_string().ok()).collect();
    let value = |pair: &[String]| match pair[0].strip_prefix("--color") {
        Some("") => pair.get(1).cloned(),
        Some(value) => value.strip_prefix('=').map(str::to_owned),
        None => None,
    };
    let value = (0..typed.len()).find_map(|place| value(&typed[place..]));
    value.and_then(|value| Color::from_str(&value, false).ok()).unwrap_or(Color::Auto)
}

fn choice(color: Color) -> ColorChoice {
    match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
}
