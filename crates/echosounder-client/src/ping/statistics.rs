//! The statistics of one target while it is measured, in bounded memory however many requests there
//! are.

use std::time::Duration;

use echosounder_proto::{FailureKind, LossReason, MonoTime, Sample, Seen, Timestamp};

use super::detail::Detail;
use super::directions::{ClockRelation, Directions, Jitter, OneWayDelay, Variation};
use super::report::{DelayReport, LossCounts, PingInterval, PingReport, TimestampSupport};
use super::seen::SeenReport;
use super::series::Series;
use crate::distribution::Distribution;

/// Counts what becomes of requests.
#[derive(Clone, Debug)]
pub(super) struct Statistics {
    start: MonoTime,
    last: MonoTime,
    answered: u64,
    late: u64,
    lost: LossCounts,
    refused_after: Distribution,
    duplicate: u64,
    reordered: u64,
    unexpected: u64,
    rtt: Distribution,
    rtt_jitter: Jitter,
    rtt_variation: Variation,
    wire: Distribution,
    queue: Distribution,
    server: Distribution,
    send_delay: Distribution,
    kernel_tx_delay: Distribution,
    kernel_rx_delay: Distribution,
    directions: Directions,
    timestamps: TimestampSupport,
    seen: SeenReport,
    series: Series,
    interval: PingInterval,
    detail: Detail,
}

impl Statistics {
    /// Creates statistics of requests from `start` on. The relation of the clocks may be a guess,
    /// which replies can contradict.
    pub(super) fn new(clock: ClockRelation, is_guess: bool, start: MonoTime, detail: Detail) -> Self {
        Self {
            start,
            last: start,
            answered: 0,
            late: 0,
            lost: LossCounts::default(),
            refused_after: detail.coarse_distribution(),
            duplicate: 0,
            reordered: 0,
            unexpected: 0,
            rtt: detail.distribution(),
            rtt_jitter: Jitter::default(),
            rtt_variation: Variation::new(detail),
            wire: detail.coarse_distribution(),
            queue: detail.coarse_distribution(),
            server: detail.minor_distribution(),
            send_delay: detail.minor_distribution(),
            kernel_tx_delay: detail.coarse_distribution(),
            kernel_rx_delay: detail.coarse_distribution(),
            directions: Directions::new(clock, is_guess, detail),
            timestamps: TimestampSupport::None,
            seen: SeenReport::default(),
            series: Series::new(detail.points_max()),
            interval: empty_interval(detail),
            detail,
        }
    }

    /// Notes that the peer is another from now on.
    pub(super) fn moved(&mut self, clock: ClockRelation, is_guess: bool) {
        self.directions.moved(clock, is_guess);
    }

    /// Returns by which relation of the clocks one-way delays are measured.
    pub(super) fn clock(&self) -> ClockRelation {
        self.directions.clock()
    }

    /// Counts a request that was replied to, in time or late, and returns its one-way delays. If it
    /// had counted as lost, that is taken back.
    pub(super) fn replied(
        &mut self,
        sample: &Sample,
        late: bool,
        given_up: Option<LossReason>,
    ) -> Option<OneWayDelay> {
        if late {
            self.late += 1;
        } else {
            self.answered += 1;
        }
        let at = sample.sent.program.mono - self.start;
        if let Some(reason) = given_up {
            let lost = self.lost.of(reason);
            *lost = lost.saturating_sub(1);
            self.series.take_back(at);
        }
        self.reordered += u64::from(sample.reordered);
        self.last = self.last.max(sample.received.program.mono);
        let rtt = sample.rtt();
        let rtt_ns = i64::try_from(rtt.as_nanos()).unwrap_or(i64::MAX);
        self.rtt.record(rtt_ns);
        self.rtt_jitter.add(rtt_ns);
        self.rtt_variation.add(sample.number, rtt_ns);
        self.send_delay.record_span(sample.send_delay());
        sample.wire().into_iter().for_each(|span| self.wire.record_span(span));
        sample.queue().into_iter().for_each(|span| self.queue.record_span(span));
        sample.residence().into_iter().for_each(|residence| self.server.record_span(residence));
        sample.sent.difference().into_iter().for_each(|span| self.kernel_tx_delay.record_span(span));
        sample.received.difference().into_iter().for_each(|span| self.kernel_rx_delay.record_span(span));
        self.timestamps = self.timestamps.max(support(sample));
        let delay = self.directions.split(sample);
        self.series.replied(at, rtt, delay);
        self.interval.answered += 1;
        self.interval.rtt.record(rtt_ns);
        delay
    }

    /// Takes the peer's report on a request. Returns whether a header field has changed.
    pub(super) fn note_seen(&mut self, seen: &Seen) -> bool {
        self.seen.add(seen)
    }

    /// Returns the position within a second at which to send the request that is due at `next`.
    pub(super) fn edge(&self, next: MonoTime, rtt: Duration) -> Option<Duration> {
        self.directions.edge(next, rtt)
    }

    /// Counts a request that was sent or due at `sent`, and counts as lost since `at`. If it was
    /// rejected, that was so long `after` it was sent.
    pub(super) fn lost(&mut self, reason: LossReason, sent: MonoTime, at: MonoTime, after: Option<Duration>) {
        let refused = after.filter(|_| reason == LossReason::Peer(FailureKind::Refused));
        refused.into_iter().for_each(|after| self.refused_after.record_span(after));
        *self.lost.of(reason) += 1;
        self.last = self.last.max(at);
        self.series.lost(sent - self.start, refused);
        self.interval.lost += 1;
    }

    pub(super) fn duplicate(&mut self) {
        self.duplicate += 1;
    }

    pub(super) fn unexpected(&mut self) {
        self.unexpected += 1;
    }

    /// Returns the counts since the previous call, and starts a new interval.
    pub(super) fn take_interval(&mut self) -> PingInterval {
        std::mem::replace(&mut self.interval, empty_interval(self.detail))
    }

    /// Returns the report so far.
    pub(super) fn report(&self, skipped: u64) -> PingReport {
        let (up, down, clock) = self.directions.report(self.last);
        let [up, down] = [up, down].map(|direction| DelayReport {
            delay: direction.delay,
            jitter_ns: direction.jitter.nanos(),
            variation: direction.variation.distribution,
        });
        PingReport {
            answered: self.answered,
            late: self.late,
            lost: self.lost,
            refused_after: self.refused_after.clone(),
            loss_direction: None,
            duplicate: self.duplicate,
            reordered: self.reordered,
            unexpected: self.unexpected,
            skipped,
            elapsed: self.last - self.start,
            rtt: DelayReport {
                delay: self.rtt.clone(),
                jitter_ns: self.rtt_jitter.nanos(),
                variation: self.rtt_variation.distribution.clone(),
            },
            wire: self.wire.clone(),
            queue: self.queue.clone(),
            // A clock that stands still shows no time between two readings.
            server: if clock.stands_still { Distribution::default() } else { self.server.clone() },
            up,
            down,
            send_delay: self.send_delay.clone(),
            kernel_tx_delay: self.kernel_tx_delay.clone(),
            kernel_rx_delay: self.kernel_rx_delay.clone(),
            clock,
            timestamps: self.timestamps,
            seen: self.seen,
            tcp: None,
            up_after: None,
            series: self.series.clone(),
        }
    }
}

fn empty_interval(detail: Detail) -> PingInterval {
    PingInterval { answered: 0, lost: 0, rtt: detail.minor_distribution() }
}

fn support(sample: &Sample) -> TimestampSupport {
    match sample.timestamp {
        None | Some(Timestamp::Ctime(None) | Timestamp::Rfc3339(None)) => TimestampSupport::None,
        Some(Timestamp::Ctime(Some(_))) => TimestampSupport::Seconds,
        Some(Timestamp::Rfc3339(Some(_)) | Timestamp::Unix(_)) => TimestampSupport::Single,
        Some(Timestamp::Ns { .. }) => TimestampSupport::RxTx,
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::process::Command;

    use echosounder_proto::{
        Moment, Payload, ProbeEvent, ProbeInput, ProbeOutput, ProbePace, ProbePlan, Prober, Seen, SendStage,
        TextEcho, Times, WallTime,
    };

    use super::*;
    use crate::ping::report::Verdict;

    /// Set in the process that measures itself.
    const ALONE: &str = "SOUNDER_TEST_ALONE";

    /// How many requests are simulated.
    const SAMPLES: &str = "SOUNDER_TEST_SAMPLES";

    fn moment(nanos: u64) -> Moment {
        let mono = MonoTime::from_origin(Duration::from_nanos(nanos));
        Moment { wall: WallTime::from_nanos(1_795_346_376_000_000_000 + nanos), mono }
    }

    /// Bytes of this process that are in memory.
    fn resident() -> u64 {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    /// Returns whether this is the process in which the test is alone. Otherwise it runs that
    /// process, and fails if that does.
    fn is_alone(test: &str) -> bool {
        if env::var_os(ALONE).is_some() {
            return true;
        }
        let name = format!("ping::statistics::tests::{test}");
        let alone = Command::new(env::current_exe().unwrap())
            .args(["--exact", &name, "--test-threads", "1", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let [stdout, stderr] = [&alone.stdout, &alone.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(alone.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
        false
    }

    /// Sends `count` requests in simulated time. One in a hundred is lost, and one in a thousand
    /// gets its reply late.
    fn simulate(prober: &mut Prober<TextEcho>, statistics: &mut Statistics, count: u64) {
        let last = prober.requests() + count;
        let mut message = Vec::new();
        while prober.requests() < last {
            let sent = prober.due().unwrap().as_nanos();
            poll(prober, sent, &mut message, statistics);
            let number = prober.requests();
            if number.is_multiple_of(100) {
                continue;
            }
            // Delays of all sizes.
            let delay = 1000 + number.wrapping_mul(2_654_435_761) % (1 << (10 + number % 25));
            let delay = if number.is_multiple_of(1001) { 1_500_000_000 } else { delay.min(900_000_000) };
            let (rx, received) = (moment(sent + delay / 3).wall, moment(sent + delay));
            for (stage, after) in [(SendStage::Queued, delay / 9), (SendStage::Sent, delay / 8)] {
                let at = moment(sent + after).wall;
                prober.handle(ProbeInput::Transmitted { packet: &message, stage, at });
            }
            let stamp = format!("[{:019} {:019}] ", rx.as_nanos(), rx.as_nanos() + 10);
            message[..stamp.len()].copy_from_slice(stamp.as_bytes());
            let at = Times { program: received, kernel: Some(moment(sent + delay - delay / 7)) };
            prober.handle(ProbeInput::Received { bytes: &message, at });
        }
    }

    /// Polls the prober until it has a request to send, and counts the outcomes of requests.
    fn poll(prober: &mut Prober<TextEcho>, at: u64, message: &mut Vec<u8>, statistics: &mut Statistics) {
        while let Some(output) = prober.poll(moment(at), message) {
            match output {
                ProbeOutput::Send { .. } => return,
                ProbeOutput::Event(ProbeEvent::Replied { sample, given_up }) => {
                    statistics.replied(&sample, false, given_up);
                }
                ProbeOutput::Event(ProbeEvent::Late { sample, given_up }) => {
                    statistics.replied(&sample, true, Some(given_up));
                }
                ProbeOutput::Event(ProbeEvent::Lost { sent, reason, at, report, .. }) => {
                    statistics.lost(reason, sent.mono, at, report.after);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The verdict over requests with these delays up and down, whose replies the kernel receives
    /// so much before this program is awake.
    fn verdict(delays: &[(u64, u64)], wake_up: u64) -> Option<Verdict> {
        let mut statistics = Statistics::new(ClockRelation::Same, false, moment(0).mono, Detail::Full);
        for (number, (up, down)) in (1..).zip(delays) {
            let sent = number * 1_000_000_000;
            let (rx, rx_times) = (moment(sent + up), moment(sent + up + down));
            let received = Times { program: moment(sent + up + down + wake_up), kernel: Some(rx_times) };
            let timestamp = Some(Timestamp::Ns { rx: rx.wall, tx: rx.wall });
            let sent = Times::of(moment(sent));
            let sample = Sample {
                number,
                due: sent.program.mono,
                sent,
                received,
                timestamp,
                seen: Seen::default(),
                queued: None,
                reordered: false,
            };
            statistics.replied(&sample, false, None);
        }
        statistics.report(0).verdict().map(|(verdict, _)| verdict)
    }

    #[test]
    fn variation_within_the_wake_up_delay_is_steady() {
        // The server needs 60 µs to wake up for every other request; so does this program.
        let noisy: Vec<_> = (0..40).map(|number| (10_000 + number % 2 * 60_000, 10_000)).collect();
        assert_eq!(verdict(&noisy, 2000), Some(Verdict::Up));
        assert_eq!(verdict(&noisy, 40_000), Some(Verdict::Steady));
        // One delay in forty decides nothing, and a single reply even less.
        let mut spiky = vec![(10_000, 10_000); 40];
        spiky[7].0 = 50_000_000;
        assert_eq!(verdict(&spiky, 0), Some(Verdict::Steady));
        assert_eq!(verdict(&spiky[..1], 0), None);
        let down: Vec<_> = (0..40).map(|number| (10_000, 10_000 + number * 1_000_000)).collect();
        assert_eq!(verdict(&down, 40_000), Some(Verdict::Down));
    }

    #[test]
    #[expect(clippy::print_stderr, reason = "the figure is worth knowing, not only that it is small")]
    fn memory_does_not_grow_with_the_number_of_requests() {
        if !is_alone("memory_does_not_grow_with_the_number_of_requests") {
            return;
        }
        let count = env::var(SAMPLES).map_or(400_000, |samples| samples.parse().unwrap());
        let pace = ProbePace::Open { interval: Duration::from_millis(1) };
        let plan = ProbePlan { pace, count: None, timeout: Duration::from_secs(1), end: None };
        let start = moment(0).mono;
        let mut prober = Prober::new(TextEcho::messages(Payload::with_placeholder(64)), plan, start);
        let mut statistics = Statistics::new(ClockRelation::Free, false, start, Detail::Full);
        // By then it remembers as much as it ever does.
        simulate(&mut prober, &mut statistics, count / 2);
        let before = resident();
        simulate(&mut prober, &mut statistics, count / 2);
        let report = statistics.report(0);
        eprintln!("{} requests: {} KiB, then {} KiB", report.sent(), before / 1024, resident() / 1024);
        assert!(resident() < before + (4 << 20), "{before} {}", resident());
        assert!(count * 99 / 100 <= report.answered + report.late + 2000);
    }
    #[test]
    #[expect(clippy::print_stderr, reason = "the figure is worth knowing, not only that it is small")]
    fn one_of_many_targets_takes_at_most_16_kib() {
        const TARGETS: u64 = 200;
        if !is_alone("one_of_many_targets_takes_at_most_16_kib") {
            return;
        }
        let pace = ProbePace::Open { interval: Duration::from_secs(1) };
        let plan = ProbePlan { pace, count: None, timeout: Duration::from_secs(1), end: None };
        let payload = Payload::with_placeholder(64);
        let mut targets = Vec::new();
        let before = resident();
        for _ in 0..TARGETS {
            let prober = Prober::new(TextEcho::messages(payload), plan, moment(0).mono);
            let statistics =
                Statistics::new(ClockRelation::Free, false, moment(0).mono, Detail::of_targets(5000));
            targets.push((prober, statistics));
        }
        for (prober, statistics) in &mut targets {
            simulate(prober, statistics, 300);
        }
        let bytes = (resident() - before) / TARGETS;
        eprintln!("{bytes} bytes for each target");
        assert!(bytes <= 16 << 10, "{bytes}");
    }
}
