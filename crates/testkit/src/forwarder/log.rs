//! What a forwarder did to each message.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What happened to one request. Times are in nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct RequestLog {
    /// When the kernel received the request from the client.
    pub arrived_ns: u64,
    /// The timestamps in the first reply: when the server received the request, and when it sent the reply.
    pub server_ns: Option<(u64, u64)>,
    /// When each reply was sent to the client.
    pub replied_ns: Vec<u64>,
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

    /// Returns how long a request took in each direction, in nanoseconds: from here to the server, and back.
    pub fn one_way_ns(&self, number: u64) -> Option<(i64, i64)> {
        let request = self.requests.get(&number)?;
        let (received, sent) = request.server_ns?;
        Some((span(request.arrived_ns, received), span(sent, *request.replied_ns.first()?)))
    }
}

fn span(from: u64, to: u64) -> i64 {
    i64::try_from(i128::from(to) - i128::from(from)).unwrap()
}

/// Returns the two times of a `[RX TX] ` timestamp, or `None` if the message has none.
pub(super) fn server_times(message: &[u8]) -> Option<(u64, u64)> {
    let time = |digits: Range<usize>| str::from_utf8(message.get(digits)?).ok()?.parse().ok();
    Some((time(1..20)?, time(21..40)?)).filter(|(rx, _)| *rx != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_from_the_replies() {
        let request = |replied_ns| RequestLog { replied_ns, ..RequestLog::default() };
        let log = Log {
            requests: [(1, request(vec![5])), (2, request(vec![3, 4])), (3, request(vec![]))].into(),
            replies: vec![2, 2, 1],
        };
        assert_eq!((log.lost(), log.duplicates(), log.reordered()), (1, 1, vec![1]));
    }

    #[test]
    fn delays_are_between_here_and_the_server() {
        let request = RequestLog { arrived_ns: 10, server_ns: Some((15, 20)), replied_ns: vec![18] };
        let log = Log { requests: [(1, request)].into(), replies: vec![1] };
        assert_eq!((log.one_way_ns(1), log.one_way_ns(2)), (Some((5, -2)), None));
    }
}
