//! The objects of `sounder demo --json`.

use std::io::{self, Write};

use serde::Serialize;

use super::echoes::Echoes;
use crate::render::json::{self, Distribution, EventTime};

#[derive(Serialize)]
struct Object<'a> {
    event: &'static str,
    endpoint: &'a str,
    sent: u64,
    answered: u64,
    lost: u64,
    unexpected: u64,
    rtt: Distribution,
    error: Option<&'a str>,
}

/// Writes the result of an endpoint.
pub(crate) fn result(out: &mut dyn Write, time: &EventTime, echoes: &Echoes) -> io::Result<()> {
    let Echoes { endpoint, sent, answered, lost, unexpected, rtt, error } = echoes;
    json::event(
        out,
        time,
        &Object {
            event: "result",
            endpoint,
            sent: *sent,
            answered: *answered,
            lost: *lost,
            unexpected: *unexpected,
            rtt: rtt.into(),
            error: error.as_deref(),
        },
    )
}
