//! `sounder completions` and `sounder man`: shell completion scripts and man pages, generated from
//! the command line's definition.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Arg, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;
use crate::command::console::stdout;
use crate::failure::Outcome;

/// Prints the completion script of a shell.
pub(crate) fn completions(shell: Shell) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "sounder", &mut script);
    let mut out = stdout();
    out.write_all(&script).and_then(|()| out.flush())?;
    Ok(Outcome::Done)
}

/// Writes the man pages of the program and of each command to a folder.
pub(crate) fn write_pages(folder: &Path) -> Result<Outcome> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut program = Args::command().disable_help_subcommand(true);
    program.build();
    let commands: Vec<&clap::Command> = program.get_subcommands().collect();
    let names: Vec<&str> = std::iter::once("sounder")
        .chain(commands.iter().filter_map(|command| command.get_display_name()))
        .collect();
    for command in std::iter::once(&program).chain(commands) {
        let name = command.get_display_name().unwrap_or("sounder");
        let file = folder.join(format!("{name}.1"));
        page(name, command, &names)
            .and_then(|page| fs::write(&file, page))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(Outcome::Done)
}

/// A heading and its body, in roff.
type Section = (String, String);

/// Returns the man page of a command. `names` are the names of all pages.
fn page(name: &str, command: &clap::Command, names: &[&str]) -> io::Result<Vec<u8>> {
    let version = concat!("echosounder ", env!("CARGO_PKG_VERSION"));
    let generated = Man::new(command.clone()).source(version).manual("Echosounder Manual");
    let mut page = Vec::new();
    generated.render_title(&mut page)?;
    generated.render_name_section(&mut page)?;
    writeln!(page, ".SH SYNOPSIS\n{}", synopsis(command))?;
    generated.render_description_section(&mut page)?;
    generated.render_options_section(&mut page)?;
    if command.has_subcommands() {
        generated.render_subcommands_section(&mut page)?;
    }
    let help = command.get_after_long_help().or_else(|| command.get_after_help());
    let mut own = sections(&help.map(ToString::to_string).unwrap_or_default());
    let (signals, files) = (signals(name), files(name));
    own.extend([
        ("SIGNALS".to_owned(), list(&signals)),
        ("ENVIRONMENT".to_owned(), list(&environment(name))),
    ]);
    own.push(("FILES".to_owned(), list(&files)));
    let others: Vec<String> = names
        .iter()
        .filter(|other| **other != name)
        .map(|other| format!("\\fB{}\\fR(1)", escaped(other)))
        .collect();
    own.push(("SEE ALSO".to_owned(), others.join(",\n")));
    // The order of man-pages(7).
    let last = ["EXIT STATUS", "SIGNALS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"];
    own.sort_by_key(|(heading, _)| last.iter().position(|last| last == heading).map_or(0, |place| place + 1));
    for (heading, body) in own.iter().filter(|(_, body)| !body.is_empty()) {
        writeln!(page, ".SH \"{heading}\"\n{}", body.trim_end())?;
    }
    Ok(page)
}

/// Returns the synopsis: every option and argument with the name of its value.
fn synopsis(command: &clap::Command) -> String {
    let name = command.get_bin_name().unwrap_or("sounder");
    let mut line = format!("\\fB{}\\fR", escaped(name));
    let value = |arg: &Arg| {
        let names: Vec<String> =
            arg.get_value_names().unwrap_or_default().iter().map(|name| escaped(name)).collect();
        names.join(" ")
    };
    let options = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    for option in options {
        let (short, long) = (option.get_short(), option.get_long());
        let flag = match (short, long) {
            (Some(short), _) => format!("-{short}"),
            (None, long) => format!("--{}", long.unwrap_or_default()),
        };
        // Writing to a string never fails.
        let _ = match option.get_action().takes_values() {
            true => write!(line, "\n[\\fB{}\\fR\\ \\fI{}\\fR]", escaped(&flag), value(option)),
            false => write!(line, "\n[\\fB{}\\fR]", escaped(&flag)),
        };
    }
    for arg in command.get_positionals() {
        let many = if arg.get_num_args().is_some_and(|range| 1 < range.max_values()) { "\\ ..." } else { "" };
        let (before, after) = if arg.is_required_set() { ("", "") } else { ("[", "]") };
        let _ = write!(line, "\n{before}\\fI{}\\fR{after}{many}", value(arg));
    }
    if command.has_subcommands() {
        line += "\n\\fICOMMAND\\fR";
    }
    line
}

/// Returns the sections of a help text. A line that ends in a colon is a heading, with an indented
/// table below. A paragraph without a heading belongs to the section before it.
fn sections(help: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for paragraph in help.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let (first, rest) = paragraph.split_once('\n').unwrap_or((paragraph, ""));
        match first.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            Some(heading) => {
                sections.push((heading.to_uppercase(), format!(".nf\n{}\n.fi\n", escaped(rest))));
            }
            None => {
                let text = format!(".PP\n{}\n", escaped(paragraph));
                match sections.last_mut() {
                    Some((_, body)) => body.push_str(&text),
                    None => sections.push(("NOTES".to_owned(), text)),
                }
            }
        }
    }
    sections
}

/// Returns a list of terms and their descriptions, in roff.
fn list(terms: &[(&str, &str)]) -> String {
    terms.iter().map(|(term, text)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(text))).collect()
}

fn signals(name: &str) -> Vec<(&'static str, &'static str)> {
    let end = "SIGINT, SIGTERM, SIGHUP, SIGUSR2, SIGALRM";
    match name {
        "sounder-serve" => vec![
            (
                end,
                "Stop accepting connections, send pending replies, remove socket paths, print statistics and \
                 exit. A second signal ends the program at once.",
            ),
            ("SIGUSR1, SIGQUIT", "Print statistics and continue."),
        ],
        "sounder-ping" => vec![
            (
                end,
                "Print the summary, write the output files and exit. A second signal ends the program at once.",
            ),
            ("SIGUSR1, SIGQUIT", "Print the summary so far, write it to the output files and continue."),
        ],
        "sounder-load" => vec![(
            end,
            "Stop sending, print the result, write the output files and exit. A second signal ends the program at once.",
        )],
        "sounder-talk" => vec![(
            end,
            "End the session and exit. A second signal restores the terminal and ends the program at once.",
        )],
        "sounder-demo" => {
            vec![(end, "Remove socket paths and exit. A second signal ends the program at once.")]
        }
        _ => Vec::new(),
    }
}

fn environment(name: &str) -> Vec<(&'static str, &'static str)> {
    let mut variables = vec![
        ("NO_COLOR", "If this is not empty, do not use colours, except with --color always."),
        ("TERM", "If this is unset or dumb, do not use colours, except with --color always."),
    ];
    if matches!(name, "sounder-serve" | "sounder-ping") {
        variables.push(("TZ", "Time zone of timestamps such as ctime and of reports."));
    }
    if name == "sounder-talk" {
        variables
            .push(("XDG_STATE_HOME", "Folder for the history of typed lines, by default ~/.local/state."));
    }
    if matches!(name, "sounder-demo" | "sounder-ping") {
        variables.push((
            "XDG_RUNTIME_DIR, TMPDIR",
            "Folders for the UNIX sockets of the server that this command starts. The first usable one \
             counts; without any, the server has no UNIX socket paths.",
        ));
    }
    variables
}

fn files(name: &str) -> Vec<(&'static str, &'static str)> {
    match name {
        "sounder-talk" => vec![
            (
                "~/.local/state/echosounder/talk_history",
                "History of the typed lines, readable only by the user.",
            ),
            ("/etc/services", "Port numbers of service names."),
        ],
        "sounder-ping" | "sounder-load" => vec![
            (
                ".sounder-*.tmp",
                "Temporary file in the folder of an output file. It is renamed to the output file when it is \
                 complete, and can be removed after a crash.",
            ),
            ("/etc/services", "Port numbers of service names."),
        ],
        "sounder-serve" | "sounder-config" => vec![
            ("FILE", "Configuration in TOML, without a default place. docs/configuration.md explains it."),
            ("/etc/services", "Port numbers of service names."),
        ],
        _ => Vec::new(),
    }
}

/// Returns a text in which roff recognises no requests: groff_man_style(7) lists the escapes.
fn escaped(text: &str) -> String {
    let mut roff = String::new();
    for (number, line) in text.lines().enumerate() {
        roff.push_str(if number == 0 { "" } else { "\n" });
        roff.push_str(if line.starts_with(['.', '\'']) { "\\&" } else { "" });
        for c in line.chars() {
            match c {
                '\\' => roff.push_str("\\e"),
                '-' => roff.push_str("\\-"),
                '\'' => roff.push_str("\\(aq"),
                '`' => roff.push_str("\\(ga"),
                '^' => roff.push_str("\\(ha"),
                '~' => roff.push_str("\\(ti"),
                c => roff.push(c),
            }
        }
    }
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_text_splits_into_sections_with_tables() {
        let help = "Endpoints:\n  tcp://HOST   it's TCP\n\n.A note.\n\nExit status:\n  0  Success.";
        assert_eq!(
            sections(help),
            [
                (
                    "ENDPOINTS".to_owned(),
                    ".nf\n  tcp://HOST   it\\(aqs TCP\n.fi\n.PP\n\\&.A note.\n".to_owned()
                ),
                ("EXIT STATUS".to_owned(), ".nf\n  0  Success.\n.fi\n".to_owned()),
            ]
        );
    }

    #[test]
    fn synopsis_contains_value_names() {
        let mut program = Args::command();
        program.build();
        let serve = program.find_subcommand("serve").unwrap();
        let line = synopsis(serve);
        assert!(line.starts_with("\\fBsounder serve\\fR\n"), "{line}");
        for part in ["[\\fB\\-\\-stamp\\fR\\ \\fISTAMP\\fR]", "[\\fB\\-4\\fR]", "[\\fIENDPOINT\\fR]\\ ..."] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("until"), "{line}");
    }
}
