//! One line per request: the keys of the JSON `sample` as columns, with the reason of a loss as its
//! outcome.

use std::io::{self, Write};

use echosounder_client::PingEvent;

use super::json::Sample;

/// Writes the header line.
pub(crate) fn header(out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "endpoint,seq,outcome,sent_unix_ns,rtt_ns,up_ns,down_ns,pdv_up_ns,pdv_down_ns,server_ns,reordered,request_ttl,request_dscp,request_ecn,wire_ns,retransmissions,rejected_after_ns"
    )
}

/// Writes the line of an event that ends a request; other events have none.
pub(crate) fn sample(out: &mut dyn Write, endpoint: &str, event: &PingEvent) -> io::Result<()> {
    let Some(sample) = Sample::of(endpoint, event) else { return Ok(()) };
    fn cell<T: ToString>(value: Option<T>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }
    writeln!(
        out,
        "\"{}\",{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}",
        endpoint.replace('"', "\"\""),
        sample.seq,
        sample.reason.as_deref().unwrap_or(sample.outcome),
        cell(sample.sent_unix_ns),
        cell(sample.rtt_ns),
        cell(sample.up_ns),
        cell(sample.down_ns),
        cell(sample.pdv_up_ns),
        cell(sample.pdv_down_ns),
        cell(sample.server_ns),
        sample.reordered,
        cell(sample.request_ttl),
        cell(sample.request_dscp),
        cell(sample.request_ecn),
        cell(sample.wire_ns),
        cell(sample.retransmissions),
        cell(sample.rejected_after_ns)
    )
}
