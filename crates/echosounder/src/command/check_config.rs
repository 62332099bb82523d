//! `sounder config --check`: checks configuration files without serving.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use clap::CommandFactory;
use serde::Serialize;

use crate::args::{Args, Command};
use crate::command::console::stdout;
use crate::command_line::{self, Rejection};
use crate::config;
use crate::config_file;
use crate::failure::{self, Outcome};
use crate::output::Output;
use crate::render::escape::Harmless;
use crate::render::json::{self, EventTime};

/// The result of a check.
#[derive(Debug, Serialize)]
struct Checked<'a> {
    event: &'static str,
    file: &'a str,
    errors: usize,
}

/// Checks files and prints what is wrong in them.
pub(crate) fn run(files: &[PathBuf], output: Output) -> Result<Outcome> {
    let mut program = Args::command();
    program.build();
    let mut out = stdout();
    let mut outcome = Outcome::Done;
    for file in files {
        let errors = errors(&program, file);
        errors.iter().for_each(|error| failure::report(error, output));
        let (file, errors) = (&*config_file::name(file), errors.len());
        if output.json {
            json::event(&mut out, &EventTime::now(), &Checked { event: "config", file, errors })?;
        } else if errors == 0 {
            writeln!(out, "{}: ok", Harmless(file))?;
        }
        if errors != 0 {
            outcome = Outcome::Failed;
        }
    }
    out.flush()?;
    Ok(outcome)
}

/// Returns what is wrong in a file: all of its syntax, keys and values, or the first contradiction.
fn errors(program: &clap::Command, file: &Path) -> Vec<Error> {
    let mut option = OsString::from("--config=");
    option.push(file);
    let line = match command_line::parse(program, &["sounder".into(), "serve".into(), option]) {
        Ok(line) => line,
        Err(Rejection::Typed(error)) => return vec![error.into()],
        Err(Rejection::File(errors)) => return errors.into_iter().map(Error::from).collect(),
    };
    let Command::Serve(args) = line.args.command else { return Vec::new() };
    match (config::serve(args), line.options) {
        (Ok(_), _) => Vec::new(),
        (Err(error), Some(options)) => vec![options.located(error)],
        (Err(error), None) => vec![error],
    }
}
