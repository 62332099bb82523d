//! The client side of an echo service with timestamps: connect, send messages, match their replies,
//! and measure.
//!
//! [`Peer`] connects to an endpoint and exchanges single messages. [`Talk`] runs a conversation
//! line by line, and [`Pipe`] passes bytes in both directions at once. [`Pinger`] measures delay
//! and loss, [`load()`] generates load, and [`ramp`] searches for the highest rate that a server
//! sustains. This crate neither serves nor prints.
//!
//! A timeout bounds a whole operation, however many addresses or packets it takes. A
//! [`StopToken`](echosounder_socket::StopToken) ends every wait at once.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! use echosounder_client::{ClientError, ConnectOptions, IpOptions, Peer, RequestOutcome, WaitLimit};
//! use echosounder_socket::{IpVersion, StopToken};
//!
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let endpoint = format!("tcp://{}", listener.local_addr()?).parse()?;
//! # std::thread::spawn(move || {
//! #     let (mut client, _) = listener.accept().expect("a client connects");
//! #     let mut message = [0; 5];
//! #     client.read_exact(&mut message).expect("the client sends a message");
//! #     client.write_all(&[b"[Sun Nov 22 12:19:36 2026] ", &message[..]].concat()).expect("the client reads");
//! # });
//! let options = ConnectOptions {
//!     endpoint,
//!     ip_version: IpVersion::Any,
//!     source: None,
//!     ip_options: IpOptions::default(),
//!     wait: Duration::from_secs(5),
//! };
//! let limit = WaitLimit::new(StopToken::new()?, Duration::MAX);
//! let mut peer = Peer::connect(options, limit)?;
//! let mut reply = Vec::new();
//! let outcome = peer.request(b"hello", &mut |received| {
//!     reply.extend_from_slice(received.bytes);
//!     Ok::<(), ClientError>(())
//! })?;
//! assert_eq!(outcome, RequestOutcome::Replied);
//! assert_eq!(reply, b"[Sun Nov 22 12:19:36 2026] hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![doc(test(attr(deny(unused))))]

mod clock;
mod connect;
mod distribution;
mod error;
mod load;
mod nonblocking;
mod ping;
mod starvation;
mod talk;
mod wait_limit;

pub use clock::SystemClock;
pub use connect::{ConnectOptions, IpOptions, Source};
pub use distribution::Distribution;
pub use echosounder_proto::{FailureKind, LossReason, ProbePace};
pub use error::ClientError;
pub use load::{
    Counts, CpuShare, Generator, Load, LoadError, LoadEvent, LoadInterval, LoadPlan, LoadPoint, LoadReport,
    Pace, PointLatency, REMOTE_RATE_MAX, RampEvent, RampOptions, SizeRange, Spacing, Step, load, ramp,
};
pub use ping::{
    ClockRelation, DelayReport, Drift, KernelTimestamps, LossCounts, Miss, OneWayDelay, Order,
    PeerClockReport, Percent, Ping, PingControl, PingEvent, PingInterval, PingReply, PingReport, Pinger,
    Point, REQUEST_BYTES_MIN, ResolvedTarget, RttRange, STREAM_REQUEST_BYTES_MIN, Series, Spreads,
    TargetEvent, Thresholds, TimestampSource, TimestampSupport, Verdict,
};
pub use talk::{
    BackgroundWriter, CloseReason, Eol, Line, LineFailure, LineSource, Lines, Peer, Pipe, PipeSummary,
    Received, ReceivedKind, RequestOutcome, Talk, TalkError, TalkEvent, TalkMode, TalkSummary,
};
pub use wait_limit::WaitLimit;
