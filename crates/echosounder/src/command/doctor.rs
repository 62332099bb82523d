//! `sounder doctor`: which socket types and kernel features work on this machine, and what enables
//! the others.

mod check;
mod features;

use std::fs;
use std::io::{self, Write};

use anyhow::{Context, Result};
use echosounder_socket::internal::{kernel, raise_fd_limit};
use echosounder_socket::{Family, Protocol, Socket, Transport, Type, interfaces, is_feature_absent};
use serde::Serialize;

use self::check::{Check, Status, check};
use crate::command::console::stdout;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::escape::Escaped;
use crate::render::json::{self, EventTime};
use crate::render::style::Style;
use crate::support;

/// A limit of this machine.
#[derive(Debug, Serialize)]
struct Limit {
    event: &'static str,
    check: &'static str,
    about: &'static str,
    value: Option<u64>,
}

/// Tests everything and prints the results.
pub(crate) fn run(output: Output) -> Result<Outcome> {
    let style = Style::stdout(output);
    let mut out = style.wrapped(stdout());
    if !output.json {
        writeln!(out, "{}", machine())?;
    }
    let title = "Socket types, each tested by sending a byte";
    print_checks(&mut out, style, title, &sockets(), output)?;
    print_checks(&mut out, style, "Kernel features", &features::checks(), output)?;
    let timestamps = timestamps().context("cannot list the network interfaces")?;
    print_checks(&mut out, style, "Packet timestamps", &timestamps, output)?;
    print_limits(&mut out, output)?;
    Ok(Outcome::Done)
}

fn machine() -> String {
    let file = |name| fs::read_to_string(name).unwrap_or_default();
    let version = file("/proc/sys/kernel/osrelease");
    let user = echosounder_socket::internal::effective_user_id();
    let who = if user == 0 { "as root".to_owned() } else { format!("as user {user}") };
    format!("Linux {} on {}, {who}", Escaped(version.trim().as_bytes()), std::env::consts::ARCH)
}

fn print_checks(
    out: &mut impl Write,
    style: Style,
    title: &str,
    checks: &[Check],
    output: Output,
) -> Result<()> {
    if output.json {
        return checks.iter().try_for_each(|check| Ok(json::event(out, &EventTime::now(), check)?));
    }
    writeln!(out, "\n{title}")?;
    let width = |text: fn(&Check) -> usize| checks.iter().map(text).max().unwrap_or(0);
    let (names, abouts) = (width(|check| check.check.len()), width(|check| check.about.len()));
    for check in checks {
        let Check { check: name, about, status, reason, remedy, .. } = check;
        let status = match status {
            Status::Works => style.good(status.name()),
            Status::Absent | Status::NotPermitted => style.caution(status.name()),
            Status::Fails => style.bad(status.name()),
        };
        write!(out, "  {name:names$}  {about:abouts$}  {status}")?;
        let why: Vec<&str> = reason.iter().chain(remedy).map(String::as_str).collect();
        writeln!(out, "{}{}", if why.is_empty() { "" } else { ": " }, why.join("; "))?;
    }
    Ok(())
}

/// Tests every transport in each of its families, and the other types of sockets that programs
/// open.
fn sockets() -> Vec<Check> {
    let transports = Transport::all().flat_map(|transport| {
        transport.loopback_addresses().into_iter().map(move |address| {
            let result = support::send_byte(transport, &address).map(|()| None);
            let about = format!("{} {}", address.family(), transport.socket_type());
            let missing = result.as_ref().err().filter(|error| transport.is_absent(&address, error));
            let remedy = missing.and_then(|error| support::remedy(transport, &address, error));
            let absent = missing.is_some();
            let result = result.map_err(|error| support::explain(&address, error));
            check("socket", transport.scheme(), &about, result, absent, remedy)
        })
    });
    let ping_sockets = support::ping_socket_remedy();
    let others = [
        ("icmp", Family::INET, Type::DGRAM, Protocol::ICMP, ping_sockets.as_str()),
        ("icmp", Family::INET6, Type::DGRAM, Protocol::ICMPV6, &ping_sockets),
        ("raw", Family::INET, Type::RAW, Protocol::ICMP, "CAP_NET_RAW"),
        ("raw", Family::INET6, Type::RAW, Protocol::ICMPV6, "CAP_NET_RAW"),
        ("route", Family::NETLINK, Type::RAW, Protocol::NETLINK_ROUTE, ""),
        ("sock_diag", Family::NETLINK, Type::RAW, Protocol::NETLINK_SOCK_DIAG, "\"modprobe inet_diag\""),
        ("genetlink", Family::NETLINK, Type::RAW, Protocol::NETLINK_GENERIC, ""),
    ];
    let others = others.into_iter().map(|(name, family, kind, protocol, remedy)| {
        let result = Socket::new(family, kind, protocol).map(|_| None);
        let absent = result.as_ref().is_err_and(echosounder_socket::is_family_absent);
        check("socket", name, &format!("{family} {kind}"), result, absent, Some(remedy))
    });
    transports.chain(others).collect()
}

/// Tests which timestamps each network interface can take.
fn timestamps() -> io::Result<Vec<Check>> {
    let directions = |send, receive| match (send, receive) {
        (true, true) => "send and receive",
        (true, false) => "send",
        (false, true) => "receive",
        (false, false) => "none",
    };
    let checks = interfaces()?.into_iter().map(|interface| {
        let result = kernel::interface_timestamping(&interface.name).map(|can| {
            let software = directions(can.software_send, can.software_receive);
            Some(format!(
                "software {software}, hardware {}",
                directions(can.hardware_send, can.hardware_receive)
            ))
        });
        let absent = result.as_ref().is_err_and(is_feature_absent);
        let name = Escaped(interface.name.as_encoded_bytes()).to_string();
        check("timestamps", &name, "SO_TIMESTAMPING", result, absent, None)
    });
    Ok(checks.collect())
}

fn print_limits(out: &mut impl Write, output: Output) -> Result<()> {
    let number = |name: &str| fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim().parse().ok();
    let limits = [
        ("descriptors", "open files of this process", raise_fd_limit().ok()),
        ("somaxconn", "connections in an accept queue", number("core/somaxconn")),
        ("rmem_max", "bytes of a receive buffer", number("core/rmem_max")),
        ("wmem_max", "bytes of a send buffer", number("core/wmem_max")),
        ("max_dgram_qlen", "datagrams in a UNIX socket", number("unix/max_dgram_qlen")),
    ];
    if !output.json {
        writeln!(out, "\nLimits")?;
    }
    for (check, about, value) in limits {
        if output.json {
            let limit = Limit { event: "limit", check, about, value };
            json::event(out, &EventTime::now(), &limit)?;
        } else {
            let value = value.map_or_else(|| "?".to_owned(), |value| value.to_string());
            writeln!(out, "  {check:14}  {about:32}  {value}")?;
        }
    }
    Ok(())
}
