//! Configuration files: TOML tables whose keys are the names of a command's options.
//!
//! An entry becomes an argument, which stands before the typed ones. So the values, defaults and
//! conflicts of a file are those of the command line, and there is one definition of each option.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::FileError;

/// The maximum size of a file in bytes, so that a wrong file is not read to its end.
const BYTES_MAX: u64 = 1 << 20;

/// The tables of a file: the commands that read one.
const TABLES: [&str; 1] = ["serve"];

/// The maximum number of errors that are reported of a file.
const ERRORS_MAX: usize = 100;

/// The longest word in bytes that is compared with the keys.
const WORD_MAX: usize = 64;

/// The key of a command's endpoints.
const ENDPOINTS: &str = "endpoints";

/// The options of a table in a file.
#[derive(Debug)]
pub(crate) struct Options {
    /// The name of the file, as typed.
    file: String,
    /// In the order of the file.
    entries: Vec<Entry>,
}

/// A key with its value, or with one value of its array.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// The id of the argument.
    id: String,
    /// The flag as typed, such as `--stamp` or `-4`; `None` for an endpoint.
    flag: Option<String>,
    /// The argument as typed, such as `--stamp=unix`.
    argument: String,
    /// Whether the argument may be repeated.
    is_list: bool,
    line: usize,
}

/// Reads the text of a file; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    let name = name(path);
    let failed = |error: io::Error| FileError::new(format!("cannot read {name}: {error}"));
    let mut bytes = Vec::new();
    let read = |source: &mut dyn Read, bytes: &mut Vec<u8>| source.take(BYTES_MAX + 1).read_to_end(bytes);
    match path.to_str() {
        Some("-") => read(&mut io::stdin().lock(), &mut bytes),
        _ => File::open(path).and_then(|mut file| read(&mut file, &mut bytes)),
    }
    .map_err(failed)?;
    if BYTES_MAX < bytes.len() as u64 {
        return Err(FileError::new(format!("{name} has more than 1 MiB")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        FileError::new(format!("{name}:{line}: this is not UTF-8"))
    })
}

/// Returns the name of a file for messages.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

impl Options {
    /// Reads the table of a command from the text of a file. `command` is built.
    ///
    /// # Errors
    ///
    /// Everything that is wrong in the file, in its order; except contradictions between options.
    pub(crate) fn parse(text: &str, file: &str, command: &mut Command) -> Result<Self, Vec<FileError>> {
        let mut reader = Reader::new(text, file);
        let entries = reader.table(command.get_name()).map(|table| reader.entries(table, command));
        reader.errors.sort_by_key(|(start, _)| *start);
        match entries {
            Some(entries) if reader.errors.is_empty() => Ok(Self { file: file.to_owned(), entries }),
            _ => Err(reader.errors.into_iter().map(|(_, error)| error).collect()),
        }
    }

    /// Returns the arguments that stand before the typed ones, which replace them: an option that
    /// was typed, and all endpoints if one was typed. Options that may be repeated add up.
    pub(crate) fn arguments(&self, typed: &ArgMatches) -> Vec<OsString> {
        let is_typed = |entry: &&Entry| typed.value_source(&entry.id) == Some(ValueSource::CommandLine);
        let is_replaced = |entry: &&Entry| is_typed(entry) && !(entry.is_list && entry.flag.is_some());
        let entries = self.entries.iter().filter(|entry| !is_replaced(entry));
        entries.map(|entry| OsString::from(&entry.argument)).collect()
    }

    /// Returns the place, `FILE:LINE`, of the first option of the file that a message names.
    fn place(&self, message: &str) -> Option<String> {
        let is_named = |flag: &str| {
            message.match_indices(flag).any(|(start, _)| {
                let (before, after) = (&message[..start], &message[start + flag.len()..]);
                let is_part = |c: char| c == '-' || c.is_ascii_alphanumeric();
                !before.ends_with(is_part) && !after.starts_with(is_part)
            })
        };
        let entry = self.entries.iter().find(|entry| entry.flag.as_deref().is_some_and(is_named))?;
        Some(format!("{}:{}", self.file, entry.line))
    }

    /// Adds the place of the option that an error is about, if it is one of the file.
    pub(crate) fn located(&self, error: anyhow::Error) -> anyhow::Error {
        match self.place(&error.to_string()) {
            Some(place) => error.context(place),
            None => error,
        }
    }

    /// Returns the error for arguments that contradict each other.
    pub(crate) fn contradiction(&self, error: &clap::Error) -> FileError {
        let (sentence, hint) = sentence_and_hint(error);
        let place = self.place(&sentence).unwrap_or_else(|| self.file.clone());
        FileError { text: format!("{place}: {sentence}"), hint }
    }
}

/// Reads a table and collects the errors.
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    /// The places of the newlines in the text.
    newlines: Vec<usize>,
    /// Each with its place in the text.
    errors: Vec<(usize, FileError)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, file: &'a str) -> Self {
        let newlines = text.match_indices('\n').map(|(place, _)| place).collect();
        Self { text, file, newlines, errors: Vec::new() }
    }

    /// Returns the number of the line at a place of the text.
    fn line(&self, place: usize) -> usize {
        1 + self.newlines.partition_point(|newline| *newline < place)
    }

    /// Returns the table of this name.
    fn table(&mut self, name: &str) -> Option<DeTable<'a>> {
        let root = match DeTable::parse(self.text) {
            Ok(root) => root.into_inner(),
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let message = error.message().trim_end_matches(", expected nothing");
                let message = match message {
                    "duplicate key" => format!("{message} {}", &self.text[span.clone()]),
                    _ => message.to_owned(),
                };
                self.reject(span.start, &message, syntax_hint(&message));
                return None;
            }
        };
        let mut found = None;
        for (key, value) in in_order(root) {
            let (start, key) = (key.span().start, key.into_inner());
            let is_table = value.get_ref().is_table();
            match value.into_inner() {
                DeValue::Table(table) if key == name => found = Some(table),
                DeValue::Table(_) if TABLES.contains(&&*key) => {}
                _ if TABLES.contains(&&*key) => {
                    let problem = format!("\"{key}\" is not a table; write [{key}], once");
                    self.reject(start, &problem, None);
                }
                _ if is_table => {
                    let problem = format!("unknown table [{key}]; there is [{}]", TABLES.join("], ["));
                    self.reject(start, &problem, None);
                }
                _ => self.reject(
                    start,
                    &format!("\"{key}\" is outside a table; it belongs below [{name}]"),
                    None,
                ),
            }
        }
        if found.is_none() && self.errors.is_empty() {
            self.errors.push((0, FileError::new(format!("{} has no table [{name}]", self.file))));
        }
        found
    }

    /// Returns the entries of a table whose values the command accepts.
    fn entries(&mut self, table: DeTable<'_>, command: &mut Command) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, value) in in_order(table) {
            if self.errors.len() == ERRORS_MAX {
                break;
            }
            let start = key.span().start;
            let Some(arg) = command.get_arguments().find(|arg| key_of(arg).as_deref() == Some(key.get_ref()))
            else {
                let hint =
                    suggestion(key.get_ref(), command).map(|known| format!("did you mean \"{known}\"?"));
                let problem = format!("unknown key \"{}\" in [{}]", key.get_ref(), command.get_name());
                self.reject(start, &problem, hint);
                continue;
            };
            for (span, argument) in self.values(key.get_ref(), &value, arg) {
                let entry = Entry {
                    id: arg.get_id().to_string(),
                    flag: flag(arg),
                    argument,
                    is_list: matches!(arg.get_action(), ArgAction::Append),
                    line: self.line(span.start),
                };
                entries.push((span, entry));
            }
        }
        // One pass is enough for a file without errors. Otherwise each argument shows its own.
        let name = command.get_name().to_owned();
        let words = entries.iter().map(|(_, entry)| &entry.argument).collect::<Vec<_>>();
        if command.try_get_matches_from_mut([&name].into_iter().chain(words)).is_err() {
            entries.retain(|(span, entry)| self.accepts(command, span, entry));
        }
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Returns the arguments that stand for a value, each with its place in the text.
    fn values(&mut self, key: &str, value: &Spanned<DeValue<'_>>, arg: &Arg) -> Vec<(Range<usize>, String)> {
        let is_list = matches!(arg.get_action(), ArgAction::Append);
        let values = match value.get_ref() {
            DeValue::Array(values) if is_list => values.iter().collect(),
            DeValue::Array(_) => {
                self.reject(value.span().start, &format!("\"{key}\" takes one value"), None);
                return Vec::new();
            }
            _ => vec![value],
        };
        let mut arguments = Vec::new();
        for value in values {
            match argument(value.get_ref(), arg) {
                Ok(argument) => arguments.extend(argument.map(|argument| (value.span(), argument))),
                Err(problem) => self.reject(value.span().start, &format!("\"{key}\" {problem}"), None),
            }
        }
        arguments
    }

    /// Returns whether the command accepts an argument by itself.
    fn accepts(&mut self, command: &mut Command, span: &Range<usize>, entry: &Entry) -> bool {
        if self.errors.len() == ERRORS_MAX {
            return false;
        }
        let name = command.get_name().to_owned();
        match command.try_get_matches_from_mut([&name, &entry.argument]) {
            Ok(_) => true,
            Err(error) => {
                let (sentence, hint) = sentence_and_hint(&error);
                self.reject(span.start, &sentence, hint);
                false
            }
        }
    }

    /// Notes what is wrong at a place of the text, up to the maximum number of errors.
    fn reject(&mut self, start: usize, problem: &str, hint: Option<String>) {
        if self.errors.len() == ERRORS_MAX {
            return;
        }
        let line = self.line(start);
        let text = format!("{}:{line}: {problem}", self.file);
        self.errors.push((start, FileError { text, hint }));
    }
}

/// Returns the keys and values of a table in the order of the text.
fn in_order<'a>(table: DeTable<'a>) -> impl Iterator<Item = (Spanned<Cow<'a, str>>, Spanned<DeValue<'a>>)> {
    let mut pairs: Vec<_> = table.into_iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs.into_iter()
}

/// Returns the key of an argument: the flag without its dashes. Hidden flags, `--help` and the name
/// of the file itself have none.
fn key_of(arg: &Arg) -> Option<String> {
    let is_action = matches!(
        arg.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    );
    if arg.is_hide_set() || is_action || arg.get_id() == "config" {
        return None;
    }
    if arg.is_positional() {
        return Some(ENDPOINTS.to_owned());
    }
    arg.get_long().map(str::to_owned).or_else(|| arg.get_short().map(String::from))
}

/// Returns the flag of an option as typed.
fn flag(arg: &Arg) -> Option<String> {
    let long = arg.get_long().map(|long| format!("--{long}"));
    long.or_else(|| arg.get_short().map(|short| format!("-{short}")))
}

/// Returns the argument for a value: `None` if the option is left out, an error if no text stands for
/// the value.
fn argument(value: &DeValue<'_>, arg: &Arg) -> Result<Option<String>, &'static str> {
    let flag = flag(arg);
    if !arg.get_action().takes_values() {
        let is_set = value.as_bool().ok_or("is true or false")?;
        return Ok(flag.filter(|_| is_set));
    }
    let is_yes_or_no = arg.get_possible_values().iter().any(|value| value.get_name() == "yes");
    let text = match value {
        DeValue::String(text) if text.contains('\0') => return Err("contains a NUL character"),
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) if number.radix() != 10 => return Err("takes decimal numbers only"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(is_yes) if is_yes_or_no => if *is_yes { "yes" } else { "no" }.to_owned(),
        _ => return Err("takes a text or a number"),
    };
    match flag {
        Some(flag) if flag.starts_with("--") => Ok(Some(format!("{flag}={text}"))),
        Some(flag) => Ok(Some(flag + &text)),
        None if text.starts_with('-') => Err("contains a text that begins with \"-\""),
        None => Ok(Some(text)),
    }
}

/// Returns the key that an unknown key probably means.
fn suggestion(key: &str, command: &Command) -> Option<String> {
    let known: Vec<(Option<char>, String)> =
        command.get_arguments().filter_map(|arg| Some((arg.get_short(), key_of(arg)?))).collect();
    let plain = key.trim_start_matches('-').replace('_', "-");
    let by_letter = known.iter().find(|(short, _)| short.map(String::from).as_deref() == Some(&plain));
    let by_letter = by_letter.map(|(_, known)| known.as_str());
    by_letter.or_else(|| nearest(&plain, known.iter().map(|(_, known)| known.as_str()))).map(str::to_owned)
}

/// Returns the word that is nearly the same as another. Comparing long ones would take time.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, word);
    let known = known.filter(|_| word.len() <= WORD_MAX);
    known.max_by(|one, other| likeness(one).total_cmp(&likeness(other))).filter(|best| 0.6 < likeness(best))
}

/// Returns advice for a text that is not TOML.
fn syntax_hint(message: &str) -> Option<String> {
    let is_about_quotes = message.contains("string") || message.contains("quot");
    is_about_quotes
        .then(|| "texts need quotes, such as stamp = \"unix\" or max-connections = \"10k\"".to_owned())
}

/// Returns what clap says about arguments in one line, and its hint or ours.
fn sentence_and_hint(error: &clap::Error) -> (String, Option<String>) {
    let mut text = error.render().to_string();
    // Paragraphs end at empty lines, and a value may contain some.
    if let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue)
        && value.contains('\n')
    {
        text = text.replace(value, &value.replace('\n', "\\n"));
    }
    let mut sentence = String::new();
    let mut hint = None;
    for paragraph in text.split("\n\n").map(str::trim) {
        if let Some(advice) = paragraph.strip_prefix("hint: ").or_else(|| paragraph.strip_prefix("tip: ")) {
            hint = Some(advice.to_owned());
        } else if sentence.is_empty() {
            let lines = paragraph.strip_prefix("error: ").unwrap_or(paragraph).lines().map(str::trim);
            sentence = lines.collect::<Vec<_>>().join(" ");
        }
    }
    (sentence, hint)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Args;

    fn serve() -> Command {
        let mut program = Args::command();
        program.build();
        program.find_subcommand("serve").unwrap().clone()
    }

    fn parse(text: &str) -> Result<Options, Vec<String>> {
        let texts = |errors: Vec<FileError>| errors.into_iter().map(|error| error.text).collect();
        Options::parse(text, "f", &mut serve()).map_err(texts)
    }

    /// Returns the arguments of entries in `[serve]` beside these typed ones.
    fn arguments(entries: &str, typed: &[&str]) -> Vec<String> {
        let options = parse(&format!("[serve]\n{entries}")).unwrap();
        let typed = serve().try_get_matches_from([&["serve"], typed].concat()).unwrap();
        options.arguments(&typed).into_iter().map(|argument| argument.into_string().unwrap()).collect()
    }

    #[test]
    fn every_option_of_serve_is_a_key_except_hidden_ones() {
        let command = serve();
        let options: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_positional()).collect();
        assert!(30 < options.len(), "{options:?}");
        for option in options {
            let (long, id) = (option.get_long(), option.get_id().as_str());
            let name = long.map_or_else(|| option.get_short().unwrap().to_string(), str::to_owned);
            let is_key = !option.is_hide_set() && id != "help" && id != "config";
            let problem = match (is_key, option.get_action().takes_values()) {
                (true, true) => format!("\"{name}\" takes a text or a number"),
                (true, false) => format!("\"{name}\" is true or false"),
                (false, _) => format!("unknown key \"{name}\" in [serve]"),
            };
            let errors = parse(&format!("[serve]\n{name} = {{}}")).unwrap_err();
            assert_eq!(errors, [format!("f:2: {problem}")]);
        }
    }

    #[test]
    fn values_become_arguments_in_the_order_of_the_file() {
        let entries = "workers = 1_000\nstall-timeout = 1.5\n6 = true\nno-sandbox = false\nstamp = '[{unix}] '\n\
                       reflect-dscp = true\nallow = ['::1', \"127.0.0.1\"]\nendpoints = ['@x', 80]\n\
                       excess-rate = 0\ndeny = '10.0.0.0/8'\nallow-uid = [0]";
        let expected = [
            "--workers=1000",
            "--stall-timeout=1.5",
            "-6",
            "--stamp=[{unix}] ",
            "--reflect-dscp=yes",
            "--allow=::1",
            "--allow=127.0.0.1",
            "@x",
            "80",
            "--excess-rate=0",
            "--deny=10.0.0.0/8",
            "--allow-uid=0",
        ];
        assert_eq!(arguments(entries, &[]), expected);
        assert_eq!(arguments("reflect-dscp = false", &[]), ["--reflect-dscp=no"]);
        assert_eq!(arguments("reflect-dscp = 'no'\r\n\r\n", &[]), ["--reflect-dscp=no"]);
        assert_eq!(arguments("", &[]), [""; 0]);
    }

    #[test]
    fn typed_arguments_replace_or_extend_the_file() {
        let entries = "stamp = 'ns'\nendpoints = [1, 2]\nallow = '::1'\njson = true\nworkers = 2";
        let typed = ["--stamp=unix", "--allow=127.0.0.1", "--json", "3"];
        assert_eq!(arguments(entries, &typed), ["--allow=::1", "--workers=2"]);
        assert_eq!(arguments(entries, &[]).len(), 6);
    }

    #[test]
    fn place_is_that_of_the_named_option() {
        let options = parse("[serve]\nstamp-mode = 'stateful'\nstamp = 'none'\n4 = true").unwrap();
        for (message, place) in [
            ("--stamp on udp://x must begin", Some("f:3")),
            ("--stamp-mode requires a stamp:// ENDPOINT", Some("f:2")),
            ("the argument '-4' cannot be used with '-6'", Some("f:4")),
            ("--stamp-key requires a stamp:// ENDPOINT", None),
            ("udp://host-4: no such --stampede", None),
        ] {
            assert_eq!(options.place(message).as_deref(), place, "{message}");
        }
    }

    #[test]
    fn similar_keys_are_suggested() {
        for (key, known) in [
            ("max_connections", Some("max-connections")),
            ("--stamp", Some("stamp")),
            ("endpoint", Some("endpoints")),
            ("sandbox", Some("no-sandbox")),
            ("timestamp-format", None),
            ("q", Some("quiet")),
            ("unix-mod", Some("unix-mode")),
        ] {
            assert_eq!(suggestion(key, &serve()).as_deref(), known, "{key}");
        }
    }

    #[test]
    fn damaged_text_has_errors_with_lines_that_exist() {
        let mut command = serve();
        let text = "[serve]\r\nendpoints = [\"tcp://\", 80]\nstamp = \"\"\"[{rfc3339}] \"\"\"\n\
                    workers = 0x4\n[a.b]\nx = {y = 1979-05-27T07:32:00Z}\nallow = ['é']\n";
        let lines = text.lines().count();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            for insert in ["", "\0", "=", "]", "\"", "[[", "\u{202e}"] {
                let damaged = format!("{}{insert}{}", &text[..end], &text[end..]);
                for text in [&text[..end], &damaged] {
                    let parsed = Options::parse(text, "f", &mut command);
                    for FileError { text: error, .. } in parsed.err().into_iter().flatten() {
                        let line = error.strip_prefix("f:").and_then(|rest| rest.split(':').next());
                        let line = line.and_then(|line| line.parse::<usize>().ok());
                        assert!(
                            error == "f has no table [serve]"
                                || line.is_some_and(|line| (1..=lines + 1).contains(&line)),
                            "{text:?}: {error}"
                        );
                    }
                }
            }
        }
    }
}
