//! `sounder completions` and `sounder man`: made from the definitions of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Args;
use crate::report::Outcome;

/// Prints what makes a shell complete the command line.
pub(crate) fn completions(shell: Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "sounder", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}

/// Writes a man page for the program and one for each command.
pub(crate) fn pages(folder: &Path) -> Result<Outcome> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("write into {}", folder.display()))?;
    Ok(Outcome::Done)
}
