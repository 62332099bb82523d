//! Properties of the limits of datagram replies, for any limits and any requests.

use std::collections::BTreeMap;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use echosounder_proto::{
    DropReason, MonoTime, PREFIX_MAX, ReplyForm, ReplyLimits, ReplyMeter, Source, SourcePrefix,
};

use super::script::Script;

/// A port of a UDP responder, which gets one reply per second.
const RESPONDER: u16 = 11_211;

/// Reads the input as a script: the limits, and the requests with the time between them.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let mut limits = ReplyLimits::default();
    [limits.burst, limits.rate, limits.rate_total] =
        [(); 3].map(|()| u32::try_from(script.number() << (script.byte() % 16)).expect("31 bits"));
    let mut run = Run {
        limits,
        // A fixed hash, so that a finding can be repeated.
        meter: ReplyMeter::new(limits, BuildHasherDefault::default()),
        elapsed: Duration::ZERO,
        excess: BTreeMap::new(),
        responses: BTreeMap::new(),
        plain: [0; 2],
    };
    while !script.0.is_empty() {
        run.elapsed += Duration::from_nanos(1 << (script.byte() % 34));
        run.request(&mut script);
    }
}

struct Run {
    limits: ReplyLimits,
    meter: ReplyMeter<BuildHasherDefault<DefaultHasher>>,
    elapsed: Duration,
    /// Bytes beyond the requests' length, by prefix.
    excess: BTreeMap<u32, u64>,
    /// Replies to a responder, by prefix.
    responses: BTreeMap<u32, u64>,
    /// Plain echoes to remote and to trusted hosts.
    plain: [u64; 2],
}

impl Run {
    fn request(&mut self, script: &mut Script<'_>) {
        let (kind, node, len) = (script.byte(), u32::from(script.byte() % 4 == 0), script.number());
        let port = if kind & 1 == 0 { 4000 } else { RESPONDER };
        let reply = match kind & 6 {
            0 => ReplyForm::Plain,
            2 => ReplyForm::Stamped { excess: 0 },
            _ => ReplyForm::Stamped { excess: len % (PREFIX_MAX + 1) },
        };
        let source = match kind >> 3 {
            0 => Source::Verified,
            1 => Source::Trusted,
            _ => Source::Remote { prefix: SourcePrefix::node(node), port },
        };
        let now = MonoTime::from_origin(Duration::from_secs(1) + self.elapsed);
        let verdict = self.meter.admit(source, reply, now);
        match (source, reply) {
            (Source::Verified, _) | (Source::Trusted, ReplyForm::Stamped { .. }) => {
                assert_eq!(verdict, Ok(()), "senders that are not forged have no limit");
            }
            (Source::Remote { port: 4000, .. }, ReplyForm::Stamped { excess: 0 }) => {
                assert_eq!(verdict, Ok(()), "replies of the request's length have no limit");
            }
            (_, ReplyForm::Plain) => assert!(verdict.is_ok() || verdict == Err(DropReason::Rate)),
            _ => {}
        }
        if verdict.is_ok() {
            self.count(source, reply, node);
        }
    }

    fn count(&mut self, source: Source, reply: ReplyForm, node: u32) {
        match (source, reply) {
            (Source::Remote { .. }, ReplyForm::Stamped { excess }) => {
                *self.excess.entry(node).or_default() += excess as u64;
                let all = self.excess.values().sum();
                let least = u32::try_from(2 * PREFIX_MAX).expect("a short prefix");
                self.assert_limited(self.excess[&node], self.limits.burst, self.limits.rate);
                self.assert_limited(all, self.limits.rate_total.max(least), self.limits.rate_total);
            }
            (Source::Remote { .. }, ReplyForm::Plain) => {
                self.plain[0] += 1;
                self.assert_limited(self.plain[0], 100, 10);
            }
            (Source::Trusted, ReplyForm::Plain) => {
                self.plain[1] += 1;
                self.assert_limited(self.plain[1], 10_000, 10_000);
            }
            _ => {}
        }
        if matches!(source, Source::Remote { port: RESPONDER, .. }) {
            *self.responses.entry(node).or_default() += 1;
            self.assert_limited(self.responses[&node], 1, 1);
        }
    }

    /// Asserts that not more was granted than the burst, and the rate since the beginning. A rate of zero
    /// grants nothing.
    fn assert_limited(&self, granted: u64, burst: u32, per_second: u32) {
        let burst = if per_second == 0 { 0 } else { u128::from(burst) };
        let refilled = (u128::from(per_second) * self.elapsed.as_nanos()).div_ceil(1_000_000_000);
        assert!(u128::from(granted) <= burst + refilled, "{granted} of {burst} and {refilled}");
    }
}
