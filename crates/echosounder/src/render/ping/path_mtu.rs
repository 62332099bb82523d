//! The path MTU that requests of several sizes show.

use std::fmt;
use std::net::IpAddr;

/// What became of the requests of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeResult {
    /// The size of the message in bytes.
    pub(crate) size: usize,
    /// Whether any request was replied to.
    pub(crate) has_reply: bool,
    /// The path MTU that a request exceeded.
    pub(crate) reported: Option<Reported>,
}

/// A path MTU that this machine's kernel has reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    /// The path MTU in bytes.
    pub(crate) mtu: usize,
    /// The router that reported it; `None` if the kernel knew it before.
    pub(crate) from: Option<IpAddr>,
}

/// The path MTU of a target, as far as requests of several sizes show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathMtu {
    /// The target without a size.
    pub(crate) endpoint: String,
    /// The largest message that was replied to, in bytes.
    pub(crate) answered: Option<usize>,
    /// The smallest message above it that was not replied to, in bytes.
    pub(crate) lost: Option<usize>,
    /// The path MTU that was reported, unless replies contradict it.
    pub(crate) reported: Option<Reported>,
    /// By how many bytes a packet is longer than its message.
    header: usize,
}

/// Bytes of the headers of UDP or ICMP, and of IPv4 or IPv6 without options.
const fn header(is_v6: bool) -> usize {
    if is_v6 { 48 } else { 28 }
}

impl PathMtu {
    /// Concludes the path MTU of a target from the results of its sizes, in rising order.
    pub(crate) fn conclude(endpoint: String, is_v6: bool, results: &[SizeResult]) -> Self {
        let header = header(is_v6);
        let answered = results.iter().filter(|result| result.has_reply).map(|result| result.size).max();
        let is_beyond = |result: &&SizeResult| answered.is_none_or(|answered| answered < result.size);
        let lost = results.iter().filter(is_beyond).map(|result| result.size).min();
        // Of two routers that report it, the one behind the other has the smaller MTU.
        let reports = results.iter().filter_map(|result| result.reported);
        let reported = reports.min_by_key(|report| (report.mtu, report.from.is_none()));
        let is_possible = |report: &Reported| {
            answered.is_none_or(|size| size + header <= report.mtu)
                && lost.is_none_or(|size| report.mtu < size + header)
        };
        Self { endpoint, answered, lost, reported: reported.filter(is_possible), header }
    }

    /// Returns the least and the greatest path MTU in bytes that is possible.
    pub(crate) fn bounds(&self) -> (Option<usize>, Option<usize>) {
        if let Some(Reported { mtu, .. }) = self.reported {
            return (Some(mtu), Some(mtu));
        }
        let least = self.answered.map(|size| size + self.header);
        // Without any reply, another cause is more likely.
        let greatest = self.lost.filter(|_| least.is_some()).map(|size| size + self.header - 1);
        (least, greatest)
    }
}

/// Writes the conclusion as a sentence without a period.
impl fmt::Display for PathMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "path MTU of {}: ", self.endpoint)?;
        match (self.bounds(), self.reported, self.answered, self.lost) {
            (_, Some(Reported { mtu, from: Some(from) }), ..) => {
                write!(f, "{mtu} bytes (reported by {from})")
            }
            (_, Some(Reported { mtu, from: None }), ..) => {
                write!(f, "{mtu} bytes (known to this machine's kernel)")
            }
            ((Some(least), Some(greatest)), _, Some(answered), Some(lost)) => {
                if least == greatest {
                    write!(f, "{least} bytes")?;
                } else {
                    write!(f, "{least} to {greatest} bytes")?;
                }
                write!(f, " ({answered} bytes answered, {lost} not)")
            }
            ((Some(least), _), _, Some(answered), _) => {
                write!(f, "at least {least} bytes ({answered} bytes answered)")
            }
            _ => write!(f, "unknown, because no request was replied to"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 254));

    fn answered(size: usize) -> SizeResult {
        SizeResult { size, has_reply: true, reported: None }
    }

    fn lost(size: usize) -> SizeResult {
        SizeResult { size, has_reply: false, reported: None }
    }

    fn too_long(size: usize, mtu: usize, from: Option<IpAddr>) -> SizeResult {
        SizeResult { reported: Some(Reported { mtu, from }), ..lost(size) }
    }

    #[test]
    fn conclusions_follow_from_the_results() {
        let by_router = |size, mtu| too_long(size, mtu, Some(ROUTER));
        for (results, bounds, text) in [
            (
                &[answered(1200), answered(1270), by_router(1280, 1300), too_long(1290, 1300, None)][..],
                (Some(1300), Some(1300)),
                "1300 bytes (reported by 192.0.2.254)",
            ),
            (
                &[answered(1200), too_long(1300, 1300, None)],
                (Some(1300), Some(1300)),
                "1300 bytes (known to this machine's kernel)",
            ),
            // All sizes exceed it.
            (
                &[by_router(1400, 1300), too_long(1410, 1300, None)],
                (Some(1300), Some(1300)),
                "1300 bytes (reported by 192.0.2.254)",
            ),
            // Two routers, the second one behind the first.
            (
                &[answered(1200), by_router(1280, 1400), by_router(1290, 1300)],
                (Some(1300), Some(1300)),
                "1300 bytes (reported by 192.0.2.254)",
            ),
            // A black hole.
            (
                &[answered(1400), lost(1410), lost(1420)],
                (Some(1428), Some(1437)),
                "1428 to 1437 bytes (1400 bytes answered, 1410 not)",
            ),
            (
                &[answered(1272), lost(1273)],
                (Some(1300), Some(1300)),
                "1300 bytes (1272 bytes answered, 1273 not)",
            ),
            // A loss for another reason.
            (
                &[answered(1400), lost(1410), answered(1420)],
                (Some(1448), None),
                "at least 1448 bytes (1420 bytes answered)",
            ),
            // A report that a reply contradicts, and one that is too large.
            (
                &[by_router(1300, 1200), answered(1400), lost(1410)],
                (Some(1428), Some(1437)),
                "1428 to 1437 bytes (1400 bytes answered, 1410 not)",
            ),
            (
                &[answered(1200), lost(1210), by_router(1400, 1300)],
                (Some(1228), Some(1237)),
                "1228 to 1237 bytes (1200 bytes answered, 1210 not)",
            ),
            (&[lost(1200), lost(1210)], (None, None), "unknown, because no request was replied to"),
            (&[], (None, None), "unknown, because no request was replied to"),
        ] {
            let conclusion = PathMtu::conclude("udp://h:7".to_owned(), false, results);
            assert_eq!(conclusion.bounds(), bounds, "{results:?}");
            assert_eq!(conclusion.to_string(), format!("path MTU of udp://h:7: {text}"), "{results:?}");
        }
        let conclusion = PathMtu::conclude("udp://h:7".to_owned(), true, &[answered(1400), lost(1410)]);
        assert_eq!(conclusion.bounds(), (Some(1448), Some(1457)));
    }
}
