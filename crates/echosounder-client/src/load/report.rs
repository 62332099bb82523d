//! The report of a load, and its verdicts: whether the server failed, and whether the generator was
//! the bottleneck.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use echosounder_proto::FailureKind;
use echosounder_socket::{Error, Kind};

use super::counts::Counts;
use super::error::LoadError;
use super::exchange_times::ExchangeReport;
use super::options::LoadOptions;
use super::over_time::LoadPoint;
use super::tcp_sum::TcpSummary;
use super::thread_result::CpuShare;
use crate::distribution::Distribution;
use crate::error::ClientError;

/// A thread that wanted a processor for this share of the time could not have done more.
const BUSY: f64 = 0.9;

/// Messages that are sent later than this after they were due were delayed by the generator, not by
/// the server.
const SEND_DELAY_MAX: Duration = Duration::from_millis(1);

/// The measurements of a load.
///
/// See [`Load`](crate::Load) for an example.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadReport {
    /// The address of the server, as an endpoint.
    pub peer: String,
    /// The number of connections, or of sockets if the transport has no connections.
    pub connections: NonZeroUsize,
    /// The outcomes of the measured messages.
    pub counts: Counts,
    /// The times from when each message was due until its reply was complete.
    pub latency: Distribution,
    /// The times from when each message of an open loop was due until it was sent. Empty for a
    /// closed loop.
    pub send_delay: Distribution,
    /// The times of the parts of each latency, of a load that makes a connection for each message.
    pub exchanges: Option<ExchangeReport>,
    /// The course of the load, mostly in seconds.
    pub over_time: Vec<LoadPoint>,
    /// The time from the end of the warm-up until the last measured reply.
    pub elapsed: Duration,
    /// How the busiest thread spent its time.
    pub cpu: CpuShare,
    /// How long no reply had arrived when the load gave up, if it did.
    pub silence: Option<Duration>,
    /// The kernel's state of the TCP connections that have ended, which are all at the end of the
    /// load; `None` if there are none.
    pub tcp: Option<TcpSummary>,
    /// Messages sent, including those of the warm-up.
    pub sent_total: u64,
    /// Messages replied to, including those of the warm-up.
    pub answered_total: u64,
}

impl LoadReport {
    /// Returns the replies within the timeout per second.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds == 0.0 { 0.0 } else { self.counts.answered as f64 / seconds }
    }

    /// Returns whether the generator, or a lack of processors for it, was the bottleneck rather
    /// than the server: a closed loop that had no time left, or an open loop that sent one in a
    /// hundred messages a millisecond late.
    pub fn is_generator_limited(&self) -> bool {
        match span(self.send_delay.percentile(99.0)) {
            Some(send_delay) => SEND_DELAY_MAX < send_delay,
            None => self.send_delay.is_empty() && BUSY <= self.cpu.wanted(),
        }
    }

    /// Returns whether more threads would help a generator that is the bottleneck.
    pub fn is_generator_busy(&self) -> bool {
        BUSY <= self.cpu.busy
    }

    /// Returns the server's failure, if it replied to no measured message, or stopped replying.
    pub fn failure(&self) -> Option<LoadError> {
        let counts = &self.counts;
        let has_replied = counts.answered + counts.late != 0;
        let (kind, cause) = match self.silence {
            _ if !has_replied && counts.unexpected != 0 => {
                return Some(LoadError::NotAnEcho(self.peer.clone()));
            }
            _ if !has_replied && self.is_every_connection(counts.connections_closed) => {
                (FailureKind::Closed, "the server closed every connection".to_owned())
            }
            _ if !has_replied && self.is_every_connection(counts.connections_refused) => {
                (FailureKind::Refused, "the server refused every connection".to_owned())
            }
            _ if !has_replied && self.is_every_connection(counts.connections_unreachable) => {
                (FailureKind::Unreachable, "no connection reached the server".to_owned())
            }
            Some(silence) if self.answered_total != 0 => {
                (FailureKind::Timeout, format!("no reply arrived in the last {silence:?}"))
            }
            _ if has_replied || self.sent_total <= self.answered_total => return None,
            _ if self.answered_total != 0 => {
                (FailureKind::Timeout, "no reply arrived after the warm-up".to_owned())
            }
            _ => (FailureKind::Timeout, "no reply arrived".to_owned()),
        };
        let error = Error::new("measure", &self.peer, io::Error::other(cause));
        Some(ClientError::Peer(kind, error).into())
    }

    /// Returns whether `count` is the number of all connections that carried measured messages.
    fn is_every_connection(&self, count: u64) -> bool {
        let all = if self.exchanges.is_some() { self.counts.sent } else { self.connections.get() as u64 };
        all != 0 && count == all
    }

    /// Returns whether every expected reply arrived. Lost datagrams are a part of the measurement,
    /// unless `load` asked for a number of messages.
    pub fn is_complete(&self, load: &LoadOptions) -> bool {
        let may_lose = load.connect.endpoint.transport().kind() == Kind::Datagrams && load.messages.is_none();
        self.counts.answered != 0
            && self.counts.unexpected == 0
            && self.counts.connections_closed == 0
            && (may_lose || self.counts.lost() == 0)
    }

    /// Returns whether no message was due while the load was measured.
    pub fn is_empty(&self) -> bool {
        let counts = &self.counts;
        counts.sent + counts.skipped + counts.connections_closed + counts.unexpected == 0
    }

    /// Returns the given percentile of the latency, or `None` if no latency lies above it.
    /// `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        span(self.latency.percentile(percent))
    }

    /// Returns the 99th percentile of the latency, or the maximum of fewer than a hundred replies.
    pub fn p99_or_max(&self) -> Option<Duration> {
        self.percentile(99.0).or_else(|| span(self.latency.max()))
    }
}

fn span(nanos: Option<i64>) -> Option<Duration> {
    nanos.map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(counts: Counts) -> LoadReport {
        LoadReport {
            peer: "tcp://127.0.0.1:1".into(),
            connections: NonZeroUsize::MIN,
            counts,
            latency: Distribution::default(),
            send_delay: Distribution::default(),
            exchanges: None,
            over_time: Vec::new(),
            elapsed: Duration::from_secs(2),
            cpu: CpuShare::default(),
            silence: None,
            tcp: None,
            sent_total: counts.sent,
            answered_total: counts.answered,
        }
    }

    fn failure_kind(report: &LoadReport) -> Option<FailureKind> {
        match report.failure()? {
            LoadError::Connect(error) => error.failure_kind(),
            error => panic!("{error}"),
        }
    }

    #[test]
    fn failure_depends_on_the_replies() {
        let sent = Counts { sent: 10, ..Counts::default() };
        let answered = Counts { answered: 9, ..sent };
        assert_eq!(failure_kind(&report(answered)), None);
        assert_eq!(failure_kind(&report(Counts { unexpected: 3, ..answered })), None);
        assert_eq!(failure_kind(&report(sent)), Some(FailureKind::Timeout));
        let closed = Counts { connections_closed: 1, ..sent };
        assert_eq!(failure_kind(&report(closed)), Some(FailureKind::Closed));
        let exchanges = |counts| LoadReport { exchanges: Some(ExchangeReport::default()), ..report(counts) };
        assert_eq!(failure_kind(&exchanges(closed)), Some(FailureKind::Timeout));
        let all_closed = Counts { connections_closed: 10, ..sent };
        assert_eq!(failure_kind(&exchanges(all_closed)), Some(FailureKind::Closed));
        let all_refused = Counts { connections_refused: 10, ..sent };
        assert_eq!(failure_kind(&exchanges(all_refused)), Some(FailureKind::Refused));
        let none_reached = Counts { connections_unreachable: 10, ..sent };
        assert_eq!(failure_kind(&exchanges(none_reached)), Some(FailureKind::Unreachable));
        assert_eq!(failure_kind(&exchanges(Counts::default())), None);
        let unexpected = report(Counts { unexpected: 1, ..closed });
        assert!(matches!(unexpected.failure(), Some(LoadError::NotAnEcho(_))));
        // The server replied until it fell silent.
        let silent = LoadReport { silence: Some(Duration::from_secs(3)), ..report(answered) };
        assert_eq!(failure_kind(&silent), Some(FailureKind::Timeout));
        // All replies arrived in the warm-up.
        let warm_up = LoadReport { sent_total: 20, answered_total: 10, ..report(sent) };
        assert_eq!(failure_kind(&warm_up), Some(FailureKind::Timeout));
        // The load was too short for a measured message.
        let empty = LoadReport { sent_total: 10, answered_total: 10, ..report(Counts::default()) };
        assert_eq!(failure_kind(&empty), None);
        assert!(empty.is_empty() && !report(sent).is_empty());
    }

    #[test]
    fn generator_is_the_limit_without_idle_time_or_behind_schedule() {
        let busy =
            |busy, waiting| LoadReport { cpu: CpuShare { busy, waiting }, ..report(Counts::default()) };
        assert!(busy(0.6, 0.4).is_generator_limited() && !busy(0.6, 0.4).is_generator_busy());
        assert!(busy(0.95, 0.0).is_generator_busy());
        assert!(!busy(0.6, 0.2).is_generator_limited());
        let with_delay = |late_of_100: u32| {
            let mut send_delay = Distribution::default();
            for number in 0..100 {
                let delay = if number < late_of_100 { 2 } else { 0 };
                send_delay.record_span(Duration::from_millis(delay));
            }
            LoadReport { send_delay, ..busy(1.0, 0.0) }
        };
        assert!(!with_delay(1).is_generator_limited());
        assert!(with_delay(2).is_generator_limited());
    }
}
