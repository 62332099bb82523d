//! The asking side of a stamped echo: it asks. It does not answer and does not print.
//!
//! A [`Peer`] is somebody to ask, at one of the addresses of an endpoint: [`Peer::ask`] sends a message and
//! waits until it has come back. [`Talk`] does so with each line of an input, a [`Pipe`] passes bytes in both directions at once. [`load`](fn@load) puts a load on a server, and
//! [`ramp`](fn@ramp) finds out how much it takes.
//!
//! Time-outs are overall: they bound an operation however many addresses or pieces it takes.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! use echosounder_client::{ConnectOptions, ClientError, IpOptions, Peer, Reply};
//! use echosounder_socket::IpVersion;
//!
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let endpoint = format!("tcp://{}", listener.local_addr()?).parse()?;
//! # std::thread::spawn(move || {
//! #     let (mut client, _) = listener.accept().expect("somebody calls");
//! #     let mut message = [0; 4];
//! #     client.read_exact(&mut message).expect("they say something");
//! #     client.write_all(&[b"[Sun Nov 22 12:19:36 2026] ", &message[..]].concat()).expect("they listen");
//! # });
//! let call = ConnectOptions { endpoint, ip_version: IpVersion::Any, source: None, marks: IpOptions::default(), wait: Duration::from_secs(5) };
//! let mut peer = Peer::call(call)?;
//! let mut answer = Vec::new();
//! let reply = peer.ask(b"ahoy", &mut |heard| {
//!     answer.extend_from_slice(heard.bytes);
//!     Ok::<(), ClientError>(())
//! })?;
//! assert_eq!(reply, Reply::Answered);
//! assert_eq!(answer, b"[Sun Nov 22 12:19:36 2026] ahoy");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod background;
mod clock;
mod connect;
mod directions;
mod distribution;
mod eol;
mod error;
mod lines;
mod load;
mod nonblocking;
mod peer;
mod ping;
mod pipe;
mod series;
mod starvation;
mod statistics;
mod talk;
mod wire;

pub use background::BackgroundWriter;
pub use connect::{ConnectOptions, IpOptions, Source};
pub use directions::{Clock, OneWayDelay, PeerClockReport};
pub use distribution::Distribution;
pub use echosounder_proto::{FailureKind, LossReason};
pub use eol::Eol;
pub use error::ClientError;
pub use lines::{Line, LineSource, Lines};
pub use load::{
    Counts, CpuShare, Load, LoadError, LoadEvent, LoadInterval, LoadPoint, LoadReport, Pace, PointLatency,
    REMOTE_RATE_MAX, SizeRange, Spacing, Step, load, ramp,
};
pub use peer::{Heard, Part, Peer, Reply};
pub use ping::{Answered, CALL_MIN, Control, Ping, PingEvent, Pinger, Place, STREAM_CALL_MIN};
pub use pipe::{Passed, Pipe};
pub use series::{Point, Series};
pub use statistics::{Failures, PingInterval, PingReport, TimestampSupport, Verdict, WayReport};
pub use talk::{End, Manner, Missed, Summary, Talk, TalkError, TalkEvent};
pub use wire::{KernelTimestamps, TimestampSource};
