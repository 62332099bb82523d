//! What rx_times of the calls of a ping, in bounded memory however many there are.

use std::time::Duration;

use echosounder_proto::{FailureKind, LossReason, MonoTime, Sample, Timestamp};

use super::directions::{Clock, Directions, Jitter, OneWayDelay, PeerClockReport, Variation};
use super::series::Series;
use crate::distribution::Distribution;

/// Delays that vary by less are steady.
const STEADY: i64 = 20_000;

/// The percentile up to which delays are compared.
const USUAL: f64 = 95.0;

/// So many times this machine's own wake-up explain what varies: the peer may be slower, and it sleeps longer.
const WAKE_UPS: i64 = 2;

/// What the answers of a peer tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimestampSupport {
    /// Nothing but the message: it is an echo without a stamp.
    None,
    /// The second in which it answered.
    Seconds,
    /// The time when it answered.
    Single,
    /// When the message arrived, and when the answer left.
    RxTx,
}

/// Whether, and on which way, delay varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nowhere worth speaking of.
    Steady,
    /// On the way up.
    Up,
    /// On the way down.
    Down,
    /// On both ways.
    Both,
    /// In the server.
    Server,
}

/// A count for each way in which calls fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Nobody listened there.
    pub refused: u64,
    /// Nothing rx_times in time.
    pub timeout: u64,
    /// There was no way there.
    pub unreachable: u64,
    /// The name had no address, when it was looked up again.
    pub dns: u64,
    /// The connection was cut off.
    pub closed: u64,
    /// There was no room to send it.
    pub unsent: u64,
}

impl Failures {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.refused + self.timeout + self.unreachable + self.dns + self.closed + self.unsent
    }

    /// The way in which most of them failed, if that was the peer's.
    pub fn most(&self) -> Option<FailureKind> {
        let counts = [
            (self.refused, FailureKind::Refused),
            (self.timeout, FailureKind::Timeout),
            (self.unreachable, FailureKind::Unreachable),
            (self.dns, FailureKind::Dns),
            (self.closed, FailureKind::Closed),
        ];
        counts
            .into_iter()
            .filter(|(count, _)| *count != 0)
            .max_by_key(|(count, _)| *count)
            .map(|(_, word)| word)
    }

    fn of(&mut self, reason: LossReason) -> &mut u64 {
        match reason {
            LossReason::Peer(FailureKind::Refused) => &mut self.refused,
            LossReason::Peer(FailureKind::Timeout) => &mut self.timeout,
            LossReason::Peer(FailureKind::Unreachable) => &mut self.unreachable,
            LossReason::Peer(FailureKind::Dns) => &mut self.dns,
            LossReason::Peer(FailureKind::Closed) => &mut self.closed,
            LossReason::NotSent => &mut self.unsent,
        }
    }
}

/// How the delay on one way was distributed, and how it varied.
#[derive(Clone, Debug, Default)]
pub struct WayReport {
    /// The delay.
    pub delay: Distribution,
    /// RFC 3550 §6.4.1, in nanoseconds.
    pub jitter: Option<f64>,
    /// The difference to the call before, whichever was longer: RFC 3393.
    pub variation: Distribution,
}

/// What rx_times of the calls to one target.
#[derive(Clone, Debug)]
pub struct PingReport {
    /// Calls that were answered in time.
    pub answered: u64,
    /// Calls that were answered later.
    pub late: u64,
    /// Calls that were not answered at all.
    pub lost: Failures,
    /// Answers that rx_times once more.
    pub duplicate: u64,
    /// Calls whose answer rx_times after that to a later call: RFC 4737.
    pub reordered: u64,
    /// What rx_times and answered no call.
    pub stray: u64,
    /// Calls that were left out, since the machine stood still when they were due.
    pub skipped: u64,
    /// From when the first call left until the last was done with.
    pub elapsed: Duration,
    /// There and back, of calls that were answered, in time or late.
    pub rtt: WayReport,
    /// How long the server had them.
    pub server: Distribution,
    /// The way there. Of a clock that is free it assumes that the quickest ways take equally long.
    pub up: WayReport,
    /// The way back.
    pub down: WayReport,
    /// How much later than due the calls left.
    pub lag: Distribution,
    /// How much later than the program the kernel saw calls leave, of those of which it has told.
    pub kernel_sent: Distribution,
    /// How much earlier it saw answers come.
    pub kernel_received: Distribution,
    /// What is known of the peer's clock.
    pub clock: PeerClockReport,
    /// What the answers told.
    pub told: TimestampSupport,
    /// How it went on.
    pub series: Series,
}

impl PingReport {
    /// Calls that are done with.
    pub fn sent(&self) -> u64 {
        self.answered + self.late + self.lost.all()
    }

    /// How much of a hundred calls were lost.
    pub fn loss_percent(&self) -> f64 {
        match self.sent() {
            0 => 0.0,
            sent => self.lost.all() as f64 / sent as f64 * 100.0,
        }
    }

    /// How long this machine takes to run a thread that has something to do, in nanoseconds: what 95 of 100 replies or
    /// requests waited at most. The peer is taken to be no better: its wake-ups are within `up`, since its first time
    /// is taken when it has received the request.
    fn wake_up(&self) -> i64 {
        let usual = |times: &Distribution| times.rank(USUAL).unwrap_or(0);
        usual(&self.kernel_received).max(usual(&self.lag))
    }

    /// Which way the delay varies, and by how much there, back and in the server: from the least to what 95 of 100 did
    /// not exceed, so that no single delay decides. What the scheduling of the two machines explains is steady.
    pub fn verdict(&self) -> Option<(Verdict, [i64; 3])> {
        let spread = |times: &Distribution| Some(times.rank(USUAL)?.saturating_sub(times.min()?));
        if self.up.delay.count() < 2 {
            return None;
        }
        let (up, down) = (spread(&self.up.delay)?, spread(&self.down.delay)?);
        let server = spread(&self.server).unwrap_or(0);
        let tenth = self.rtt.delay.min().unwrap_or(0) / 10;
        let verdict = match [up, down, server].into_iter().max()? {
            most if most <= STEADY.max(tenth).max(self.wake_up().saturating_mul(WAKE_UPS)) => Verdict::Steady,
            _ if up.max(down).saturating_mul(2) <= server => Verdict::Server,
            _ if down.saturating_mul(2) <= up => Verdict::Up,
            _ if up.saturating_mul(2) <= down => Verdict::Down,
            _ => Verdict::Both,
        };
        Some((verdict, [up, down, server]))
    }
}

/// What happened since this was last told.
#[derive(Clone, Debug, Default)]
pub struct PingInterval {
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that were not answered in time.
    pub lost: u64,
    /// The round trips.
    pub rtt: Distribution,
}

/// Counts.
#[derive(Clone, Debug)]
pub(crate) struct Statistics {
    start: MonoTime,
    last: MonoTime,
    answered: u64,
    late: u64,
    lost: Failures,
    duplicate: u64,
    reordered: u64,
    stray: u64,
    rtt: Distribution,
    rtt_jitter: Jitter,
    rtt_variation: Variation,
    server: Distribution,
    lag: Distribution,
    kernel_sent: Distribution,
    kernel_received: Distribution,
    directions: Directions,
    told: TimestampSupport,
    series: Series,
    interval: PingInterval,
}

impl Statistics {
    pub(crate) fn new(clock: Clock, guessed: bool, start: MonoTime) -> Self {
        Self {
            start,
            last: start,
            answered: 0,
            late: 0,
            lost: Failures::default(),
            duplicate: 0,
            reordered: 0,
            stray: 0,
            rtt: Distribution::default(),
            rtt_jitter: Jitter::default(),
            rtt_variation: Variation::default(),
            server: Distribution::default(),
            lag: Distribution::default(),
            kernel_sent: Distribution::default(),
            kernel_received: Distribution::default(),
            directions: Directions::new(clock, guessed),
            told: TimestampSupport::None,
            series: Series::default(),
            interval: PingInterval::default(),
        }
    }

    /// The peer is another from now on.
    pub(crate) fn moved(&mut self, clock: Clock, guessed: bool) {
        self.directions.moved(clock, guessed);
    }

    /// By which clock delays are told.
    pub(crate) fn clock(&self) -> Clock {
        self.directions.clock()
    }

    /// Counts a call that was answered, in time or late, and says what each way took. If it had been given up, that is
    /// taken back.
    pub(crate) fn answered(
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
        let rtt_nanos = i64::try_from(rtt.as_nanos()).unwrap_or(i64::MAX);
        self.rtt.record(rtt_nanos);
        self.rtt_jitter.add(rtt_nanos);
        self.rtt_variation.add(sample.number, rtt_nanos);
        self.lag.record_span(sample.send_delay());
        sample.residence().into_iter().for_each(|residence| self.server.record_span(residence));
        sample.sent.difference().into_iter().for_each(|span| self.kernel_sent.record_span(span));
        sample.received.difference().into_iter().for_each(|span| self.kernel_received.record_span(span));
        self.told = self.told.max(told(sample));
        let ways = self.directions.split(sample);
        self.series.answered(at, rtt, ways.map(|ways| (ways.up, ways.down)));
        self.interval.answered += 1;
        self.interval.rtt.record(rtt_nanos);
        ways
    }

    /// Where in a second the next call is to leave, about then.
    pub(crate) fn edge(&self, next: MonoTime, rtt: Duration) -> Option<Duration> {
        self.directions.edge(next, rtt)
    }

    /// Counts a call that left, or was to leave, at `sent`, and was given up at `at`; without a word it was not sent.
    pub(crate) fn lost(&mut self, reason: LossReason, sent: MonoTime, at: MonoTime) {
        *self.lost.of(reason) += 1;
        self.last = self.last.max(at);
        self.series.lost(sent - self.start);
        self.interval.lost += 1;
    }

    pub(crate) fn duplicate(&mut self) {
        self.duplicate += 1;
    }

    pub(crate) fn stray(&mut self) {
        self.stray += 1;
    }

    /// What has happened since this was last asked.
    pub(crate) fn take_interval(&mut self) -> PingInterval {
        std::mem::take(&mut self.interval)
    }

    pub(crate) fn report(&self, skipped: u64) -> PingReport {
        let (up, down, clock) = self.directions.report(self.last);
        let [up, down] = [up, down].map(|way| WayReport {
            delay: way.delay,
            jitter: way.jitter.nanos(),
            variation: way.variation.distribution,
        });
        PingReport {
            answered: self.answered,
            late: self.late,
            lost: self.lost,
            duplicate: self.duplicate,
            reordered: self.reordered,
            stray: self.stray,
            skipped,
            elapsed: self.last - self.start,
            rtt: WayReport {
                delay: self.rtt.clone(),
                jitter: self.rtt_jitter.nanos(),
                variation: self.rtt_variation.distribution.clone(),
            },
            // A clock that stands still shows no time between two readings.
            server: if clock.stands_still { Distribution::default() } else { self.server.clone() },
            up,
            down,
            lag: self.lag.clone(),
            kernel_sent: self.kernel_sent.clone(),
            kernel_received: self.kernel_received.clone(),
            clock,
            told: self.told,
            series: self.series.clone(),
        }
    }
}

fn told(sample: &Sample) -> TimestampSupport {
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
        Moment, Payload, ProbeEvent, ProbeInput, ProbeOutput, ProbePace, ProbePlan, Prober, TextEcho, Times,
        WallTime,
    };

    use super::*;

    /// Set in the process that measures itself.
    const ALONE: &str = "SOUNDER_TEST_ALONE";

    /// How many calls are simulated.
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

    /// Sends so many requests in simulated time, of which one in a hundred is lost and one in a thousand is
    /// replied to late.
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
            // Delays of all sizes, whatever their number.
            let delay = 1000 + number.wrapping_mul(2_654_435_761) % (1 << (10 + number % 25));
            let delay = if number.is_multiple_of(1001) { 1_500_000_000 } else { delay.min(900_000_000) };
            let (rx, received) = (moment(sent + delay / 3).wall, moment(sent + delay));
            let stamp = format!("[{:019} {:019}] ", rx.as_nanos(), rx.as_nanos() + 10);
            message[..stamp.len()].copy_from_slice(stamp.as_bytes());
            prober.handle(ProbeInput::Received { bytes: &message, at: Times::of(received) });
        }
    }

    /// Does what the prober wants then, and counts what has become of requests.
    fn poll(prober: &mut Prober<TextEcho>, at: u64, message: &mut Vec<u8>, statistics: &mut Statistics) {
        while let Some(output) = prober.poll(moment(at), message) {
            match output {
                ProbeOutput::Send { .. } => return,
                ProbeOutput::Event(ProbeEvent::Replied { sample, given_up }) => {
                    statistics.answered(&sample, false, given_up);
                }
                ProbeOutput::Event(ProbeEvent::Late { sample, given_up }) => {
                    statistics.answered(&sample, true, Some(given_up));
                }
                ProbeOutput::Event(ProbeEvent::Lost { sent, reason, at, .. }) => {
                    statistics.lost(reason, sent.mono, at);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// What comes of requests that take so long up and down each, of which the last is answered by the kernel's times
    /// so much before this program is awake.
    fn verdict(ways: &[(u64, u64)], wake_up: u64) -> Option<Verdict> {
        let mut statistics = Statistics::new(Clock::Same, false, moment(0).mono);
        for (number, (up, down)) in (1..).zip(ways) {
            let sent = number * 1_000_000_000;
            let (rx, rx_times) = (moment(sent + up), moment(sent + up + down));
            let received = Times { program: moment(sent + up + down + wake_up), kernel: Some(rx_times) };
            let timestamp = Some(Timestamp::Ns { rx: rx.wall, tx: rx.wall });
            let sent = Times::of(moment(sent));
            let sample =
                Sample { number, due: sent.program.mono, sent, received, timestamp, reordered: false };
            statistics.answered(&sample, false, None);
        }
        statistics.report(0).verdict().map(|(verdict, _)| verdict)
    }

    #[test]
    fn what_the_scheduling_explains_is_steady() {
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
    #[expect(clippy::print_stderr, reason = "what was measured is worth knowing, not only that it is little")]
    fn memory_does_not_grow_with_the_number_of_calls() {
        if env::var_os(ALONE).is_none() {
            let name = "ping::statistics::tests::memory_does_not_grow_with_the_number_of_calls";
            let alone = Command::new(env::current_exe().unwrap())
                .args(["--exact", name, "--test-threads", "1", "--nocapture"])
                .env(ALONE, "1")
                .output()
                .unwrap();
            let told = String::from_utf8_lossy(&alone.stdout);
            assert!(alone.status.success() && told.contains("1 passed"), "{told}");
            return;
        }
        let count = env::var(SAMPLES).map_or(400_000, |samples| samples.parse().unwrap());
        let pace = ProbePace::Open { interval: Duration::from_millis(1) };
        let plan = ProbePlan { pace, count: None, timeout: Duration::from_secs(1), end: None };
        let start = moment(0).mono;
        let mut prober = Prober::new(TextEcho::messages(Payload::with_placeholder(64)), plan, start);
        let mut statistics = Statistics::new(Clock::Free, false, start);
        // By then it remembers as much as it ever does.
        simulate(&mut prober, &mut statistics, count / 2);
        let before = resident();
        simulate(&mut prober, &mut statistics, count / 2);
        let report = statistics.report(0);
        eprintln!("{} calls: {} KiB, then {} KiB", report.sent(), before / 1024, resident() / 1024);
        assert!(resident() < before + (4 << 20), "{before} {}", resident());
        assert!(count * 99 / 100 <= report.answered + report.late + 2000);
    }
}
