//! Where and how a command prints: the options that every command shares, and the files of results.
//!
//! A leaf: the argument parser, the commands and the renderers all use these types.

use std::env;
use std::path::PathBuf;

use clap::ValueEnum;

/// The output options of every command.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Print one JSON object per line instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Even if the output is a pipe or a file
    Always,
    /// Not even on a terminal
    Never,
}

impl Color {
    /// Returns whether to use colours on this kind of output. An empty NO_COLOR does not count
    /// (no-color.org).
    pub(crate) fn applies(self, is_terminal: bool) -> bool {
        let is_allowed = || env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        match self {
            Self::Auto => is_terminal && understands_escapes() && is_allowed(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Returns whether the terminal understands escape sequences.
pub(crate) fn understands_escapes() -> bool {
    env::var_os("TERM").is_some_and(|terminal| terminal != "dumb" && !terminal.is_empty())
}

/// The destination of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputFile {
    /// Standard output, in JSON.
    Stdout,
    /// A file, in the format that its extension names.
    Path(PathBuf, ResultFormat),
}

/// The format of a result file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResultFormat {
    Json,
    Csv,
    Hdr,
    Html,
}

/// The events that a server prints to standard output. Each level includes the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transcript {
    Off,
    Peers,
    Messages,
}

/// The minimum of `--transcript-max` in bytes, so that the last line fits.
pub(crate) const TRANSCRIPT_BYTES_MIN: u64 = 1024;
