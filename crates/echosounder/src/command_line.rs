//! The command line: the typed arguments, and before them the options of the file that `--config`
//! names.

use std::ffi::OsString;

use clap::{ArgMatches, FromArgMatches};

use crate::args::{Args, Command};
use crate::config_file::{self, Options};
use crate::failure::FileError;
use crate::hints;
use crate::output::Output;

/// The arguments of the program.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) args: Args,
    /// The options that came from a file.
    pub(crate) options: Option<Options>,
}

impl CommandLine {
    /// Returns how to print to standard error, whose format `serve` has an option for.
    pub(crate) fn log(&self) -> Output {
        let output = self.args.output;
        match &self.args.command {
            Command::Serve(serve) => Output { json: serve.log_format.unwrap_or(output.json), ..output },
            _ => output,
        }
    }
}

/// Why a command line is rejected.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// The typed arguments are wrong, or ask for help.
    Typed(clap::Error),
    /// The file cannot be read or is wrong.
    File(Vec<FileError>),
}

/// Parses a command line. The first argument is the name of the program. `program` is built.
pub(crate) fn parse(program: &clap::Command, typed: &[OsString]) -> Result<CommandLine, Rejection> {
    let (args, matches) = parse_words(program, typed).map_err(Rejection::Typed)?;
    let Command::Serve(serve) = &args.command else { return Ok(CommandLine { args, options: None }) };
    let Some(path) = &serve.config else { return Ok(CommandLine { args, options: None }) };
    let mut program = program.clone();
    let (name, matches) = matches.subcommand().expect("the arguments name a command");
    let command = program.find_subcommand_mut(name).expect("the program has the command");
    let text = config_file::read(path).map_err(|error| Rejection::File(vec![error]))?;
    let options = Options::parse(&text, &config_file::name(path), command).map_err(Rejection::File)?;
    // No option before the name of the command takes another word as its value that is this name:
    // the values of --color are others.
    let place = typed.iter().skip(1).position(|word| word == name).map_or(typed.len(), |place| place + 2);
    let (before, after) = typed.split_at(place);
    let words = [before, &options.arguments(matches), after].concat();
    match parse_words(&program, &words) {
        Ok((args, _)) => Ok(CommandLine { args, options: Some(options) }),
        Err(error) => Err(Rejection::File(vec![options.contradiction(&error)])),
    }
}

/// Parses words without a file.
fn parse_words(program: &clap::Command, words: &[OsString]) -> Result<(Args, ArgMatches), clap::Error> {
    let matches = program.clone().try_get_matches_from(words)?;
    match hints::usage::split_endpoint(&matches) {
        Some(error) => Err(error),
        None => Ok((Args::from_arg_matches(&matches)?, matches)),
    }
}
