//! The record of a forwarder: what happened to each message.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

/// What happened to one request. Times are in nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct RequestLog {
    /// When the kernel received the request from the client.
    pub arrived_ns: u64,
    /// The timestamps in the first reply: when the server received the request, and when it sent
    /// the reply.
    pub server_ns: Option<(u64, u64)>,
    /// When each reply was sent to the client: the times before and after the system call.
    pub replied_ns: Vec<RangeInclusive<u64>>,
}

/// What happened to all requests.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The requests by sequence number.
    pub requests: BTreeMap<u64, RequestLog>,
    /// The sequence numbers of the replies in the order in which they were sent to the client.
    pub replies: Vec<u64>,
}

impl Log {
    /// Returns how many requests the client got no reply to.
    pub fn lost(&self) -> usize {
        self.requests.values().filter(|request| request.replied_ns.is_empty()).count()
    }

    /// Returns how many replies were sent beyond the first to each request.
    pub fn duplicates(&self) -> usize {
        self.requests.values().map(|request| request.replied_ns.len().saturating_sub(1)).sum()
    }

    /// Returns the requests whose first reply was sent after a reply to a later request.
    pub fn reordered(&self) -> Vec<u64> {
        let (mut seen, mut newest) = (BTreeSet::new(), 0);
        let is_reordered = |number: &&u64| {
            let is_behind = seen.insert(**number) && **number < newest;
            newest = newest.max(**number);
            is_behind
        };
        self.replies.iter().filter(is_reordered).copied().collect()
    }

    /// Returns how long a request took in each direction, or `None` if it was lost or its reply has
    /// no timestamps.
    pub fn one_way(&self, number: u64) -> Option<OneWay> {
        let request = self.requests.get(&number)?;
        let (received, sent) = request.server_ns?;
        let replied = request.replied_ns.first()?;
        let down_ns = span(sent, *replied.start())..=span(sent, *replied.end());
        Some(OneWay { up_ns: span(request.arrived_ns, received), down_ns })
    }
}

/// How long a request took in each direction, in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneWay {
    /// From its arrival at the forwarder to its arrival at the server.
    pub up_ns: i64,
    /// From the server's reply to the reply to the client: at least, and at most, since the
    /// forwarder may be suspended while it sends.
    pub down_ns: RangeInclusive<i64>,
}

fn span(from: u64, to: u64) -> i64 {
    i64::try_from(i128::from(to) - i128::from(from)).unwrap()
}

/// Returns the two times of a `[RX TX] ` timestamp, or `None` if the message has none.
pub(super) fn server_times(message: &[u8]) -> Option<(u64, u64)> {
    let time = |digits: Range<usize>| std::str::from_utf8(message.get(digits)?).ok()?.parse().ok();
    Some((time(1..20)?, time(21..40)?)).filter(|(rx, _)| *rx != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_from_the_replies() {
        let request = |replied_ns| RequestLog { replied_ns, ..RequestLog::default() };
        let log = Log {
            requests: [(1, request(vec![5..=6])), (2, request(vec![3..=3, 4..=4])), (3, request(vec![]))]
                .into(),
            replies: vec![2, 2, 1],
        };
        assert_eq!((log.lost(), log.duplicates(), log.reordered()), (1, 1, vec![1]));
    }

    #[test]
    fn delays_are_between_here_and_the_server() {
        let request = RequestLog { arrived_ns: 10, server_ns: Some((15, 20)), replied_ns: vec![18..=25] };
        let log = Log { requests: [(1, request)].into(), replies: vec![1] };
        assert_eq!((log.one_way(1), log.one_way(2)), (Some(OneWay { up_ns: 5, down_ns: -2..=5 }), None));
    }
}
