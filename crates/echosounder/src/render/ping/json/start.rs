//! The object that precedes the first request to a target.

use std::io::{self, Write};

use echosounder_socket::option::PathMtuDiscovery;
use serde::Serialize;

use super::clock_name;
use crate::render::json::{self, EventTime};
use crate::render::numbers::whole_nanos;
use crate::render::ping::target::Target;

#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    endpoint: &'a str,
    resolved: &'a str,
    local: Option<&'a str>,
    source_port: Option<u16>,
    dscp: Option<u8>,
    ecn: Option<u8>,
    path_mtu_discovery: Option<&'static str>,
    probe: &'static str,
    size_bytes: usize,
    interval_ns: u64,
    wait_ns: u64,
    count: Option<u64>,
    clock: &'static str,
    timestamps: &'static str,
    kernel_tx_timestamps: bool,
    kernel_rx_timestamps: bool,
    own_clock_synchronized: Option<bool>,
    own_clock_error_max_ns: Option<u64>,
    started_unix_ns: u64,
    started_time: String,
}

/// Writes the object that precedes the first request to a target.
pub(crate) fn start(out: &mut dyn Write, time: &EventTime, target: &Target) -> io::Result<()> {
    json::event(
        out,
        time,
        &Start {
            event: "start",
            endpoint: &target.endpoint,
            resolved: &target.resolved,
            local: target.local.as_deref(),
            source_port: target.source_port,
            dscp: target.dscp,
            ecn: target.ecn,
            path_mtu_discovery: target.path_mtu.and_then(discovery_name),
            probe: target.probe,
            size_bytes: target.size,
            interval_ns: whole_nanos(target.interval),
            wait_ns: whole_nanos(target.wait),
            count: target.count,
            clock: clock_name(target.clock),
            timestamps: if target.kernel.receives { "kernel" } else { "user" },
            kernel_tx_timestamps: target.kernel.sends,
            kernel_rx_timestamps: target.kernel.receives,
            own_clock_synchronized: target.own_clock.map(|clock| clock.synchronized),
            own_clock_error_max_ns: target.own_clock.map(|clock| whole_nanos(clock.error_max)),
            started_unix_ns: target.started,
            started_time: json::rfc3339(target.started),
        },
    )
}

fn discovery_name(discovery: PathMtuDiscovery) -> Option<&'static str> {
    match discovery {
        PathMtuDiscovery::DO => Some("do"),
        PathMtuDiscovery::WANT => Some("want"),
        PathMtuDiscovery::DONT => Some("dont"),
        _ => None,
    }
}
