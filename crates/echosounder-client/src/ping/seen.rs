//! What the peer reports of requests beside its timestamps.

use echosounder_proto::Seen;
use echosounder_proto::stamp::ErrorEstimate;

/// The header fields of requests as they arrived at the peer. `None` means not reported.
///
/// See [`Ping`](crate::Ping) for an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestHeader {
    /// The time to live or hop limit.
    pub ttl: Option<u8>,
    /// The DSCP, from 0 to 63.
    pub dscp: Option<u8>,
    /// The ECN bits, from 0 to 3.
    pub ecn: Option<u8>,
}

impl RequestHeader {
    pub(super) fn of(seen: &Seen) -> Self {
        Self { ttl: seen.ttl, dscp: seen.dscp, ecn: seen.ecn }
    }
}

/// The reports of all replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SeenReport {
    /// The header fields of the last request that was replied to.
    pub header: RequestHeader,
    /// How often a header field differed from that of the reply before.
    pub changes: u64,
    /// How far the peer's clock may be from UTC, as the peer states it.
    pub clock_error: Option<ErrorEstimate>,
}

impl SeenReport {
    /// Takes the report of a reply. Returns whether a header field has changed.
    pub(super) fn add(&mut self, seen: &Seen) -> bool {
        let (before, now) = (self.header, RequestHeader::of(seen));
        let has_changed = before != RequestHeader::default() && before != now;
        self.header = now;
        self.changes += u64::from(has_changed);
        self.clock_error = seen.error_estimate.filter(|error| error.is_valid()).or(self.clock_error);
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_from_the_second_reply_on() {
        let seen = |ttl, dscp| {
            let mut seen = Seen::default();
            (seen.ttl, seen.dscp) = (ttl, dscp);
            seen
        };
        let mut report = SeenReport::default();
        assert!(!report.add(&seen(Some(61), None)));
        assert!(!report.add(&seen(Some(61), None)));
        assert!(report.add(&seen(Some(60), Some(46))));
        assert!(!report.add(&seen(Some(60), Some(46))));
        assert_eq!((report.changes, report.header.ttl, report.header.dscp), (1, Some(60), Some(46)));
    }

    #[test]
    fn an_error_without_a_value_is_not_known() {
        let (mut seen, mut report) = (Seen::default(), SeenReport::default());
        seen.error_estimate = Some(ErrorEstimate::from_bits(0x8000));
        report.add(&seen);
        assert_eq!(report.clock_error, None);
        seen.error_estimate = Some(ErrorEstimate::from_bits(0x8001));
        report.add(&seen);
        assert_eq!(report.clock_error, Some(ErrorEstimate::from_bits(0x8001)));
    }
}
