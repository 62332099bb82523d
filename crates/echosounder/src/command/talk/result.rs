//! The outcome of a conversation or a pipe: the exit status, and the error that counts missing
//! replies.

use std::io;

use anyhow::Result;
use echosounder_client::{ClientError, Eol, FailureKind, PipeSummary, TalkEnd, TalkSummary};
use echosounder_socket::{Error, Kind};

use crate::config;
use crate::failure::{self, Advised, Outcome};
use crate::output::Output;
use crate::render::numbers::counted;
use crate::render::numbers::grouped;

/// The usual reason why a server replies to no line.
const EOL_HINT: &str = "a server that reads whole lines needs --eol lf or --eol crlf";

/// Returns the outcome of a conversation.
pub(super) fn of_talk(
    config: &config::Talk,
    output: Output,
    summary: TalkSummary,
    is_interactive: bool,
) -> Result<Outcome> {
    if summary.close_reason == TalkEnd::TimeLimit {
        return time_over(config, output);
    }
    let without_reply = summary.sent - summary.replied;
    // A user who stops the conversation does not wait for the reply that is in flight.
    let is_stopped =
        summary.close_reason == TalkEnd::Stopped && (is_interactive || summary.failure.is_none());
    if summary.unsent == 0 && (without_reply == 0 || is_stopped) {
        return Ok(Outcome::Done);
    }
    if is_interactive && summary.close_reason == TalkEnd::Peer {
        return fail(config, output, summary.failure, "the last line got no reply".into());
    }
    // A person has seen a message about each line, and --quiet hides all but the exit status.
    if output.quiet || is_interactive {
        return Ok(Outcome::Incomplete);
    }
    let missing = missing_lines(without_reply, &summary);
    if summary.failure != Some(FailureKind::Timeout) {
        return fail(config, output, summary.failure, missing);
    }
    let endpoint = &config.connect.endpoint;
    let cause = io::Error::other(format!("{missing} within {:?}", config.connect.wait));
    let error = Error::new("talk to", endpoint, cause);
    let sends_no_newlines = endpoint.transport().kind() == Kind::Stream && config.eol == Eol::None;
    let error = ClientError::Peer(FailureKind::Timeout, error);
    Err(if sends_no_newlines { Advised::new(error, EOL_HINT).into() } else { error.into() })
}

/// Returns how many lines were not sent or got no reply, as a clause.
fn missing_lines(without_reply: u64, summary: &TalkSummary) -> String {
    let total = summary.sent + summary.unsent;
    let or_more = if summary.more_unsent { " or more" } else { "" };
    let of = format!("of {}{or_more}", counted(total, "line"));
    let were = if summary.unsent == 1 { "was" } else { "were" };
    let unsent = grouped(summary.unsent);
    match (without_reply, summary.unsent) {
        (_, 0) => format!("{} {of} got no reply", grouped(without_reply)),
        (0, _) => format!("{unsent} {of} {were} not sent"),
        _ => format!("{} {of} got no reply, {unsent} {were} not sent", grouped(without_reply)),
    }
}

/// Returns the outcome of a pipe.
pub(super) fn of_pipe(config: &config::Talk, output: Output, summary: PipeSummary) -> Result<Outcome> {
    let unsent = summary.unsent_bytes;
    let (failure, cause) = match summary.failure {
        _ if summary.close_reason == TalkEnd::TimeLimit => return time_over(config, output),
        _ if summary.close_reason == TalkEnd::Stopped => return Ok(Outcome::Done),
        None if unsent == 0 => return Ok(Outcome::Done),
        Some(failure) if unsent == 0 => return Err(failure.into()),
        Some(failure) => (failure.failure_kind(), "the connection was lost"),
        None => (Some(FailureKind::Closed), "the peer closed the connection"),
    };
    let or_more = if summary.more_unsent { " or more" } else { "" };
    let (unit, were) = if unsent == 1 { ("byte", "was") } else { ("bytes", "were") };
    let unsent = grouped(unsent);
    let message = format!("{cause}: {unsent} {unit}{or_more} of the input {were} not sent");
    fail(config, output, failure, message)
}

fn time_over(config: &config::Talk, output: Output) -> Result<Outcome> {
    let deadline = config.deadline.unwrap_or_default();
    fail(config, output, Some(FailureKind::Timeout), format!("stopped after {deadline:?} (--deadline)"))
}

/// Returns a failure of the peer as an error. Without one the message is printed, and the outcome
/// is incomplete.
fn fail(
    config: &config::Talk,
    output: Output,
    failure: Option<FailureKind>,
    cause: String,
) -> Result<Outcome> {
    let endpoint = &config.connect.endpoint;
    match failure {
        Some(kind) => {
            let error = Error::new("talk to", endpoint, io::Error::other(cause));
            Err(ClientError::Peer(kind, error).into())
        }
        None => {
            failure::report(&anyhow::anyhow!("cannot talk to {endpoint}: {cause}"), output);
            Ok(Outcome::Incomplete)
        }
    }
}
