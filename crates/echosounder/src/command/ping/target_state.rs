//! The state of each target of a ping.

use std::io;
use std::net::IpAddr;

use echosounder_client::{ClientError, FailureKind, PingOptions, PingReport, Probe, ResolvedTarget};
use echosounder_proto::LossReport;
use echosounder_socket::Address;
use echosounder_socket::internal::kernel::clock_state;

use crate::failure;
use crate::hints::socket::ports_in_time_wait;
use crate::render::json::unix_now_ns;
use crate::render::ping::path_mtu::{Reported, SizeResult};
use crate::render::ping::target::{CONNECT, ICMP, Target};
use crate::render::ping::text::Row;
use crate::support;

/// A target, from the command line to its result.
pub(super) struct TargetState {
    /// The endpoint as it was given.
    pub(super) endpoint: String,
    ping: PingOptions,
    /// The description, once the target was found.
    pub(super) target: Option<Target>,
    /// The result, once the measurement has ended.
    pub(super) report: Option<Box<PingReport>>,
    /// The report so far, to be saved.
    pub(super) checkpoint: Option<Box<PingReport>>,
    pub(super) error: Option<anyhow::Error>,
    /// Whether it was reported that the name has no address yet.
    pub(super) has_noted_absence: bool,
    /// The path MTU that a request exceeded, as it was reported first.
    reported_mtu: Option<Reported>,
    /// Events caused by the peer that were not written because there were too many.
    pub(super) left_out: u64,
}

impl TargetState {
    pub(super) fn new(ping: &PingOptions) -> Self {
        Self {
            endpoint: ping.target(),
            ping: ping.clone(),
            target: None,
            report: None,
            checkpoint: None,
            error: None,
            has_noted_absence: false,
            reported_mtu: None,
            left_out: 0,
        }
    }

    /// Returns how to start an echo server at the target, if that may be missing after this failure.
    pub(super) fn start_hint(&self, kind: Option<FailureKind>, instead: &str) -> Option<String> {
        match self.ping.probe {
            Probe::Echo => failure::start_hint(&self.ping.connect.endpoint, kind, instead),
            _ => None,
        }
    }

    /// Returns the likely reason why replies match no request.
    pub(super) fn why_unexpected(&self) -> &'static str {
        match self.ping.probe {
            Probe::Stamp(_) => "no reply matches a request (no STAMP reflector, or another key?)",
            _ => "a reply does not contain its request (not an echo server?)",
        }
    }

    /// Returns the local address of a socket. The port of a ping socket is the identifier of its
    /// requests.
    fn local(&self, address: &Address) -> Option<String> {
        match self.ping.probe {
            Probe::Icmp => address.ip().map(|ip| ip.to_string()),
            _ => Target::local(address),
        }
    }

    /// Returns what helps against an error of this machine that this kind of request causes.
    pub(super) fn local_hint(&self, error: &ClientError) -> Option<String> {
        let no_port = match self.ping.probe {
            Probe::Connect(connect) if !connect.reset => ports_in_time_wait(error),
            _ => None,
        };
        no_port.map(str::to_owned).or_else(|| self.right_hint(error))
    }

    /// Returns how to get the right that an error of this machine shows to be missing.
    fn right_hint(&self, error: &ClientError) -> Option<String> {
        let is_forbidden = error.is_local() && error.kind() == io::ErrorKind::PermissionDenied;
        let is_icmp = matches!(self.ping.probe, Probe::Icmp);
        (is_icmp && is_forbidden)
            .then(|| format!("{}, or give this program CAP_NET_RAW", support::ping_socket_remedy()))
    }

    fn probe_name(&self) -> &'static str {
        match self.ping.probe {
            Probe::Stamp(_) => "stamp",
            Probe::Icmp => ICMP,
            Probe::Connect(_) => CONNECT,
            _ => "echo",
        }
    }

    /// Returns the description of the target, which was found now.
    pub(super) fn describe(&self, found: ResolvedTarget) -> Target {
        Target {
            endpoint: self.endpoint.clone(),
            address: Target::address(&found.endpoint, &found.address),
            resolved: found.endpoint,
            local: found.local.as_ref().and_then(|local| self.local(local)),
            probe: self.probe_name(),
            source_port: self.ping.connect.source_port,
            dscp: self.ping.connect.ip_options.dscp,
            ecn: self.ping.connect.ip_options.ecn,
            path_mtu: self.ping.connect.ip_options.path_mtu,
            kernel: found.kernel,
            clock: found.clock,
            own_clock: clock_state().ok(),
            size: self.ping.size_bytes,
            interval: self.ping.pace.interval().unwrap_or_default(),
            wait: self.ping.connect.wait,
            count: self.ping.count,
            until_up: self.ping.until_up,
            started: unix_now_ns(),
        }
    }

    /// Notes what was reported about a lost request.
    pub(super) fn note_loss(&mut self, report: &LossReport) {
        let reported = report.path_mtu.and_then(|mtu| usize::try_from(mtu).ok());
        let reported = reported.map(|mtu| Reported { mtu, from: report.from });
        self.reported_mtu = self.reported_mtu.or(reported);
    }

    /// Returns the endpoint without a size or a port behind it.
    pub(super) fn unlabelled(&self) -> String {
        let mut ping = self.ping.clone();
        ping.label = None;
        ping.target()
    }

    /// Returns the IP address that was reached.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.target.as_ref()?.address.parse().ok()
    }

    /// Returns what became of the requests of this size, if the measurement has begun.
    pub(super) fn size_result(&self) -> Option<SizeResult> {
        let report = self.report.as_deref().or(self.checkpoint.as_deref())?;
        Some(SizeResult {
            size: self.ping.size_bytes,
            has_reply: report.answered + report.late != 0,
            reported: self.reported_mtu,
        })
    }

    /// Returns the row of the table that compares all targets.
    pub(super) fn row(&self) -> Row<'_> {
        Row {
            name: self.target.as_ref().map_or(&self.endpoint, |target| &target.resolved),
            report: self.report.as_deref(),
            failure: self.error.as_ref().and_then(failure::failure_kind).or_else(|| self.only_failure()),
        }
    }

    /// Returns whether the measurement has begun. A signal may come before.
    pub(super) fn has_begun(&self) -> bool {
        self.target.is_some() || self.error.is_some()
    }

    /// Returns whether the target was found and is still measured.
    pub(super) fn is_measured(&self) -> bool {
        self.target.is_some() && self.report.is_none()
    }

    /// Returns the description and the result, once there are both.
    pub(super) fn result(&self) -> Option<(&Target, &PingReport)> {
        self.target.as_ref().zip(self.report.as_deref())
    }

    /// Returns the most frequent failure, if no request was replied to.
    fn only_failure(&self) -> Option<FailureKind> {
        let report = self.report.as_deref().filter(|report| report.answered + report.late == 0)?;
        report.lost.most_frequent()
    }
}
