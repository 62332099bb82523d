//! Sockets that not every kernel has: `serve` and `talk` with each other and with Python programs,
//! and the messages where a family is missing.

use std::sync::atomic::{AtomicU32, Ordering};

use echosounder_socket::{Endpoint, Family, IpVersion, Protocol, Side, Socket, Type, is_family_absent};

use crate::ping::assert_both_ways;
use crate::support::{
    Program, Serving, assert_stamped, finish, has_ipv6, json_lines, now, python, run, skip, unique,
};

/// Every scheme that not every kernel has, with its family.
const SCHEMES: [(&str, &str); 9] = [
    ("vsock", "vsock"),
    ("vsock-seqpacket", "vsock"),
    ("tipc", "tipc"),
    ("tipc-seqpacket", "tipc"),
    ("tipc-rdm", "tipc"),
    ("tipc-dgram", "tipc"),
    ("netlink", "netlink"),
    ("mptcp", "mptcp"),
    ("sctp", "sctp"),
];

/// Returns an endpoint of this scheme with a free port or a unique name.
pub(crate) fn endpoint(scheme: &str) -> String {
    static SERVICE: AtomicU32 = AtomicU32::new(0);
    match scheme {
        "netlink" => "netlink://0".into(),
        "mptcp" | "sctp" => format!("{scheme}://127.0.0.1:0"),
        "vsock" | "vsock-seqpacket" => format!("{scheme}://local:0"),
        _ => {
            let service = 40_000 + SERVICE.fetch_add(1, Ordering::Relaxed);
            format!("{scheme}://{service}:{}?scope=node", std::process::id())
        }
    }
}

/// Returns the schemes that this kernel has.
pub(crate) fn schemes() -> Vec<&'static str> {
    let is_there = |scheme: &str| {
        let endpoint: Endpoint = endpoint(scheme).parse().unwrap();
        let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
        endpoint.transport().socket(&address)?.bind(&address)
    };
    let found = SCHEMES.iter().filter(|(scheme, family)| match is_there(scheme) {
        Ok(()) => true,
        Err(error) => {
            skip(family, error);
            false
        }
    });
    found.map(|(scheme, _)| *scheme).collect()
}

/// Returns the arguments that name an endpoint to `family.py`.
fn python_address(endpoint: &str) -> String {
    let (scheme, name) = endpoint.split_once("://").unwrap();
    let name = name.split('?').next().unwrap();
    let parts = name.split(':').map(|part| if part == "local" { "1" } else { part });
    [scheme].into_iter().chain(parts).collect::<Vec<_>>().join(" ")
}

fn assert_replies(text: &str, start: u64, context: &str) {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{context}: {text}");
    assert_stamped(lines[0].as_bytes(), start, b"hello");
    assert_stamped(lines[1].as_bytes(), start, b"world");
}

#[test]
fn talk_works_with_serve() {
    for scheme in schemes() {
        let serving = Serving::at(&[&endpoint(scheme)]);
        let start = now();
        let talk = run(&["talk", "--lines", serving.endpoint()], b"hello\nworld\n");
        assert_eq!((talk.code, talk.stderr.as_str()), (Some(0), ""), "{scheme}");
        assert_replies(talk.text(), start, scheme);
        let done = serving.stop();
        assert_eq!(done.code, Some(0), "{scheme}");
        assert!(done.stderr.ends_with(", 2 messages, 10 bytes, 0 dropped\n"), "{scheme}: {}", done.stderr);
    }
}

#[test]
fn a_python_client_works_with_serve() {
    let schemes = schemes();
    let endpoints: Vec<String> = schemes.iter().map(|scheme| endpoint(scheme)).collect();
    let serving = Serving::at(&endpoints.iter().map(String::as_str).collect::<Vec<_>>());
    let args =
        ["request".to_owned()].into_iter().chain(serving.endpoints().iter().map(|name| python_address(name)));
    let Some(mut client) = python("family.py", args) else { return };
    let start = now();
    let done = finish(&mut client, b"hello\nworld\n");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for scheme in &schemes {
        let replies = done.text().lines().filter_map(|line| line.strip_prefix(scheme)?.strip_prefix(' '));
        assert_replies(&replies.collect::<Vec<_>>().join("\n"), start, scheme);
    }
    let done = serving.stop();
    let messages = format!(", {} messages, {} bytes, 0 dropped\n", 2 * schemes.len(), 10 * schemes.len());
    assert!(done.stderr.ends_with(&messages), "{}", done.stderr);
}

#[test]
fn talk_works_with_a_python_server() {
    // Python has other numbers for a free port.
    let asked: Vec<String> =
        schemes().iter().map(|scheme| endpoint(scheme).replace("local:0", "1:4294967295")).collect();
    let args = ["serve".to_owned()].into_iter().chain(asked.iter().map(|name| python_address(name)));
    let Some(mut server) = python("family.py", args) else { return };
    let server = Program::start(&mut server);
    for (shown, asked) in server.wait_for_lines(asked.len()).iter().zip(&asked) {
        let (scheme, shown) = shown.split_once(' ').unwrap();
        let numbers: Vec<&str> =
            shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let endpoint = match scheme {
            "netlink" => format!("netlink://{}", numbers[0]),
            "mptcp" | "sctp" => format!("{scheme}://127.0.0.1:{}", numbers.last().unwrap()),
            "vsock" | "vsock-seqpacket" => format!("{scheme}://local:{}", numbers[1]),
            _ => asked.clone(),
        };
        let start = now();
        let talk = run(&["talk", "--lines", &endpoint], b"hello\nworld\n");
        assert_eq!((talk.code, talk.stderr.as_str()), (Some(0), ""), "{endpoint}");
        assert_replies(talk.text(), start, scheme);
    }
}

#[test]
fn ping_measures_both_directions_on_every_socket() {
    schemes().iter().for_each(|scheme| assert_both_ways(&endpoint(scheme)));
    let name = unique();
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        assert_both_ways(&format!("{scheme}:@{name}-{scheme}"));
    }
    let hosts = if has_ipv6() { &["127.0.0.1", "[::1]"][..] } else { &["127.0.0.1"] };
    for host in hosts {
        ["tcp", "udp"].iter().for_each(|scheme| assert_both_ways(&format!("{scheme}://{host}:0")));
    }
}

#[test]
fn an_absent_server_is_reported_as_refused() {
    for scheme in schemes() {
        let serving = Serving::at(&[&endpoint(scheme)]);
        let endpoint = serving.endpoint().to_owned();
        serving.stop();
        let talk = run(&["talk", &endpoint], b"hello\n");
        assert_eq!((talk.code, talk.text()), (Some(1), ""), "{endpoint}: {}", talk.stderr);
        assert!(talk.stderr.starts_with("sounder: REFUSED: "), "{endpoint}: {}", talk.stderr);
    }
}

#[test]
fn a_missing_family_is_reported_and_the_others_are_served() {
    // The test needs a scheme whose family or protocol this kernel lacks.
    let missing = SCHEMES.iter().map(|(scheme, _)| endpoint(scheme)).find(|name| {
        let endpoint: Endpoint = name.parse().unwrap();
        let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
        endpoint.transport().socket(&address).is_err_and(|error| is_family_absent(&error))
    });
    let Some(missing) = missing else {
        return skip("missing families", "this kernel has them all");
    };
    let serving = Serving::with(&[&missing, "tcp://127.0.0.1:0"], 1);
    let talk = run(&["talk", serving.endpoint()], b"hello\n");
    assert_eq!(talk.code, Some(0), "{}", talk.stderr);
    let done = serving.stop();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let name = missing.split('?').next().unwrap();
    assert!(done.stderr.starts_with(&format!("note: cannot bind {name}")), "{}", done.stderr);
    assert!(done.stderr.contains("\nhint: run \"sounder doctor\" to see"), "{}", done.stderr);

    let only_missing = run(&["serve", &missing], b"");
    assert_eq!(only_missing.code, Some(1), "{}", only_missing.stderr);
    assert!(
        only_missing.stderr.starts_with(&format!("sounder: cannot bind {name}")),
        "{}",
        only_missing.stderr
    );
    // A client cannot connect to port 0.
    let target = missing.strip_suffix(":0").map_or_else(|| missing.clone(), |host| format!("{host}:1"));
    let talk = run(&["talk", &target], b"");
    assert_eq!(talk.code, Some(1), "{}", talk.stderr);
    assert!(talk.stderr.contains("\nhint: run \"sounder doctor\" to see"), "{}", talk.stderr);
}

#[test]
fn doctor_lists_every_check_and_a_remedy_for_what_is_missing() {
    let doctor = run(&["doctor", "--json"], b"");
    assert_eq!((doctor.code, doctor.stderr.as_str()), (Some(0), ""));
    let found = json_lines(doctor.text());
    let in_group = |group: &str| found.iter().filter(|found| found["group"] == group).count();
    assert!(20 < in_group("socket") && 15 < in_group("feature"), "{}", doctor.text());
    let limits = found.iter().filter(|found| found["event"] == "limit").count();
    assert!(1 <= in_group("timestamps") && 5 == limits, "{}", doctor.text());
    let present = schemes();
    for check in found.iter().filter(|found| found["group"] == "socket") {
        let (name, status) = (check["check"].as_str().unwrap(), check["status"].as_str().unwrap());
        assert!(["works", "absent", "not_permitted", "fails"].contains(&status), "{check}");
        assert_eq!(check["reason"].is_null(), status == "works", "{check}");
        if SCHEMES.iter().any(|(scheme, _)| *scheme == name) && check["about"] != "AF_INET6 SOCK_STREAM" {
            assert_eq!(status, if present.contains(&name) { "works" } else { "absent" }, "{check}");
            assert_eq!(check["remedy"].is_null(), status == "works", "{check}");
        }
    }
    // A missing VSOCK loopback is not a missing family, and the context id has a check of its own.
    let vsock = found.iter().find(|check| check["check"] == "vsock").unwrap();
    let reason = vsock["reason"].as_str().unwrap_or_default();
    let family = Socket::new(Family::VSOCK, Type::STREAM, Protocol::DEFAULT);
    assert_eq!(
        reason.starts_with("the family exists, but not its loopback: "),
        family.is_ok() && !reason.is_empty()
    );
    let cid = found.iter().find(|check| check["check"] == "VSOCK CID").unwrap();
    let shown = cid["reason"].as_str().unwrap().split(',').next().unwrap();
    assert_eq!(cid["status"] == "works", shown == "none assigned" || shown.parse::<u32>().is_ok(), "{cid}");
    for name in ["tcp", "udp", "unix", "unix-dgram", "unix-seqpacket"] {
        let works = |check: &&serde_json::Value| check["check"] == name && check["status"] == "works";
        assert!(found.iter().any(|check| works(&check)), "{name}");
    }
    let text = run(&["doctor"], b"");
    assert!(text.text().starts_with("Linux "), "{}", text.text());
    assert!(text.text().lines().count() > found.len(), "{}", text.text());
}
