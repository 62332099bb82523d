//! Properties of a measurement in virtual time, whatever the network and the server do.

use std::collections::BTreeMap;
use std::time::Duration;

use echosounder_proto::{
    FailureKind, LossReason, LossReport, Moment, MonoTime, Payload, ProbeEvent, ProbeInput, ProbeOutput,
    ProbePace, ProbePlan, Prober, SendStage, TextEcho, Times, WallTime,
};

use super::script::Script;

/// More actions than a prober asks for at one instant: a second's requests at the shortest interval, each
/// lost.
const ACTIONS_MAX: usize = 100_000;

/// Requests that are kept to be replied to.
const SENT_MAX: usize = 64;

/// Reads the input as a script: a plan, and what happens.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let mut session = Session::new(&mut script);
    while !script.0.is_empty() {
        session.step(&mut script);
        session.run();
    }
    session.end();
}

struct Session {
    prober: Prober<TextEcho>,
    count: Option<u64>,
    now: Moment,
    buffer: Vec<u8>,
    /// The last requests that were sent.
    sent: Vec<Vec<u8>>,
    outcomes: BTreeMap<u64, Outcome>,
}

#[derive(Clone, Copy, Default)]
struct Outcome {
    is_lost: bool,
    is_replied: bool,
}

impl Session {
    fn new(script: &mut Script<'_>) -> Self {
        let payload = Payload::new(script.byte());
        let format = if script.byte() % 2 == 1 { TextEcho::stream } else { TextEcho::messages };
        let millis = |script: &mut Script<'_>| Duration::from_millis(script.byte() as u64);
        let count = Some(script.byte() as u64).filter(|count| *count != 0);
        let start = MonoTime::from_origin(Duration::from_secs(1));
        let plan = ProbePlan {
            pace: ProbePace::from_interval(millis(script)),
            count,
            timeout: Duration::from_millis(1) + millis(script) * 8,
            end: Some(millis(script)).filter(|end| !end.is_zero()).map(|end| start + end * 16),
        };
        Self {
            prober: Prober::new(format(payload), plan, start),
            count,
            now: Moment { wall: WallTime::from_nanos(1 << 60), mono: start },
            buffer: Vec::new(),
            sent: Vec::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// Lets one thing happen.
    fn step(&mut self, script: &mut Script<'_>) {
        let (step, choice) = (script.byte() % 14, script.byte());
        let at = self.now.mono;
        let kinds = [FailureKind::Refused, FailureKind::Unreachable, FailureKind::Dns, FailureKind::Closed];
        let kind = kinds[choice % kinds.len()];
        let request = self.sent.get(choice % SENT_MAX).cloned();
        let input = match step {
            0..=2 => return self.pass(Duration::from_micros(100 * (choice as u64).pow(2))),
            3..=5 => {
                let bytes = request.as_deref().unwrap_or(b"?");
                ProbeInput::Received { bytes, at: Times::of(self.now) }
            }
            6 => {
                let bytes = script.bytes(choice);
                ProbeInput::Received { bytes, at: Times { kernel: Some(self.now), ..Times::of(self.now) } }
            }
            7 => {
                let packet = request.as_deref().unwrap_or(b"?");
                ProbeInput::Transmitted { packet, stage: SendStage::Sent, at: self.now.wall }
            }
            8 => ProbeInput::Undelivered {
                packet: request.as_deref(),
                reason: kind.into(),
                report: LossReport::default(),
                at,
            },
            9 => {
                let number = self.prober.requests().saturating_sub(choice as u64 % 4);
                ProbeInput::SendFailed {
                    number,
                    reason: LossReason::NotSent,
                    report: LossReport::default(),
                    at,
                }
            }
            10 => ProbeInput::Blocked(choice % 2 == 1),
            11 => ProbeInput::Disconnected { kind, at },
            12 => {
                let number = self.prober.requests().saturating_sub(choice as u64 % 4);
                ProbeInput::Completed { number, at: Times::of(self.now) }
            }
            _ => {
                let number = self.prober.requests().saturating_sub(choice as u64 % 4);
                ProbeInput::Rejected { number, kind, at }
            }
        };
        self.prober.handle(input);
    }

    fn pass(&mut self, span: Duration) {
        self.now = Moment { wall: self.now.wall + span, mono: self.now.mono + span };
    }

    /// Does what the prober asks for at this instant.
    fn run(&mut self) {
        let mut actions = 0;
        while let Some(output) = self.prober.poll(self.now, &mut self.buffer) {
            match output {
                ProbeOutput::Send { number } => {
                    assert_eq!(number, self.prober.requests(), "requests are numbered without gaps");
                    self.sent.truncate(SENT_MAX - 1);
                    self.sent.insert(0, self.buffer.clone());
                }
                ProbeOutput::Connect if self.now.mono.as_nanos() % 3 == 0 => {
                    self.prober
                        .handle(ProbeInput::ConnectFailed { kind: FailureKind::Refused, at: self.now });
                }
                ProbeOutput::Connect => self.prober.handle(ProbeInput::Connected),
                ProbeOutput::Event(event) => self.note(event),
            }
            actions += 1;
            assert!(actions < ACTIONS_MAX, "the prober asks for a bounded number of actions");
        }
        let requests = self.prober.requests();
        assert!(self.count.is_none_or(|count| requests <= count), "no more requests than planned");
        let waits = self.prober.deadline().is_none_or(|deadline| self.now.mono < deadline);
        assert!(waits || self.prober.is_over(self.now.mono), "nothing is left to do at this instant");
    }

    /// Asserts that a request is lost at most once and replied to at most once, in the order that the
    /// event states.
    fn note(&mut self, event: ProbeEvent) {
        let (number, is_loss, was_lost) = match event {
            ProbeEvent::Replied { sample, given_up } => (sample.number, false, given_up.is_some()),
            ProbeEvent::Late { sample, .. } => (sample.number, false, true),
            ProbeEvent::Lost { number, .. } => (number, true, false),
            ProbeEvent::Duplicate(number) => {
                return assert!(self.outcomes[&number].is_replied, "the first reply is no duplicate");
            }
            ProbeEvent::Unexpected | ProbeEvent::Disconnected => return,
        };
        assert!((1..=self.prober.requests()).contains(&number), "only requests have outcomes");
        let outcome = self.outcomes.entry(number).or_default();
        assert!(!outcome.is_replied, "a request is replied to once");
        assert_eq!(outcome.is_lost, was_lost, "a request counts as lost once");
        if is_loss { outcome.is_lost = true } else { outcome.is_replied = true }
    }

    /// Asserts that a measurement with a count ends by itself, with an outcome for each request, and that
    /// any other ends when it is stopped.
    fn end(mut self) {
        self.prober.handle(ProbeInput::Blocked(false));
        let has_end = self.count.is_some() && self.prober.plan().end.is_none();
        for _ in 0..if has_end { ACTIONS_MAX } else { 0 } {
            self.run();
            if self.prober.is_over(self.now.mono) {
                break;
            }
            let deadline = self.prober.deadline().expect("a measurement that goes on has a deadline");
            self.pass(deadline - self.now.mono);
        }
        if has_end {
            assert!(self.prober.is_over(self.now.mono), "a measurement with a count ends");
            assert_eq!(self.outcomes.len() as u64, self.prober.requests(), "each request has an outcome");
        }
        self.prober.handle(ProbeInput::Stop { at: self.now.mono });
        self.run();
        assert!(self.prober.is_over(self.now.mono) && self.prober.deadline().is_none());
    }
}
