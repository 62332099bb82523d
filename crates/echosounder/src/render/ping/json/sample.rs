//! The object of a request that has ended.

use echosounder_client::{ClockRelation, LossReason, PingEvent, PingReply};
use echosounder_proto::{LossReport, WallTime};
use serde::Serialize;

use crate::render::json;
use crate::render::numbers::whole_nanos;

/// A request that has ended.
#[derive(Serialize)]
pub(crate) struct Sample<'a> {
    event: &'static str,
    endpoint: &'a str,
    pub(crate) seq: u64,
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<String>,
    pub(crate) sent_unix_ns: Option<u64>,
    sent_time: Option<String>,
    pub(crate) rtt_ns: Option<u64>,
    pub(crate) up_ns: Option<i64>,
    pub(crate) down_ns: Option<i64>,
    pub(crate) pdv_up_ns: Option<i64>,
    pub(crate) pdv_down_ns: Option<i64>,
    pub(crate) server_ns: Option<u64>,
    pub(crate) reordered: bool,
    pub(crate) request_ttl: Option<u8>,
    pub(crate) request_dscp: Option<u8>,
    pub(crate) request_ecn: Option<u8>,
    pub(crate) wire_ns: Option<u64>,
    pub(crate) retransmissions: Option<u32>,
    icmp_error: Option<String>,
    icmp_from: Option<String>,
    path_mtu_bytes: Option<u32>,
    pub(crate) rejected_after_ns: Option<u64>,
    ttl: Option<u8>,
}

impl<'a> Sample<'a> {
    /// Returns the sample of an event that ends a request, and `None` for other events.
    pub(crate) fn of(endpoint: &'a str, event: &PingEvent) -> Option<Self> {
        match event {
            PingEvent::Replied(answered) => Some(Self::answered(endpoint, answered)),
            PingEvent::Lost { number, sent, reason, report } => {
                Some(Self::lost(endpoint, *number, *sent, *reason, report))
            }
            PingEvent::Duplicate(number) => Some(Self::outcome(endpoint, *number, "duplicate")),
            _ => None,
        }
    }

    fn outcome(endpoint: &'a str, seq: u64, outcome: &'static str) -> Self {
        Self {
            event: "sample",
            endpoint,
            seq,
            outcome,
            reason: None,
            sent_unix_ns: None,
            sent_time: None,
            rtt_ns: None,
            up_ns: None,
            down_ns: None,
            pdv_up_ns: None,
            pdv_down_ns: None,
            server_ns: None,
            reordered: false,
            request_ttl: None,
            request_dscp: None,
            request_ecn: None,
            wire_ns: None,
            retransmissions: None,
            icmp_error: None,
            icmp_from: None,
            path_mtu_bytes: None,
            rejected_after_ns: None,
            ttl: None,
        }
    }

    fn lost(endpoint: &'a str, seq: u64, sent: WallTime, reason: LossReason, report: &LossReport) -> Self {
        Self {
            sent_unix_ns: Some(sent.as_nanos()),
            sent_time: Some(json::rfc3339(sent.as_nanos())),
            reason: Some(match reason {
                LossReason::Peer(kind) => kind.to_string(),
                LossReason::NotSent => "NOT_SENT".to_owned(),
                LossReason::TooLong => "TOO_LONG".to_owned(),
            }),
            icmp_error: report.error.map(|error| error.to_string()),
            icmp_from: report.from.map(|from| from.to_string()),
            path_mtu_bytes: report.path_mtu,
            rejected_after_ns: report.after.map(whole_nanos),
            ..Self::outcome(endpoint, seq, "lost")
        }
    }

    fn answered(endpoint: &'a str, answered: &PingReply) -> Self {
        let free = answered.clock == ClockRelation::Free;
        let delays = |wanted: bool| answered.delay.filter(|_| wanted);
        Self {
            sent_unix_ns: Some(answered.sent.as_nanos()),
            sent_time: Some(json::rfc3339(answered.sent.as_nanos())),
            rtt_ns: Some(whole_nanos(answered.rtt)),
            up_ns: delays(!free).map(|delay| delay.up_ns),
            down_ns: delays(!free).map(|delay| delay.down_ns),
            pdv_up_ns: delays(free).map(|delay| delay.up_ns),
            pdv_down_ns: delays(free).map(|delay| delay.down_ns),
            server_ns: answered.residence.map(whole_nanos),
            reordered: answered.reordered,
            request_ttl: answered.header.ttl,
            request_dscp: answered.header.dscp,
            request_ecn: answered.header.ecn,
            wire_ns: answered.wire.map(whole_nanos),
            retransmissions: answered.retransmissions,
            ttl: answered.ttl,
            ..Self::outcome(endpoint, answered.number, if answered.late { "late" } else { "answered" })
        }
    }
}
