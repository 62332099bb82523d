//! Measure delay and loss, generate load, and talk to an echo server over every socket family:
//! `sounder ping`, `load` and `talk` inside another program or a test.
//!
//! ```
//! use std::time::Duration;
//! use echosounder_client::{Load, Ping, echo};
//!
//! # let server = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! # let endpoint = &format!("udp://{}", server.local_addr()?);
//! # std::thread::spawn(move || {
//! #     let mut message = [0; 128];
//! #     while let Ok((len, client)) = server.recv_from(&mut message) {
//! #         server.send_to(&message[..len], client).expect("the client waits");
//! #     }
//! # });
//! // let endpoint = "udp://host:21567";
//! assert_eq!(echo(endpoint, b"hello")?, b"hello");
//!
//! let report = Ping::to(endpoint).count(20).interval(Duration::ZERO).run()?;
//! println!("{} % lost, p50 {:?}", report.loss_percent(), report.percentile(50.0));
//!
//! let report = Load::to(endpoint).connections(4).messages(1000).run()?;
//! println!("{:.0} replies per second", report.rate());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | simple | with all options and events |
//! |---|---|---|
//! | measure delay and loss | [`Ping`] | [`Pinger`] with [`PingOptions`] |
//! | generate load | [`Load`] | [`load()`] and [`ramp`] with [`LoadOptions`] |
//! | ask one question | [`echo`], [`Peer::ask`] | [`Peer::request`] |
//! | hold a conversation, line by line | | [`Talk`] |
//! | pass bytes in both directions at once | | [`Pipe`] |
//!
//! A target is a text such as `tcp://host:21567`, an [`Endpoint`], or anything else that is
//! [`ToEndpoint`]. A timeout bounds a whole operation, however many addresses or packets it takes. A
//! [`StopToken`] ends every wait at once. This crate neither serves nor prints, and changes nothing
//! in its process beside its own threads and descriptors.
//!
//! The types of other crates that these signatures need are re-exported: [`socket`] is
//! `echosounder-socket`, [`proto`] is `echosounder-proto`.
#![forbid(unsafe_code)]
#![doc(test(attr(deny(unused))))]

mod clock;
mod connect;
mod distribution;
mod error;
mod exact_timers;
mod load;
mod nonblocking;
mod ping;
mod starvation;
mod talk;
mod tcp_reading;
mod wait_limit;

pub use connect::{ConnectOptions, ConnectProbe, IpOptions, Source};
pub use distribution::Distribution;
pub use echosounder_proto as proto;
pub use echosounder_proto::stamp::LossDirection;
pub use echosounder_proto::{FailureKind, LossReason, ProbePace, WallTime};
pub use echosounder_socket as socket;
pub use echosounder_socket::{Endpoint, IpVersion, StopToken, ToEndpoint};
pub use error::ClientError;
pub use load::{
    Counts, CpuShare, ExchangeReport, Load, LoadError, LoadEvent, LoadInterval, LoadOptions, LoadPoint,
    LoadReport, MESSAGE_BYTES_MAX, Pace, PointLatency, REMOTE_RATE_MAX, RampEvent, RampOptions, SizeRange,
    Spacing, Step, TcpSummary, load, ramp,
};
pub use ping::{
    ClockRelation, DelayReport, Drift, KernelTimestamps, LossCounts, Miss, OneWayDelay, Order,
    PeerClockReport, Percent, Ping, PingControl, PingEvent, PingInterval, PingOptions, PingReply, PingReport,
    Pinger, Point, Probe, REQUEST_BYTES_MAX, REQUEST_BYTES_MIN, Refusal, RequestHeader, ResolvedTarget,
    RttRange, STREAM_REQUEST_BYTES_MIN, SeenReport, Series, Spreads, StampOptions, TargetEvent, TargetResult,
    TcpReport, Thresholds, TimestampSource, TimestampSupport, Verdict,
};
pub use talk::{
    BackgroundWriter, Eol, Line, LineFailure, LineSource, Lines, Peer, Pipe, PipeSummary, Received,
    ReceivedKind, RequestOutcome, Talk, TalkEnd, TalkError, TalkEvent, TalkMode, TalkSummary, echo,
};
pub use wait_limit::WaitLimit;

/// The parts of the client, for this project's tests and programs. They change without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::clock::SystemClock;
    pub use crate::error::with_failure_kinds;
    pub use crate::load::{Generator, LoadPlan};
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
