//! How it ended: exit codes, error messages, hints.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Error;
use clap::error::ContextKind;
use echosounder_client::{ClientError, FailureKind, LoadError, TalkError};
use echosounder_server::{BindError, StartError};
use echosounder_socket::family::inet::Host;
use echosounder_socket::{DEFAULT_PORT, Endpoint, Interest, Name, Transport, is_out_of_descriptors, ready};
use serde::Serialize;

use crate::args::{Color, Output};
use crate::hints;
use crate::render::escape::Harmless;
use crate::render::json::{self, EventTime};
use crate::render::style::Style;
use crate::stderr::{self, stderr};

/// How a command ended that did what it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All went well.
    Done,
    /// Something did not work that was asked for, and has been told.
    Incomplete,
    /// This machine failed, and that has been reported.
    Failed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Incomplete => Self::FAILURE,
            Outcome::Failed => Self::from(2),
        }
    }
}

/// Arguments that do not go together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// An error of the client with advice for the user.
#[derive(Debug)]
pub(crate) struct Advised {
    error: ClientError,
    hint: String,
}

impl Advised {
    pub(crate) fn new(error: ClientError, hint: &str) -> Self {
        Self { error, hint: hint.into() }
    }

    /// An error of asking this endpoint, with what to do about it if a server of ours may be missing there.
    /// `instead` names what would do without one.
    pub(crate) fn at(endpoint: &Endpoint, error: ClientError, instead: &str) -> Error {
        match start_hint(endpoint, error.failure_kind(), instead) {
            Some(hint) => Self { error, hint }.into(),
            None => error.into(),
        }
    }
}

/// How to start a server at the default port of an endpoint where nobody replied.
pub(crate) fn start_hint(endpoint: &Endpoint, word: Option<FailureKind>, instead: &str) -> Option<String> {
    let Name::Inet(host, DEFAULT_PORT) = endpoint.name() else { return None };
    let scheme = endpoint.transport().scheme();
    let here = match host {
        Host::Any => true,
        Host::Name(name) => &**name == "localhost",
        Host::V4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::V6(ip, _) => ip.is_loopback() || ip.is_unspecified(),
    };
    match (word?, here) {
        (FailureKind::Refused, true) if matches!(endpoint.transport(), Transport::Tcp | Transport::Udp) => {
            Some(format!("start one with \"sounder serve\"{instead}"))
        }
        (FailureKind::Refused, true) => {
            Some(format!("start one with \"sounder serve {scheme}://localhost\"{instead}"))
        }
        (FailureKind::Refused | FailureKind::Timeout, false) => Some(format!(
            "is \"sounder serve {scheme}://\" running on {host}? Without an endpoint, \"sounder serve\" listens on \
             localhost only"
        )),
        _ => None,
    }
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Advised {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// A load's own server does not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a server: {why}")]
pub(crate) struct OwnServer {
    /// What it has said itself.
    pub(crate) why: String,
    /// Whether this machine does not have the socket.
    pub(crate) absent: bool,
}

/// What to do about sockets that this machine does not have.
pub(crate) const ABSENT_HINT: &str =
    "run \"sounder doctor\" to see which socket types work here and how to enable the rest";

#[derive(Serialize)]
struct Failure<'a> {
    event: &'static str,
    reason: Option<String>,
    error: &'a str,
    hint: Option<&'a str>,
}

/// Tells why a command failed, and what exit code that is.
pub(crate) fn failure(error: &Error, output: Output) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    tell(error, output);
    ExitCode::from(exit_code(error))
}

/// Tells of a failure.
pub(crate) fn tell(error: &Error, output: Output) {
    let message = sentence(error.chain());
    let hint = hint(error);
    let mut stderr = stderr();
    // If standard error is closed too, the exit code is all that is left.
    let _ = if output.json {
        let reason = word(error).map(|kind| kind.to_string());
        let failure = Failure { event: "error", reason, error: &message, hint: hint.as_deref() };
        json::event(&mut stderr, &EventTime::now(), &failure)
    } else {
        let style = Style::stderr(output);
        // What was typed, and what a file is called, may be anything.
        writeln!(stderr, "{} {}", style.bad("sounder:"), Harmless(&message)).and_then(|()| {
            hint.map_or(Ok(()), |hint| writeln!(stderr, "{} {}", style.strong("hint:"), Harmless(&hint)))
        })
    };
}

/// Tells what is wrong with the arguments, or what was asked about them, and ends the program.
pub(crate) fn usage(mut error: clap::Error, color: Color) -> ! {
    if !error.use_stderr() {
        let style = Style::stdout(Output { json: false, quiet: false, color });
        let text = error.render();
        let text = if style.is_colored() { text.ansi().to_string() } else { text.to_string() };
        let mut stdout = style.wrapped(io::stdout().lock());
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        std::process::exit(match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let reason = plain(&error.to_string());
                // If standard error is closed too, the exit code is all that is left.
                let _ = writeln!(stderr(), "sounder: cannot write standard output: {reason}");
                stderr::finish();
                2
            }
            _ => 0,
        })
    }
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|typed| typed.to_string_lossy().into_owned()).collect();
    let mut hint = hints::usage::correction(&typed, &error);
    if hint.is_some() {
        // "to pass '-u' as a value, use '-- -u'" leads nowhere.
        error.remove(ContextKind::Suggested);
    }
    let text = error.render().to_string();
    let (sentence, rest) = text.split_once("\n\n").unwrap_or_else(|| (text.trim_end(), ""));
    // An endpoint that is none has brought its hint with it.
    let rest = match rest.strip_prefix("hint: ").and_then(|rest| rest.split_once("\n\n")) {
        Some((own, rest)) => {
            hint = Some(own.to_owned());
            rest
        }
        None => rest,
    };
    let mut stderr = stderr();
    // If standard error is closed too, the exit code is all that is left.
    let _ = if typed.iter().any(|typed| typed == "--json") {
        let error = sentence.strip_prefix("error: ").unwrap_or(sentence);
        let failure = Failure { event: "error", reason: None, error, hint: hint.as_deref() };
        json::event(&mut stderr, &EventTime::now(), &failure)
    } else {
        let hint = hint.map_or_else(String::new, |hint| format!("hint: {hint}\n\n"));
        let lines = format!("{sentence}\n\n{hint}{rest}");
        let style = Style::stderr(Output { json: false, quiet: false, color });
        lines.trim_end().lines().try_for_each(|line| {
            let (label, rest) = match line.split_once(": ") {
                Some(("error", rest)) => (style.bad("error:") + " ", rest),
                Some(("hint", rest)) => (style.strong("hint:") + " ", rest),
                _ => (String::new(), line),
            };
            // What was typed may be anything.
            writeln!(stderr, "{label}{}", Harmless(rest))
        })
    };
    drop(stderr);
    stderr::finish();
    std::process::exit(2)
}

/// An error and its causes on one line, without the numbers that the system's messages end in.
pub(crate) fn sentence<'a>(chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let parts: Vec<String> = chain.map(|cause| plain(&cause.to_string())).collect();
    parts.join(": ")
}

/// Returns a message without the numbers of system errors: "Connection refused" for "Connection refused (os error 111)".
pub(crate) fn plain(message: &str) -> String {
    let mut plain = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once(" (os error ") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

fn exit_code(error: &Error) -> u8 {
    let by_peer = call_error(error).is_some_and(|error| error.failure_kind().is_some())
        || matches!(find(error), Some(LoadError::NotAnEcho(_)));
    if is_absent(error) || by_peer { 1 } else { 2 }
}

/// Whether this machine does not have the socket that was asked for.
fn is_absent(error: &Error) -> bool {
    call_error(error).is_some_and(ClientError::is_family_absent)
        || matches!(find(error), Some(BindError::Absent(_)))
        || matches!(find(error), Some(OwnServer { absent: true, .. }))
}

fn hint(error: &Error) -> Option<String> {
    if let Some(Advised { hint, .. }) = find(error) {
        return Some(hint.clone());
    }
    call_error(error)
        .and_then(hints::socket::client_error)
        .or_else(|| hint_of_cause(error))
        .map(str::to_owned)
}

/// What to do about the kernel's reason, or about ours.
fn hint_of_cause(error: &Error) -> Option<&'static str> {
    if is_absent(error) {
        return Some(ABSENT_HINT);
    }
    if let Some(LoadError::RemoteRate(_)) = find(error) {
        return Some("--yes allows more");
    }
    let cause = find::<io::Error>(error);
    if is_local(error) && cause.is_some_and(is_out_of_descriptors) {
        return Some("\"ulimit -n\" shows the limit of open descriptors");
    }
    let by_kernel = cause.is_some_and(|cause| cause.raw_os_error().is_some());
    let cause = cause.map(io::Error::kind);
    match (find::<BindError>(error), cause) {
        (Some(_), Some(io::ErrorKind::AddrInUse)) if by_kernel => {
            Some("\"ss -lp\" shows which process listens there")
        }
        (Some(BindError::Bind(error)), _) => hints::socket::bind_error(error),
        _ if matches!(find(error), Some(StartError::Descriptors { .. })) => {
            Some("raise \"ulimit -n\", or lower --max-connections")
        }
        _ => None,
    }
}

/// Whether whoever reads our output has had enough, which is no failure.
fn is_closed_pipe(error: &Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    let is_broken = match find(error) {
        Some(TalkError::Output(error)) => broken(error),
        _ => call_error(error).is_none() && find(error).is_some_and(broken),
    };
    is_broken && output_has_no_reader()
}

/// Whether nobody reads standard output any more. EPIPE alone does not say so: it may have come from anything else.
fn output_has_no_reader() -> bool {
    let state = ready([(io::stdout().as_fd(), Interest::Write)], Some(Duration::ZERO));
    // It is not waited for as readable, so that it is means an error or a hang-up.
    state.is_ok_and(|[output]| output.readable)
}

/// In a word, how a call has failed.
pub(crate) fn word(error: &Error) -> Option<FailureKind> {
    call_error(error).and_then(ClientError::failure_kind)
}

/// Whether an error of asking a peer is this machine's failure.
pub(crate) fn is_local(error: &Error) -> bool {
    call_error(error).is_some_and(ClientError::is_local)
}

/// The failed call behind an error, if there is one.
fn call_error(error: &Error) -> Option<&ClientError> {
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(TalkError::Peer(error)) => Some(error),
        _ => match cause.downcast_ref() {
            Some(LoadError::Connect(error)) => Some(error),
            _ => cause.downcast_ref().or_else(|| cause.downcast_ref().map(|Advised { error, .. }| error)),
        },
    })
}

fn find<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_at(endpoint: &str, word: Option<FailureKind>) -> Option<String> {
        start_hint(&endpoint.parse().unwrap(), word, ", or try --self")
    }

    #[test]
    fn where_our_server_may_be_missing_it_is_said_how_to_start_it() {
        let refused = Some(FailureKind::Refused);
        for here in ["tcp://localhost", "udp://127.0.0.1", "tcp://[::1]:21567", "tcp://*"] {
            let hint = hint_at(here, refused).unwrap();
            assert_eq!(hint, "start one with \"sounder serve\", or try --self", "{here}");
            // Somebody is there.
            assert_eq!(hint_at(here, Some(FailureKind::Timeout)), None, "{here}");
        }
        let mptcp = hint_at("mptcp://localhost", refused).unwrap();
        assert!(mptcp.starts_with("start one with \"sounder serve mptcp://localhost\""), "{mptcp}");
        for word in [FailureKind::Refused, FailureKind::Timeout] {
            let there = hint_at("udp://example.net", Some(word)).unwrap();
            assert!(there.starts_with("is \"sounder serve udp://\" running on example.net?"), "{there}");
            assert!(there.ends_with("listens on localhost only"), "{there}");
        }
    }

    #[test]
    fn elsewhere_nothing_is_said_of_our_server() {
        for (endpoint, word) in [
            ("tcp://example.net:80", Some(FailureKind::Refused)),
            ("tcp://localhost:80", Some(FailureKind::Refused)),
            ("unix:/run/x", Some(FailureKind::Refused)),
            ("tcp://example.net", Some(FailureKind::Closed)),
            ("tcp://example.net", Some(FailureKind::Dns)),
            ("tcp://example.net", None),
        ] {
            assert_eq!(hint_at(endpoint, word), None, "{endpoint} {word:?}");
        }
    }
}
