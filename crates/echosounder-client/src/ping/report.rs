//! The result of measuring one target.

use std::time::Duration;

use echosounder_proto::stamp::LossDirection;
use echosounder_proto::{FailureKind, LossReason};

use super::directions::PeerClockReport;
use super::seen::SeenReport;
use super::series::Series;
use super::tcp_watch::TcpReport;
use crate::distribution::Distribution;

/// Delays that vary by less, in nanoseconds, are steady.
const STEADY_NS: i64 = 20_000;

/// The percentile up to which delays are compared.
const USUAL_PERCENT: f64 = 95.0;

/// A variation of that many times this machine's own wake-up delay is explained by it: the peer may
/// be slower, and it sleeps longer.
const WAKE_UPS: i64 = 2;

/// Which timestamps the replies of a server have.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimestampSupport {
    /// None that shows a time.
    None,
    /// The time of the reply in whole seconds.
    Seconds,
    /// The time of the reply, finer than a second.
    Single,
    /// When the request was received and when the reply was sent.
    RxTx,
}

/// Where delay varies.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nowhere noticeably.
    Steady,
    /// In the outbound direction.
    Up,
    /// In the return direction.
    Down,
    /// In both directions.
    Both,
    /// In the server.
    Server,
}

/// By how much delay varies in each part of a round trip, in nanoseconds: from the minimum to the
/// 95th percentile.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spreads {
    /// In the outbound direction.
    pub up_ns: i64,
    /// In the return direction.
    pub down_ns: i64,
    /// In the server.
    pub server_ns: i64,
}

/// How many requests were lost, by reason.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LossCounts {
    /// Nothing listened at the address.
    pub refused: u64,
    /// No reply arrived in time.
    pub timeout: u64,
    /// There was no route to the peer.
    pub unreachable: u64,
    /// The name had no address.
    pub dns: u64,
    /// The connection was closed.
    pub closed: u64,
    /// This host had no buffer space to send the request.
    pub not_sent: u64,
    /// The request was longer than the path MTU and must not be fragmented.
    pub too_long: u64,
}

impl LossCounts {
    /// Returns the number of lost requests.
    pub fn total(&self) -> u64 {
        let by_peer = self.refused + self.timeout + self.unreachable + self.dns + self.closed;
        by_peer + self.not_sent + self.too_long
    }

    /// Returns the most frequent failure of the peer.
    pub fn most_frequent(&self) -> Option<FailureKind> {
        let counts = [
            (self.refused, FailureKind::Refused),
            (self.timeout, FailureKind::Timeout),
            (self.unreachable, FailureKind::Unreachable),
            (self.dns, FailureKind::Dns),
            (self.closed, FailureKind::Closed),
        ];
        let failed = counts.into_iter().filter(|(count, _)| *count != 0);
        failed.max_by_key(|(count, _)| *count).map(|(_, kind)| kind)
    }

    /// Returns the count of one reason.
    pub(super) fn of(&mut self, reason: LossReason) -> &mut u64 {
        match reason {
            LossReason::Peer(FailureKind::Refused) => &mut self.refused,
            LossReason::Peer(FailureKind::Timeout) => &mut self.timeout,
            LossReason::Peer(FailureKind::Unreachable) => &mut self.unreachable,
            LossReason::Peer(FailureKind::Dns) => &mut self.dns,
            LossReason::Peer(FailureKind::Closed) => &mut self.closed,
            LossReason::NotSent => &mut self.not_sent,
            LossReason::TooLong => &mut self.too_long,
        }
    }
}

/// The delay of round trips or of one direction, and how it varied.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DelayReport {
    /// The delay.
    pub delay: Distribution,
    /// The interarrival jitter of RFC 3550 §6.4.1, in nanoseconds.
    pub jitter_ns: Option<f64>,
    /// The absolute difference to the delay of the request before (RFC 3393).
    pub variation: Distribution,
}

/// The result of one target's measurement. [`Ping`](crate::Ping) has an example.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PingReport {
    /// Requests that were replied to in time.
    pub answered: u64,
    /// Requests that were replied to after the timeout.
    pub late: u64,
    /// Requests that were not replied to.
    pub lost: LossCounts,
    /// How long after they were sent requests were refused, as far as that is known: then the host is
    /// up, though nothing listens at the address.
    pub refused_after: Distribution,
    /// The direction in which requests were lost, if the peer is a STAMP reflector that counts
    /// (RFC 8762 section 4.3). The sum is the number of lost requests.
    pub loss_direction: Option<LossDirection>,
    /// Further replies to the same request.
    pub duplicate: u64,
    /// Requests whose reply arrived after the reply to a later request (RFC 4737).
    pub reordered: u64,
    /// Messages that match no request.
    pub unexpected: u64,
    /// Requests that were skipped because the machine stood still when they were due.
    pub skipped: u64,
    /// The time from the first request to the last event.
    pub elapsed: Duration,
    /// Round trips, in time or late.
    pub rtt: DelayReport,
    /// Round trips without the time in this host's queues: from when the kernel handed the request
    /// to the network interface until it received the reply. Empty if it does not report that: over
    /// anything but UDP.
    pub wire: Distribution,
    /// How long requests waited in the queue of this host's network interface, as far as the kernel
    /// has reported that. Empty in a closed loop.
    pub queue: Distribution,
    /// How long the server held requests.
    pub server: Distribution,
    /// The outbound direction. If the clocks are unrelated, the minimum delays of both directions
    /// are assumed to be equal.
    ///
    /// There may be fewer delays than replies: on a stream, a server that stamps what one read
    /// returns ([framing by size](echosounder_proto::Framing)) stamps several requests once.
    pub up: DelayReport,
    /// The return direction.
    pub down: DelayReport,
    /// How long after they were due requests were sent.
    pub send_delay: Distribution,
    /// How long after the program the kernel sent requests, as far as it has reported that.
    pub kernel_tx_delay: Distribution,
    /// How long before the program the kernel received replies, as far as it has reported that.
    pub kernel_rx_delay: Distribution,
    /// The state of the peer's clock, as far as the measurement shows it.
    pub clock: PeerClockReport,
    /// Which timestamps the replies had.
    pub timestamps: TimestampSupport,
    /// What the peer reports beside its timestamps.
    pub seen: SeenReport,
    /// The kernel's knowledge of the TCP connections; `None` if the target is none.
    pub tcp: Option<TcpReport>,
    /// The time from the start, looking the name up and connecting included, to the first reply;
    /// `None` without a reply.
    pub up_after: Option<Duration>,
    /// The measurement over time.
    pub series: Series,
}

impl PingReport {
    /// Returns the number of requests that were replied to or lost.
    pub fn sent(&self) -> u64 {
        self.answered + self.late + self.lost.total()
    }

    /// Returns the percentage of lost requests, 0 to 100.
    pub fn loss_percent(&self) -> f64 {
        match self.sent() {
            0 => 0.0,
            sent => self.lost.total() as f64 / sent as f64 * 100.0,
        }
    }

    /// Returns the shortest round-trip time; `None` if no reply arrived. [`rtt`](Self::rtt) has the
    /// whole distribution.
    pub fn min(&self) -> Option<Duration> {
        self.rtt.delay.min().map(span)
    }

    /// Returns the mean round-trip time; `None` if no reply arrived.
    pub fn mean(&self) -> Option<Duration> {
        self.rtt.delay.mean().map(|nanos| Duration::from_secs_f64(nanos.max(0.0) / 1e9))
    }

    /// Returns the longest round-trip time; `None` if no reply arrived.
    pub fn max(&self) -> Option<Duration> {
        self.rtt.delay.max().map(span)
    }

    /// Returns the given percentile of the round-trip times, or `None` if none lies above it: fewer
    /// than 100 replies have no 99th percentile. `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        self.rtt.delay.percentile(percent).map(span)
    }

    /// Returns whether requests have waited in this host's queues for long enough to be noticed.
    pub fn has_queued(&self) -> bool {
        self.queue.rank(USUAL_PERCENT).is_some_and(|usual| STEADY_NS < usual)
    }

    /// Returns how long this machine takes to run a thread that has become ready, in nanoseconds:
    /// the 95th percentile over replies or requests. The peer is assumed to be no better: its
    /// wake-ups are within `up`, since it takes its first time when it has received the request.
    fn wake_up_ns(&self) -> i64 {
        let usual = |times: &Distribution| times.rank(USUAL_PERCENT).unwrap_or(0);
        usual(&self.kernel_rx_delay).max(usual(&self.send_delay))
    }

    /// Returns where delay varies, and by how much in each part of a round trip; `None` if there
    /// are fewer than two one-way delays. A variation that the scheduling of both machines explains
    /// is steady.
    pub fn verdict(&self) -> Option<(Verdict, Spreads)> {
        // Up to a percentile, so that no single delay decides.
        let spread = |times: &Distribution| Some(times.rank(USUAL_PERCENT)?.saturating_sub(times.min()?));
        if self.up.delay.count() < 2 {
            return None;
        }
        let (up, down) = (spread(&self.up.delay)?, spread(&self.down.delay)?);
        let server = spread(&self.server).unwrap_or(0);
        let tenth = self.rtt.delay.min().unwrap_or(0) / 10;
        let verdict = match up.max(down).max(server) {
            most if most <= STEADY_NS.max(tenth).max(self.wake_up_ns().saturating_mul(WAKE_UPS)) => {
                Verdict::Steady
            }
            _ if up.max(down).saturating_mul(2) <= server => Verdict::Server,
            _ if down.saturating_mul(2) <= up => Verdict::Up,
            _ if up.saturating_mul(2) <= down => Verdict::Down,
            _ => Verdict::Both,
        };
        Some((verdict, Spreads { up_ns: up, down_ns: down, server_ns: server }))
    }
}

fn span(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// What happened since the last such report.
///
/// [`Ping::run_with`](crate::Ping::run_with) has an example.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PingInterval {
    /// Requests that were replied to.
    pub answered: u64,
    /// Requests that were lost.
    pub lost: u64,
    /// The round trips.
    pub rtt: Distribution,
}
