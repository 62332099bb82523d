//! The options of a load.

use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_socket::{Endpoint, StopToken};

use super::pace::Pace;
use crate::connect::{ConnectOptions, ConnectProbe};

/// Messages per second that another host receives at most, unless [`LoadOptions::allow_remote`] is set.
pub const REMOTE_RATE_MAX: f64 = 100_000.0;

/// The longest message of a load, in bytes: 1 MiB.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The highest rate of an open loop, in messages per second: one each nanosecond.
pub(super) const RATE_MAX: f64 = 1e9;

/// The default number of connections.
const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(10).expect("10 is not 0");

/// How long a load is measured, unless it is set.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// How long to wait for each reply, unless it is set.
const DEFAULT_WAIT: Duration = Duration::from_secs(2);

/// The options of a [`load`](fn@super::load).
///
/// [`Load`](super::Load) is a simpler way to generate load.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The target, and how to connect to it. Its wait is also the timeout of each reply.
    pub connect: ConnectOptions,
    /// The number of connections, or of sockets if the transport has no connections.
    pub connections: NonZeroUsize,
    /// When messages are sent.
    pub pace: Pace,
    /// Makes a new connection for each message and closes it after the reply; `None` sends all
    /// messages over the same connections. [`connections`](Self::connections) is then the maximum
    /// at a time, and latency includes the time to connect.
    pub connect_each: Option<ConnectProbe>,
    /// The size of messages.
    pub sizes: SizeRange,
    /// How long the load runs before it is measured.
    pub warm_up: Duration,
    /// How long the load is measured; `None` means until [`messages`](Self::messages) are sent, or
    /// until it is stopped.
    pub duration: Option<Duration>,
    /// The maximum number of measured messages; `None` means no limit.
    pub messages: Option<u64>,
    /// The number of threads that send.
    pub threads: NonZeroUsize,
    /// Whether another host may receive more than [`REMOTE_RATE_MAX`].
    pub allow_remote: bool,
    /// The interval of [`Checkpoint`](super::LoadEvent::Checkpoint) events; `None` means no
    /// checkpoints.
    pub checkpoint_every: Option<Duration>,
    /// Ends the load early once it is set.
    pub stop: StopToken,
}

impl LoadOptions {
    /// Returns the options of a load on 10 connections that sends a message of 64 bytes on each as
    /// soon as the reply to the former has arrived, for 10 seconds, from one thread.
    pub fn new(endpoint: Endpoint, stop: StopToken) -> Self {
        Self {
            connect: ConnectOptions::new(endpoint).wait(DEFAULT_WAIT),
            connections: DEFAULT_CONNECTIONS,
            pace: Pace::Closed { depth: 1 },
            connect_each: None,
            sizes: SizeRange { min: 64, max: 64 },
            warm_up: Duration::ZERO,
            duration: Some(DEFAULT_DURATION),
            messages: None,
            threads: NonZeroUsize::MIN,
            allow_remote: false,
            checkpoint_every: None,
            stop,
        }
    }
}

/// The smallest and the largest size of messages, in bytes. Sizes between them are equally likely.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeRange {
    /// The smallest size, at least 1.
    pub min: usize,
    /// The largest size, at least `min` and at most [`MESSAGE_BYTES_MAX`].
    pub max: usize,
}
