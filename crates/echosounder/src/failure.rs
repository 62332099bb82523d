//! How a command ends: exit status, error message, hint.
//!
//! A command returns an [`Outcome`] or an error. `main` passes the error to
//! [`report_and_exit_code`], which prints it in one line, with a hint if one may help, and decides
//! whether the peer failed (1) or this machine (2).

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Error;
use clap::Command;
use clap::error::ContextKind;
use echosounder_client::internal::with_failure_kinds;
use echosounder_client::{ClientError, FailureKind, LoadError, TalkError};
use echosounder_server::{BindError, StartError};
use echosounder_socket::family::inet::Host;
use echosounder_socket::internal::DEFAULT_PORT;
use echosounder_socket::{Endpoint, Interest, Name, Transport, is_out_of_descriptors, ready};
use serde::Serialize;

use crate::hints;
use crate::output::{Color, Output};
use crate::render::escape::Harmless;
use crate::render::json::{self, EventTime};
use crate::render::numbers::counted;
use crate::render::serve::note;
use crate::render::style::Style;
use crate::stderr::{Losses, stderr};

/// The end of a command that was able to do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything worked.
    Done,
    /// Something did not work: the peer failed, or a reply, a threshold or a socket family is
    /// missing. It is reported already.
    Incomplete,
    /// This machine failed, or a file is wrong, which is reported already.
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

/// Arguments that contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Something wrong in a configuration file: the name of the file, the line and the problem, and a hint.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct FileError {
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
}

impl FileError {
    pub(crate) fn new(text: String) -> Self {
        Self { text, hint: None }
    }
}

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

    /// Returns an error of connecting to an endpoint, with a hint if our server may not be running
    /// there. `instead` ends the hint with an alternative that needs no server.
    pub(crate) fn at(endpoint: &Endpoint, error: ClientError, instead: &str) -> Error {
        match start_hint(endpoint, error.failure_kind(), instead) {
            Some(hint) => Self { error, hint }.into(),
            None => error.into(),
        }
    }
}

/// Returns how to start a server at an endpoint with the default port that failed in this way.
pub(crate) fn start_hint(endpoint: &Endpoint, kind: Option<FailureKind>, instead: &str) -> Option<String> {
    let Name::Inet(host, DEFAULT_PORT) = endpoint.name() else { return None };
    let scheme = endpoint.transport().scheme();
    let is_local = match host {
        Host::Any => true,
        Host::Name(name) => &**name == "localhost",
        Host::V4(ip) => ip.is_loopback() || ip.is_unspecified(),
        Host::V6(ip, _) => ip.is_loopback() || ip.is_unspecified(),
    };
    match (kind?, is_local) {
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

/// The server that `load --self` starts failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a server: {reason}")]
pub(crate) struct OwnServerError {
    /// The error that the server printed.
    pub(crate) reason: String,
    /// Whether this machine lacks the socket family.
    pub(crate) is_absent: bool,
}

/// The server could not change to the user of `--user`.
#[derive(Debug, thiserror::Error)]
#[error("cannot run as user {name}: {operation}")]
pub(crate) struct UserError {
    name: String,
    operation: &'static str,
    #[source]
    cause: io::Error,
}

impl UserError {
    pub(crate) fn new(name: &str, operation: &'static str, cause: io::Error) -> Self {
        Self { name: name.to_owned(), operation, cause }
    }
}

/// A thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {name}")]
pub(crate) struct ThreadError {
    name: &'static str,
    #[source]
    cause: io::Error,
}

impl ThreadError {
    /// Returns a function that makes this error of its cause. `name` says what the thread is for.
    pub(crate) fn of(name: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self { name, cause }
    }
}

/// The hint for socket families that this machine lacks.
pub(crate) const ABSENT_HINT: &str =
    "run \"sounder doctor\" to see which socket types work here and how to enable the rest";

#[derive(Serialize)]
struct Failure<'a> {
    event: &'static str,
    reason: Option<String>,
    error: &'a str,
    hint: Option<&'a str>,
}

/// Prints why a command failed and returns its exit status. A closed pipe on standard output is a
/// success.
pub(crate) fn report_and_exit_code(error: &Error, output: Output) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    report(error, output);
    ExitCode::from(exit_code(error))
}

/// Prints an error and its hint.
pub(crate) fn report(error: &Error, output: Output) {
    let message = sentence(error.chain());
    let hint = hint(error);
    let mut stderr = stderr();
    // If standard error fails too, only the exit status remains.
    let _ = if output.json {
        let reason = failure_kind(error).map(|kind| kind.to_string());
        let failure = Failure { event: "error", reason, error: &message, hint: hint.as_deref() };
        json::event(&mut stderr, &EventTime::now(), &failure)
    } else {
        let style = Style::stderr(output);
        // Arguments and file names may contain control characters.
        writeln!(stderr, "{} {}", style.bad("sounder:"), Harmless(&message)).and_then(|()| {
            hint.map_or(Ok(()), |hint| writeln!(stderr, "{} {}", style.strong("hint:"), Harmless(&hint)))
        })
    };
}

/// Prints how many messages are missing on standard error, at the end of the program.
pub(crate) fn report_losses(losses: &Losses, as_json: bool) {
    if losses.messages == 0 {
        return;
    }
    let cause = match &losses.cause {
        Some(cause) => plain(&cause.to_string()),
        None => "nobody read them in time".to_owned(),
    };
    let text = format!("{} missing on standard error: {cause}", counted(losses.messages, "message"));
    // If standard error still fails, nothing can report it.
    let _ = note(&mut stderr(), &text, as_json);
}

/// Returns whether the command line asks for JSON on standard error, even if it cannot be parsed.
pub(crate) fn is_json_typed() -> bool {
    let typed: Vec<String> = std::env::args_os().map(|typed| typed.to_string_lossy().into_owned()).collect();
    let after_flag = typed.windows(2).find(|pair| pair[0] == "--log-format").map(|pair| pair[1].as_str());
    let format = after_flag.or_else(|| typed.iter().find_map(|typed| typed.strip_prefix("--log-format=")));
    format.map_or_else(|| typed.iter().any(|typed| typed == "--json"), |format| format == "json")
}

/// Prints the help or the version that was asked for, or why `program` rejects its arguments, and
/// returns the exit status.
pub(crate) fn report_usage(error: clap::Error, color: Color, program: &Command) -> ExitCode {
    if error.use_stderr() {
        reject(error, color, program);
        return ExitCode::from(2);
    }
    match print_help(&error, color) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            // If standard error fails too, only the exit status remains.
            let reason = plain(&error.to_string());
            let _ = writeln!(stderr(), "sounder: cannot write standard output: {reason}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Prints what is wrong in a configuration file, and returns the exit status.
pub(crate) fn report_file(errors: Vec<FileError>, color: Color) -> ExitCode {
    let output = Output { json: is_json_typed(), quiet: false, color };
    errors.into_iter().for_each(|error| report(&error.into(), output));
    ExitCode::from(2)
}

fn print_help(error: &clap::Error, color: Color) -> io::Result<()> {
    let style = Style::stdout(Output { json: false, quiet: false, color });
    let text = error.render();
    let text = if style.is_colored() { text.ansi().to_string() } else { text.to_string() };
    let mut stdout = style.wrapped(io::stdout().lock());
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// Prints why arguments are rejected, with a hint of ours in place of clap's if there is one.
fn reject(mut error: clap::Error, color: Color, program: &Command) {
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|typed| typed.to_string_lossy().into_owned()).collect();
    let mut hint = hints::usage::correction(&typed, &error, program);
    if hint.is_some() {
        // The tip "to pass '-u' as a value, use '-- -u'" would contradict the hint.
        error.remove(ContextKind::Suggested);
    }
    let text = error.render().to_string();
    let (sentence, rest) = text.split_once("\n\n").unwrap_or_else(|| (text.trim_end(), ""));
    // Without a command, clap renders the help instead of an error.
    let (label, sentence) =
        sentence.strip_prefix("error: ").map_or(("", sentence), |sentence| ("sounder: ", sentence));
    // The parser of endpoints appends its hint to the sentence.
    let rest = match rest.strip_prefix("hint: ").and_then(|rest| rest.split_once("\n\n")) {
        Some((own, rest)) => {
            hint = Some(own.to_owned());
            rest
        }
        None => rest,
    };
    let mut stderr = stderr();
    // If standard error fails too, only the exit status remains.
    let _ = if is_json_typed() {
        let failure = Failure { event: "error", reason: None, error: sentence, hint: hint.as_deref() };
        json::event(&mut stderr, &EventTime::now(), &failure)
    } else {
        let hint = hint.map_or_else(String::new, |hint| format!("hint: {hint}\n\n"));
        let lines = format!("{label}{sentence}\n\n{hint}{rest}");
        let style = Style::stderr(Output { json: false, quiet: false, color });
        lines.trim_end().lines().try_for_each(|line| {
            let (label, rest) = match line.split_once(": ") {
                Some(("sounder", rest)) => (style.bad("sounder:") + " ", rest),
                Some(("hint", rest)) => (style.strong("hint:") + " ", rest),
                _ => (String::new(), line),
            };
            // Arguments may contain control characters.
            writeln!(stderr, "{label}{}", Harmless(rest))
        })
    };
}

/// Returns an error and its causes in one line, without the numbers of system errors. The failure of
/// a peer begins with its word, such as `REFUSED`.
pub(crate) fn sentence<'a>(chain: impl Iterator<Item = &'a (dyn std::error::Error + 'static)>) -> String {
    let text = |cause: &'a (dyn std::error::Error + 'static)| {
        as_client_error(cause).map_or_else(|| cause.to_string(), with_failure_kinds)
    };
    let parts: Vec<String> = chain.map(|cause| plain(&text(cause))).collect();
    parts.join(": ")
}

/// Returns a message without the additions of std: "Connection refused" for "Connection refused (os
/// error 111)", and only the cause of a failed lookup of a name.
pub(crate) fn plain(message: &str) -> String {
    let mut plain = String::new();
    let mut rest = message.strip_prefix("failed to lookup address information: ").unwrap_or(message);
    while let Some((before, after)) = rest.split_once(" (os error ") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

fn exit_code(error: &Error) -> u8 {
    let by_peer = client_error(error).is_some_and(|error| error.failure_kind().is_some())
        || matches!(find(error), Some(LoadError::NotAnEcho(_)));
    if is_absent(error) || by_peer { 1 } else { 2 }
}

/// Returns whether this machine lacks the socket family that was requested.
fn is_absent(error: &Error) -> bool {
    client_error(error).is_some_and(ClientError::is_family_absent)
        || matches!(find(error), Some(BindError::Absent(_)))
        || matches!(find(error), Some(OwnServerError { is_absent: true, .. }))
}

fn hint(error: &Error) -> Option<String> {
    if let Some(Advised { hint, .. }) = find(error) {
        return Some(hint.clone());
    }
    if let Some(FileError { hint, .. }) = find(error) {
        return hint.clone();
    }
    client_error(error)
        .and_then(hints::socket::client_error)
        .or_else(|| hint_of_cause(error))
        .map(str::to_owned)
}

/// Returns a hint for the cause of an error, whether it comes from the kernel or from this program.
fn hint_of_cause(error: &Error) -> Option<&'static str> {
    if is_absent(error) {
        return Some(ABSENT_HINT);
    }
    if let Some(LoadError::RemoteRate(_)) = find(error) {
        return Some("--yes allows more");
    }
    let cause = find::<io::Error>(error);
    if is_local(error) && cause.is_some_and(is_out_of_descriptors) {
        return Some("\"ulimit -n\" shows the limit of open files");
    }
    let is_thread =
        find::<ThreadError>(error).is_some() || matches!(find(error), Some(StartError::System(_)));
    // EAGAIN of clone(2).
    if is_thread && cause.is_some_and(|cause| cause.kind() == io::ErrorKind::WouldBlock) {
        return Some("\"ulimit -u\", or pids.max of the control group, limits the threads");
    }
    if find::<UserError>(error).is_some_and(|error| error.cause.kind() == io::ErrorKind::PermissionDenied) {
        return Some("--user requires root, or the capabilities CAP_SETUID and CAP_SETGID");
    }
    let by_kernel = cause.is_some_and(|cause| cause.raw_os_error().is_some());
    let cause = cause.map(io::Error::kind);
    match (find::<BindError>(error), cause) {
        (Some(_), Some(io::ErrorKind::AddrInUse)) if by_kernel => {
            Some("\"ss -lp\" shows which process listens there")
        }
        (Some(BindError::Bind(error)), _) => hints::socket::bind_error(error),
        _ => match find(error) {
            // A lower maximum than one connection would not help.
            Some(StartError::Descriptors { wanted: 1, .. }) => Some("raise \"ulimit -n\""),
            Some(StartError::Descriptors { .. }) => Some("raise \"ulimit -n\", or lower --max-connections"),
            _ => None,
        },
    }
}

/// Returns whether the reader of standard output has closed the pipe, which is not a failure.
fn is_closed_pipe(error: &Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    let is_broken = match find(error) {
        Some(TalkError::Output(error)) => broken(error.cause()),
        _ => client_error(error).is_none() && find(error).is_some_and(broken),
    };
    is_broken && output_has_no_reader()
}

/// Returns whether standard output has no reader. EPIPE alone does not prove it, since sockets fail
/// with it too.
fn output_has_no_reader() -> bool {
    let state = ready([(io::stdout().as_fd(), Interest::WRITE)], Some(Duration::ZERO));
    // A pipe without a reader has an error: poll(2).
    state.is_ok_and(|[output]| output.is_error() || output.is_hang_up())
}

/// Returns how the peer failed, if it did.
pub(crate) fn failure_kind(error: &Error) -> Option<FailureKind> {
    client_error(error).and_then(ClientError::failure_kind)
}

/// Returns whether this machine failed, and not the peer.
pub(crate) fn is_local(error: &Error) -> bool {
    client_error(error).is_some_and(ClientError::is_local)
}

/// Returns the error of the client in a chain of causes.
fn client_error(error: &Error) -> Option<&ClientError> {
    error.chain().find_map(as_client_error)
}

/// Returns the error of the client that an error is, or that it displays as its own.
fn as_client_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a ClientError> {
    match error.downcast_ref() {
        Some(TalkError::Peer(error)) => Some(error),
        _ => match error.downcast_ref() {
            Some(LoadError::Connect(error)) => Some(error),
            _ => error.downcast_ref().or_else(|| error.downcast_ref().map(|Advised { error, .. }| error)),
        },
    }
}

fn find<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_at(endpoint: &str, kind: Option<FailureKind>) -> Option<String> {
        start_hint(&endpoint.parse().unwrap(), kind, ", or try --self")
    }

    #[test]
    fn refused_default_port_hints_at_starting_a_server() {
        let refused = Some(FailureKind::Refused);
        for here in ["tcp://localhost", "udp://127.0.0.1", "tcp://[::1]:21567", "tcp://*"] {
            let hint = hint_at(here, refused).unwrap();
            assert_eq!(hint, "start one with \"sounder serve\", or try --self", "{here}");
            // Something listens there.
            assert_eq!(hint_at(here, Some(FailureKind::Timeout)), None, "{here}");
        }
        let mptcp = hint_at("mptcp://localhost", refused).unwrap();
        assert!(mptcp.starts_with("start one with \"sounder serve mptcp://localhost\""), "{mptcp}");
        for kind in [FailureKind::Refused, FailureKind::Timeout] {
            let there = hint_at("udp://example.net", Some(kind)).unwrap();
            assert!(there.starts_with("is \"sounder serve udp://\" running on example.net?"), "{there}");
            assert!(there.ends_with("listens on localhost only"), "{there}");
        }
    }

    #[test]
    fn other_failures_have_no_server_hint() {
        for (endpoint, kind) in [
            ("tcp://example.net:80", Some(FailureKind::Refused)),
            ("tcp://localhost:80", Some(FailureKind::Refused)),
            ("unix:/run/x", Some(FailureKind::Refused)),
            ("tcp://example.net", Some(FailureKind::Closed)),
            ("tcp://example.net", Some(FailureKind::Dns)),
            ("tcp://example.net", None),
        ] {
            assert_eq!(hint_at(endpoint, kind), None, "{endpoint} {kind:?}");
        }
    }
}
