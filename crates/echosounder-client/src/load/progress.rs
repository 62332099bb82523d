//! Watching a load while it runs: intervals, checkpoints, and the sum of all measurements.

use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::exchange_times::ExchangeTimes;
use super::histogram::histogram;
use super::over_time::{OverTime, Totals};
use super::report::LoadReport;
use super::shared::Shared;
use super::tcp_sum::TcpSum;
use super::thread_result::{CpuShare, ThreadResult};
use crate::distribution::Distribution;

/// How often a running load is reported, and the span of a point over time.
const INTERVAL: Duration = Duration::from_secs(1);

/// An event of a running load.
///
/// [`Load::run_with`](crate::Load::run_with) has an example.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadEvent<'a> {
    /// A second has passed.
    Interval(LoadInterval),
    /// The report so far, every [`Load::checkpoint_every`](super::LoadOptions::checkpoint_every).
    Checkpoint(&'a LoadReport),
}

/// The progress of a load, reported every second.
///
/// [`Load::run_with`](crate::Load::run_with) has an example.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadInterval {
    /// The time since the start, including the warm-up.
    pub elapsed: Duration,
    /// Messages sent since the start.
    pub sent: u64,
    /// Messages replied to since the start.
    pub answered: u64,
    /// Replies per second since the previous interval.
    pub rate: f64,
}

/// Watches the threads of a load and sums up their results.
pub(super) struct Progress {
    peer: String,
    connections: NonZeroUsize,
    warm_up: Duration,
    /// The last interval, or the start.
    last: LoadInterval,
    checkpoint_every: Option<Duration>,
    last_checkpoint: Duration,
    /// The request that not every thread has fulfilled.
    request: Option<Request>,
    sum: Sum,
}

/// A request for the threads' results.
#[derive(Clone, Copy)]
struct Request {
    number: u64,
    /// The time since the start.
    at: Duration,
}

impl Progress {
    pub(super) fn new(
        peer: String,
        connections: NonZeroUsize,
        threads: usize,
        warm_up: Duration,
        checkpoint_every: Option<Duration>,
    ) -> Self {
        Self {
            peer,
            connections,
            warm_up,
            last: LoadInterval { elapsed: Duration::ZERO, sent: 0, answered: 0, rate: 0.0 },
            checkpoint_every,
            last_checkpoint: Duration::ZERO,
            request: None,
            sum: Sum::new(threads),
        }
    }

    /// Returns how many messages were sent since the last interval, so within about a second.
    pub(super) fn sent_since_interval(&self, shared: &Shared) -> u64 {
        shared.sent.load(Ordering::Relaxed).saturating_sub(self.last.sent)
    }

    /// Reports the events that are due when the load has run for `elapsed`. Call it several
    /// times per second.
    pub(super) fn report(
        &mut self,
        elapsed: Duration,
        shared: &Shared,
        on_event: &mut impl FnMut(LoadEvent<'_>),
    ) {
        let since_last = elapsed - self.last.elapsed;
        if INTERVAL <= since_last {
            let (sent, answered) =
                (shared.sent.load(Ordering::Relaxed), shared.answered.load(Ordering::Relaxed));
            let rate = (answered - self.last.answered) as f64 / since_last.as_secs_f64();
            self.last = LoadInterval { elapsed, sent, answered, rate };
            on_event(LoadEvent::Interval(self.last));
            self.request.get_or_insert_with(|| Request { number: shared.request_results(), at: elapsed });
        }
        shared.take_results().iter().for_each(|result| self.sum.add(result));
        let Some(request) = self.request.take_if(|request| self.sum.fulfils(request.number)) else { return };
        self.sum.end_point(request.at.saturating_sub(self.warm_up));
        if self.checkpoint_every.is_some_and(|every| every <= elapsed - self.last_checkpoint) {
            self.last_checkpoint = elapsed;
            on_event(LoadEvent::Checkpoint(&self.sum.report(self.peer.clone(), self.connections, shared)));
        }
    }

    /// Returns the report of a load whose threads have all ended.
    pub(super) fn finish(mut self, shared: &Shared) -> LoadReport {
        shared.take_results().iter().for_each(|result| self.sum.add(result));
        self.sum.end_point(self.sum.elapsed());
        self.sum.report(self.peer, self.connections, shared)
    }
}

/// The sum of the threads' results.
struct Sum {
    /// The latest result of each thread, apart from its times.
    latest: Vec<Latest>,
    /// Latencies until the last point of the course over time.
    latency: Histogram<u64>,
    send_delay: Histogram<u64>,
    /// Latencies since that point.
    latency_since: Histogram<u64>,
    over_time: OverTime,
    exchanges: Option<ExchangeTimes>,
    tcp: TcpSum,
}

#[derive(Clone, Copy, Default)]
struct Latest {
    request: u64,
    totals: Totals,
    elapsed: Duration,
    cpu: CpuShare,
    silence: Option<Duration>,
}

impl Sum {
    fn new(threads: usize) -> Self {
        Self {
            latest: vec![Latest::default(); threads],
            latency: histogram(),
            send_delay: histogram(),
            latency_since: histogram(),
            over_time: OverTime::default(),
            exchanges: None,
            tcp: TcpSum::default(),
        }
    }

    fn add(&mut self, result: &ThreadResult) {
        // All histograms have the same bounds, so adding cannot fail.
        let _ = self.latency_since.add(&result.latency);
        if !result.send_delay.is_empty() {
            let _ = self.send_delay.add(&result.send_delay);
        }
        if let Some(times) = &result.exchanges {
            self.exchanges.get_or_insert_default().add(times);
        }
        self.tcp.merge(&result.tcp);
        self.latest[result.thread] = Latest {
            request: result.request,
            totals: Totals { counts: result.counts, in_flight: result.in_flight },
            elapsed: result.elapsed,
            cpu: result.cpu,
            silence: result.silence,
        };
    }

    /// Returns whether every thread has fulfilled a request, or has ended.
    fn fulfils(&self, request: u64) -> bool {
        self.latest.iter().all(|latest| request <= latest.request)
    }

    fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for latest in &self.latest {
            sum.counts.add(&latest.totals.counts);
            sum.in_flight += latest.totals.in_flight;
        }
        sum
    }

    fn elapsed(&self) -> Duration {
        self.latest.iter().map(|latest| latest.elapsed).max().unwrap_or_default()
    }

    /// Ends a point of the course over time at `end` after the warm-up.
    fn end_point(&mut self, end: Duration) {
        if !end.is_zero() {
            self.over_time.add(end, self.totals(), &self.latency_since);
        }
        let _ = self.latency.add(&self.latency_since);
        self.latency_since.reset();
    }

    /// Returns the report until the last point.
    fn report(&self, peer: String, connections: NonZeroUsize, shared: &Shared) -> LoadReport {
        let busiest = self.latest.iter().map(|latest| latest.cpu);
        LoadReport {
            peer,
            connections,
            counts: self.totals().counts,
            latency: Distribution::from_histogram(&self.latency),
            send_delay: Distribution::from_histogram(&self.send_delay),
            exchanges: self.exchanges.as_ref().map(ExchangeTimes::report),
            over_time: self.over_time.points().to_vec(),
            elapsed: self.elapsed(),
            cpu: busiest.max_by(|one, other| one.wanted().total_cmp(&other.wanted())).unwrap_or_default(),
            // If any thread had replies, the server was not silent.
            silence: self.latest.iter().map(|latest| latest.silence).min().flatten(),
            tcp: self.tcp.summary(),
            sent_total: shared.sent.load(Ordering::Relaxed),
            answered_total: shared.answered.load(Ordering::Relaxed),
        }
    }
}
