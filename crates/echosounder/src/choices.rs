//! Arguments that name one of a few values: the names, their help texts and the values of the
//! libraries they stand for.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command};
use echosounder_client::{ClockRelation, Eol, Spacing, TimestampSource};
use echosounder_proto::stamp::TimestampFormat;
use echosounder_socket::option::PathMtuDiscovery;

use crate::output::Transcript;

/// A value parser for a type that is not ours to derive [`clap::ValueEnum`] on, or whose values
/// include a default that is decided later.
#[derive(Debug)]
pub(crate) struct Choices<T: 'static>(&'static [Choice<T>]);

/// The name of a value, the value, and its help text.
type Choice<T> = (&'static str, T, &'static str);

// Not derived, since a derived one would ask for `T: Clone`.
impl<T> Clone for Choices<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T: Copy + Send + Sync + 'static> TypedValueParser for Choices<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let names = PossibleValuesParser::new(self.0.iter().map(possible_value));
        let name = names.parse_ref(command, arg, value)?;
        let chosen = self.0.iter().find(|(known, ..)| *known == name);
        Ok(chosen.expect("the parser of names accepts only names of the list").1)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(possible_value)))
    }
}

fn possible_value<T>((name, _, help): &Choice<T>) -> PossibleValue {
    PossibleValue::new(*name).help(*help)
}

/// The transcript of `serve`; `None` depends on whether standard output is a terminal.
pub(crate) type AutoTranscript = Option<Transcript>;

pub(crate) const TRANSCRIPT: Choices<AutoTranscript> = Choices(&[
    ("auto", None, "\"messages\" on a terminal, otherwise \"off\""),
    ("off", Some(Transcript::Off), "Nothing"),
    ("peers", Some(Transcript::Peers), "Opened and closed connections"),
    ("messages", Some(Transcript::Messages), "Opened and closed connections, and every message"),
]);

/// How a peer's clock relates to ours; `None` depends on the address of the peer.
pub(crate) type AutoClock = Option<ClockRelation>;

pub(crate) const CLOCK: Choices<AutoClock> = Choices(&[
    ("auto", None, "\"same\" for targets on this machine, otherwise \"free\""),
    ("same", Some(ClockRelation::Same), "The clocks are the same: one-way delays are exact"),
    (
        "synced",
        Some(ClockRelation::Synced),
        "NTP or PTP synchronises the clocks: one-way delays are as accurate as that",
    ),
    (
        "free",
        Some(ClockRelation::Free),
        "The clocks are unrelated: one-way delays are shown relative to the fastest seen",
    ),
]);

/// Whether requests may be fragmented; `None` leaves it to the kernel.
pub(crate) const PATH_MTU: Choices<PathMtuDiscovery> = Choices(&[
    ("do", PathMtuDiscovery::DO, "Never fragment: a request that exceeds the path MTU is lost (TOO_LONG)"),
    ("want", PathMtuDiscovery::WANT, "Fragment requests that exceed the path MTU; forbid routers to"),
    ("dont", PathMtuDiscovery::DONT, "Allow routers to fragment requests (IPv4 only)"),
]);

/// Which timestamps measure arrivals; `None` depends on the sockets of all targets.
pub(crate) type AutoTimestamps = Option<TimestampSource>;

pub(crate) const TIMESTAMPS: Choices<AutoTimestamps> = Choices(&[
    ("auto", None, "\"kernel\" if all targets are TCP or UDP, otherwise \"user\""),
    (
        "kernel",
        Some(TimestampSource::Kernel),
        "When the kernel received the packet, without the time this program takes to wake up",
    ),
    ("user", Some(TimestampSource::User), "When this program read the reply"),
]);

pub(crate) const YES_NO: Choices<bool> = Choices(&[("yes", true, ""), ("no", false, "")]);

/// Whether standard error is in JSON.
pub(crate) const LOG_FORMAT: Choices<bool> =
    Choices(&[("text", false, "Lines for people"), ("json", true, "One JSON object per line")]);

/// Whether a STAMP reflector numbers its replies itself.
pub(crate) const STAMP_MODE: Choices<bool> = Choices(&[
    ("stateful", true, "It numbers the replies of each session, which shows the direction of a loss"),
    ("stateless", false, "Replies have the number of their request"),
]);

pub(crate) const STAMP_TIME: Choices<TimestampFormat> = Choices(&[
    ("ntp", TimestampFormat::Ntp, "Seconds since 1900 and a binary fraction (RFC 5905)"),
    ("ptp", TimestampFormat::Ptp, "Seconds since 1970 in UTC and nanoseconds (IEEE 1588, RFC 8186)"),
]);

pub(crate) const SPACING: Choices<Spacing> = Choices(&[
    ("even", Spacing::Even, "Constant intervals"),
    ("poisson", Spacing::Poisson, "Random intervals, as from independent clients (Poisson process)"),
]);

pub(crate) const EOL: Choices<Eol> =
    Choices(&[("lf", Eol::Lf, "Line feed"), ("crlf", Eol::CrLf, "Carriage return and line feed")]);
