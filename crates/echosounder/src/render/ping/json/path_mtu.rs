//! The object with the path MTU of a target.

use std::io::{self, Write};

use serde::Serialize;

use crate::render::json::{self, EventTime};
use crate::render::ping::path_mtu::PathMtu;

#[derive(Serialize)]
struct Conclusion<'a> {
    event: &'static str,
    endpoint: &'a str,
    mtu_min_bytes: Option<usize>,
    mtu_max_bytes: Option<usize>,
    largest_answered_bytes: Option<usize>,
    smallest_lost_bytes: Option<usize>,
    reported_mtu_bytes: Option<usize>,
    reported_by: Option<String>,
}

/// Writes the object of a path MTU.
pub(crate) fn path_mtu(out: &mut dyn Write, time: &EventTime, path: &PathMtu) -> io::Result<()> {
    let (mtu_min_bytes, mtu_max_bytes) = path.bounds();
    json::event(
        out,
        time,
        &Conclusion {
            event: "path_mtu",
            endpoint: &path.endpoint,
            mtu_min_bytes,
            mtu_max_bytes,
            largest_answered_bytes: path.answered,
            smallest_lost_bytes: path.lost,
            reported_mtu_bytes: path.reported.map(|reported| reported.mtu),
            reported_by: path.reported.and_then(|reported| reported.from).map(|from| from.to_string()),
        },
    )
}
