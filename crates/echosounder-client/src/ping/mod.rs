//! Measuring round trips to many targets at once.
//!
//! A [`Pinger`] drives one session for each target on one thread and one epoll instance. A session
//! joins a [`Prober`](echosounder_proto::Prober), which decides when requests are sent and what
//! becomes of each, to a link, which performs that on a socket, and to the statistics.
//! [`PingControl`] stops the measurement or asks for a report from another thread.

mod builder;
mod connector;
mod context;
mod control;
mod detail;
mod directions;
mod event;
mod follow_name;
mod format;
mod fresh;
mod fresh_sockets;
mod kernel_timestamps;
mod link;
mod pinger;
mod plan;
mod probe;
mod report;
mod resolve_schedule;
mod seen;
mod series;
mod session;
mod statistics;
mod tcp_watch;
mod thresholds;
mod transfer;

pub use builder::{Ping, TargetResult};
pub use control::PingControl;
pub use directions::{ClockRelation, Drift, OneWayDelay, PeerClockReport};
pub use event::{PingEvent, PingReply, ResolvedTarget, TargetEvent};
pub use kernel_timestamps::{KernelTimestamps, TimestampSource};
pub use pinger::{Order, Pinger};
pub use plan::PingOptions;
pub use probe::{Probe, REQUEST_BYTES_MAX, REQUEST_BYTES_MIN, STREAM_REQUEST_BYTES_MIN, StampOptions};
pub use report::{DelayReport, LossCounts, PingInterval, PingReport, Spreads, TimestampSupport, Verdict};
pub use seen::{RequestHeader, SeenReport};
pub use series::{Point, Refusal, RttRange, Series};
pub use tcp_watch::TcpReport;
pub use thresholds::{Miss, Percent, Thresholds};
