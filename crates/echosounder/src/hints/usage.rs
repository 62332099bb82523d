//! Corrections of a wrong command line: the spelling of this program for the flags and habits of
//! nc, ping and others.

use std::net::Ipv4Addr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};
use echosounder_socket::Endpoint;

use super::endpoint::{is_number, joined};

/// Returns an error for a host and a port in two arguments, which a command with several endpoints
/// would take for two endpoints.
pub(crate) fn split_endpoint(matches: &ArgMatches) -> Option<clap::Error> {
    let (_, command) = matches.subcommand()?;
    let typed: Vec<&str> = command.try_get_raw("targets").ok()??.filter_map(|typed| typed.to_str()).collect();
    typed.windows(2).find_map(|pair| {
        let meant = joined(pair[0], pair[1])?;
        let message = format!(
            "host '{}' and port '{}' are two arguments\n\nhint: did you mean \"{meant}\"?\n\n\
             For more information, try '--help'.\n",
            pair[0], pair[1]
        );
        Some(clap::Error::raw(ErrorKind::TooManyValues, message))
    })
}

/// Returns a correction of arguments that clap rejects with `error`, or `None` without a good
/// guess.
///
/// `program` is the definition of our command line, built.
pub(crate) fn correction(typed: &[String], error: &clap::Error, program: &Command) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let line = Line::parse(typed, program);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let wrong = context(ContextKind::InvalidArg)?;
            if wrong.starts_with('-') {
                return line.flags_by_weight().iter().find_map(|flag| advice(&line, flag));
            }
            let place = typed.iter().rposition(|word| word == wrong)?;
            let meant = joined(typed.get(place.checked_sub(1)?)?, wrong)?;
            Some(format!("did you mean \"{meant}\"?"))
        }
        ErrorKind::InvalidSubcommand => {
            let meant = meant_line(&line, context(ContextKind::InvalidSubcommand)?)?;
            Some(format!("did you mean {meant}?"))
        }
        _ => None,
    }
}

/// Returns the command line that a word in the place of a command probably means.
fn meant_line(line: &Line<'_>, wrong: &str) -> Option<String> {
    if let Some((_, command)) = OTHER_COMMANDS.iter().find(|(other, _)| *other == wrong) {
        return Some(line.corrected(command, ""));
    }
    match wrong {
        "version" => return Some("\"sounder --version\"".to_owned()),
        port if is_number(port) => return Some(format!("\"sounder serve {port}\"")),
        _ => {}
    }
    let is_endpoint = wrong.contains([':', '.', '/', '@']) || wrong == "localhost" || line.port.is_some();
    wrong.parse::<Endpoint>().ok().filter(|_| is_endpoint && line.host.is_some())?;
    Some(line.corrected("talk", ""))
}

const COMMANDS: [&str; 4] = ["serve", "talk", "ping", "load"];

/// Words that users of other programs type in the place of a command, and the commands they mean.
const OTHER_COMMANDS: [(&str, &str); 9] = [
    ("listen", "serve"),
    ("server", "serve"),
    ("listener", "serve"),
    ("echo", "serve"),
    ("client", "talk"),
    ("connect", "talk"),
    ("nc", "talk"),
    ("netcat", "talk"),
    ("send", "talk"),
];

/// Flags that decide what to do. They weigh more than flags that decide how.
const WEIGHTY: [&str; 12] =
    ["-l", "--listen", "-z", "--zero", "-u", "--udp", "-U", "--unix", "-p", "--port", "-f", "--flood"];

/// The parts of a command line that a correction needs.
struct Line<'a> {
    command: Option<&'a str>,
    /// The flags that the command does not have.
    flags: Vec<String>,
    host: Option<&'a str>,
    port: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn parse(typed: &'a [String], program: &Command) -> Self {
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let is_command =
            |word: &&str| COMMANDS.contains(word) || OTHER_COMMANDS.iter().any(|(other, _)| other == word);
        let place = typed.iter().position(is_command);
        let words = &typed[place.map_or(0, |place| place + 1)..];
        let is_host = |word: &&str| {
            let is_value = word.starts_with('-') || word.starts_with(|c: char| c.is_ascii_digit());
            !is_value && word.parse::<Endpoint>().is_ok() || word.parse::<Ipv4Addr>().is_ok()
        };
        let host = words.iter().position(is_host);
        let is_port = |word: &&&str| is_number(word) && word.parse::<u16>().is_ok();
        let after_host = host.and_then(|place| words.get(place + 1)).filter(is_port);
        let after_flag =
            || words.windows(2).filter(|pair| takes_port(pair[0])).map(|pair| &pair[1]).find(is_port);
        // A server needs no host before its port.
        let alone = || words.iter().filter(|_| host.is_none()).find(is_port);
        let port = after_host.or_else(after_flag).or_else(alone).copied();
        let command = place.map(|place| typed[place]);
        Self {
            command: command.filter(|command| COMMANDS.contains(command)),
            flags: words
                .iter()
                .flat_map(|word| flags(word))
                .filter(|flag| !has_flag(program, command, flag))
                .collect(),
            host: host.map(|place| words[place]),
            port: port.or_else(|| words.iter().find_map(|word| attached_port(word))),
        }
    }

    /// Returns the flags that the command does not have, the weighty ones first.
    fn flags_by_weight(&self) -> Vec<&str> {
        let weighty = WEIGHTY.iter().copied().filter(|weighty| self.flags.iter().any(|flag| flag == weighty));
        weighty.chain(self.flags.iter().map(String::as_str)).collect()
    }

    /// Returns the endpoint for a host, with the scheme unless that is empty.
    fn endpoint(&self, scheme: &str, host: &str) -> String {
        let has_hosts = host.parse::<Endpoint>().is_ok_and(|endpoint| endpoint.transport().has_hosts());
        if !has_hosts && scheme == "udp://" {
            return format!("unix-dgram:{}", host.trim_start_matches("unix:"));
        }
        let bare = host.split_once("://").map_or(host, |(_, bare)| bare);
        let host = if scheme.is_empty() || !has_hosts { host } else { bare };
        let scheme = if has_hosts { scheme } else { "" };
        let port = self.port.filter(|port| joined(host, port).is_some());
        format!("{scheme}{host}{}", port.map_or_else(String::new, |port| format!(":{port}")))
    }

    /// Returns a quoted command line with this command and the endpoint that was typed.
    fn corrected(&self, command: &str, scheme: &str) -> String {
        let udp = self.flags.iter().any(|flag| flag == "-u" || flag == "--udp");
        let scheme = if udp && scheme.is_empty() { "udp://" } else { scheme };
        let target = match (self.host, self.port) {
            (None, None) if command == "serve" => format!("{scheme}:PORT"),
            (None, None) => format!("{scheme}HOST:PORT"),
            (None, Some(port)) if scheme.is_empty() || command == "serve" => format!("{scheme}:{port}"),
            (None, Some(port)) => format!("{scheme}localhost:{port}"),
            (Some(host), _) => self.endpoint(scheme, host),
        };
        format!("\"sounder {command} {target}\"")
    }
}

/// Returns the flags in a word, one for each letter of a short group: `-lvp`, `-p8080`,
/// `--port=8080`.
fn flags(word: &str) -> Vec<String> {
    match (word.strip_prefix("--"), word.strip_prefix('-')) {
        (Some(""), _) | (None, None) => Vec::new(),
        (Some(long), _) => vec![format!("--{}", long.split('=').next().unwrap_or(long))],
        (None, Some(short)) => {
            let letters = short.chars().take_while(char::is_ascii_alphabetic);
            letters.map(|letter| format!("-{letter}")).collect()
        }
    }
}

/// Returns whether this command of ours has this flag, with any meaning.
fn has_flag(program: &Command, command: Option<&str>, flag: &str) -> bool {
    let command = command.and_then(|command| program.find_subcommand(command));
    command.is_some_and(|command| {
        command.get_arguments().any(|arg| {
            let short = arg.get_short().map(|short| format!("-{short}"));
            let long = arg.get_long().map(|long| format!("--{long}"));
            short.as_deref() == Some(flag) || long.as_deref() == Some(flag)
        })
    })
}

/// Returns whether other programs expect a port after this flag.
fn takes_port(word: &str) -> bool {
    let is_short = word.starts_with('-') && !word.starts_with("--") && word.ends_with(['p', 'l']);
    is_short || word == "--port" || word == "--listen"
}

/// Returns the port of `-p8080` or `--port=8080`.
fn attached_port(word: &str) -> Option<&str> {
    let port = word.strip_prefix("--port=").or_else(|| {
        let digits = word.strip_prefix('-')?.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        takes_port(word.strip_suffix(digits)?).then_some(digits)
    })?;
    (is_number(port) && port.parse::<u16>().is_ok()).then_some(port)
}

/// The advice about a flag that this program does not have.
enum Advice {
    /// A complete text.
    Text(&'static str),
    /// "leave FLAG out", for this reason.
    Omit(&'static str),
    /// A text and the command line with the scheme, for the command that was typed.
    Scheme(&'static str, &'static str),
    /// A text and the command line with another command and its options.
    Run(&'static str, &'static str),
}

use Advice::{Omit, Run, Scheme, Text};

/// A command ("" for every command), the flags that other programs have, and the advice. The first
/// match counts.
const HABITS: [(&str, &[&str], Advice); 39] = [
    ("", &["-u", "--udp"], Scheme("UDP is part of the endpoint", "udp://")),
    (
        "",
        &["-U", "--unix", "--unixsock"],
        Text("a UNIX socket is an endpoint: /PATH, unix-dgram:PATH or @NAME"),
    ),
    ("", &["--sctp"], Scheme("SCTP is part of the endpoint", "sctp://")),
    ("", &["--mptcp"], Scheme("MPTCP is part of the endpoint", "mptcp://")),
    ("", &["-T", "--tcp"], Scheme("TCP is part of the endpoint", "tcp://")),
    ("", &["--vsock"], Text("VSOCK is part of the endpoint: vsock://CID:PORT")),
    ("", &["--ssl", "--tls"], Text("TLS is not supported")),
    ("", &["--ipv4"], Text("-4 uses IPv4 only")),
    ("", &["--ipv6"], Text("-6 uses IPv6 only")),
    ("", &["-n", "--nodns", "--numeric"], Omit("addresses are always printed as numbers")),
    (
        "",
        &["-e", "--exec", "--sh-exec"],
        Text("sounder runs no programs; \"sounder serve\" is an echo server"),
    ),
    ("load", &["-P", "--parallel"], Text("-c sets the number of connections")),
    ("load", &["-l", "--length"], Text("-s sets the message size")),
    ("load", &["-b", "--bandwidth", "--bitrate"], Text("-r sets the rate, in messages per second")),
    ("load", &["-z"], Text("-d sets the duration")),
    ("load", &["-i", "--interval"], Text("--json prints an interval every second")),
    ("load", &["-s", "-S", "--source-address", "-B"], Text(SOURCE)),
    ("talk", &["-s", "-S", "--source-address", "-B"], Text(SOURCE)),
    ("talk", &["-z", "--zero"], Run("to probe, run", "ping -c 1")),
    ("talk", &["-N", "--send-only", "-k"], Omit("the end of the input half-closes the connection")),
    ("talk", &["-C", "--crlf"], Text("--eol crlf ends each line with a carriage return and a line feed")),
    ("talk", &["-i", "--idle-timeout", "--timeout"], Text("-w sets how long to wait")),
    ("talk", &["-x", "--hex-dump"], Text("--json prints replies that are not UTF-8 in hexadecimal")),
    ("serve", &["-l", "--listen", "-s", "--server"], Run("serve always listens, without a flag", "serve")),
    ("serve", &["-k", "--keep-open"], Omit("serve always handles many clients at once")),
    ("serve", &["-m", "--max-conns"], Text("--max-connections sets the maximum number of connections")),
    (
        "serve",
        &["-w", "-i", "--timeout"],
        Text("--idle-timeout closes connections that send nothing for that long"),
    ),
    ("serve", &["-v", "--verbose"], Text("--transcript messages prints every connection and message")),
    (
        "serve",
        &["-b", "-a", "--bind", "--host", "-H"],
        Text("the address is part of the endpoint: \"sounder serve tcp://ADDRESS:PORT\""),
    ),
    (
        "serve",
        &["-D", "-d", "--daemon"],
        Text("serve stays in the foreground: start it with systemd or with &"),
    ),
    ("ping", &["-l", "--preload"], Text("\"sounder load -p N\" keeps N messages in flight")),
    ("ping", &["-S", "-B"], Text(SOURCE)),
    (
        "ping",
        &["-f", "--flood", "-A", "--adaptive"],
        Run("-i 0 sends as fast as replies arrive", "ping -i 0"),
    ),
    ("ping", &["-O"], Omit("lost requests are always reported")),
    ("ping", &["-b"], Text("broadcast addresses are refused: a measurement has one peer")),
    ("ping", &["-m", "--ttl"], Text("-t sets the time to live")),
    ("ping", &["-z", "--tos"], Text("-Q sets the DSCP value")),
    ("", &["-l", "--listen"], Run("to listen, run", "serve")),
    ("", &["-p", "--port", "-P"], Scheme("the port is part of the endpoint", "")),
];

const SOURCE: &str = "-I sets the source: an address or a network interface of this machine";

/// Returns the advice about a flag of nc, ping, iperf or a similar program.
fn advice(line: &Line<'_>, flag: &str) -> Option<String> {
    let typed = line.command.unwrap_or("talk");
    let mut matches = HABITS
        .iter()
        .filter(|(command, flags, _)| (command.is_empty() || *command == typed) && flags.contains(&flag));
    let (.., advice) = matches.next()?;
    Some(match advice {
        Text(text) => (*text).to_owned(),
        Omit(reason) => format!("leave {flag} out: {reason}"),
        Scheme(text, scheme) => format!("{text}: {}", line.corrected(typed, scheme)),
        Run(text, command) => format!("{text}: {}", line.corrected(command, "")),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Args;

    fn hint(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let typed = std::iter::once("sounder").chain(line.split(' '));
        let mut program = Args::command();
        program.build();
        correction(&words, &program.clone().try_get_matches_from(typed).unwrap_err(), &program)
    }

    #[test]
    fn habits_of_other_programs_get_advice() {
        for (line, part) in [
            ("serve -l", "\"sounder serve :PORT\""),
            ("serve -l 8080", "\"sounder serve :8080\""),
            ("serve -lk 8080", "\"sounder serve :8080\""),
            ("serve -p 8080", "\"sounder serve :8080\""),
            ("serve --port 8080", "\"sounder serve :8080\""),
            ("serve -u 53", "\"sounder serve udp://:53\""),
            ("serve -p8080", "\"sounder serve :8080\""),
            ("serve --port=8080", "\"sounder serve :8080\""),
            ("serve -vlp 8080", "\"sounder serve :8080\""),
            ("serve -ulp 53", "\"sounder serve udp://:53\""),
            ("serve -u localhost 53", "\"sounder serve udp://localhost:53\""),
            ("talk -u host 53", "\"sounder talk udp://host:53\""),
            ("talk -u", "\"sounder talk udp://HOST:PORT\""),
            ("talk -u tcp://host:7", "\"sounder talk udp://host:7\""),
            ("talk -l 8080", "\"sounder serve :8080\""),
            ("talk -lvnp 4444", "\"sounder serve :4444\""),
            ("talk -lu 53", "\"sounder serve udp://:53\""),
            ("talk -uz host 53", "\"sounder ping -c 1 udp://host:53\""),
            ("talk -nv host 22", "leave -n out"),
            ("talk -uU /run/x", "\"sounder talk unix-dgram:/run/x\""),
            ("talk --ssl host 443", "TLS is not supported"),
            ("talk -z host 22", "\"sounder ping -c 1 host:22\""),
            ("talk -p 8080 10.0.0.1", "\"sounder talk 10.0.0.1:8080\""),
            ("talk -C mail 25", "--eol crlf"),
            ("ping -f host", "\"sounder ping -i 0 host\""),
            ("ping -A host", "\"sounder ping -i 0 host\""),
            ("ping -n host", "leave -n out"),
            ("ping -u host", "\"sounder ping udp://host\""),
            ("ping -p 8080 host", "\"sounder ping host:8080\""),
            ("load -u host", "\"sounder load udp://host\""),
            ("load -P 8 host", "-c sets the number of connections"),
            ("ping --ipv4 host", "-4 uses IPv4 only"),
            ("ping -c 3 host -p 8080", "\"sounder ping host:8080\""),
            ("load -b 1m host", "-r sets the rate"),
            ("-l 8080", "\"sounder serve :8080\""),
            ("listen 8080", "\"sounder serve :8080\""),
            ("server", "\"sounder serve :PORT\""),
            ("connect host 80", "\"sounder talk host:80\""),
            ("8080", "\"sounder serve 8080\""),
            ("host 80", "\"sounder talk host:80\""),
            ("udp://host:53", "\"sounder talk udp://host:53\""),
            ("version", "\"sounder --version\""),
            ("talk host 80", "\"host:80\""),
        ] {
            let hint = hint(line).unwrap_or_else(|| panic!("{line}"));
            assert!(hint.contains(part), "{line}: {hint}");
        }
        for line in ["serve --sing", "sing", "talk a b", "load 8080 9", "load -p x host"] {
            assert_eq!(hint(line), None, "{line}");
        }
    }
}
