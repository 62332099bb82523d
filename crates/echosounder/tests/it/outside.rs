//! Datagrams from other hosts, with any source address: no amplifier, and no loop.

use std::fmt::Write;

use echosounder_proto::TIMESTAMP_PLACEHOLDER;

use crate::support::{finish, private_network, python};

/// Lengths of the requests that test amplification. Longer ones cannot have a timestamp over UDP.
const LENGTHS: [usize; 2] = [4096, 9000];

/// The replies to datagrams, and the summary of the server that sent them.
struct Outcome {
    /// The destination port of each reply, and its length.
    replies: Vec<(u16, usize)>,
    summary: serde_json::Value,
}

impl Outcome {
    fn count(&self, port: u16) -> usize {
        self.replies.iter().filter(|(to, _)| *to == port).count()
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.summary["dropped"][reason].as_u64().unwrap()
    }
}

/// Sends datagrams to a server with these arguments from outside its host. Each line has source
/// address and port, destination address and port, and the message in hexadecimal. Skips if this
/// user may not create a network namespace.
fn send_from_outside(args: &[&str], datagrams: &str) -> Option<Outcome> {
    let mut command = private_network()?;
    let program = python("outside.py", [env!("CARGO_BIN_EXE_sounder"), "serve", "--json", "--workers", "1"])?;
    command.arg(program.get_program()).args(program.get_args()).args(args);
    let done = finish(&mut command, datagrams.as_bytes());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let (replies, summary) =
        done.text().trim_end().rsplit_once('\n').unwrap_or_else(|| ("", done.text().trim_end()));
    let reply = |line: &str| {
        let (port, len) = line.split_once(' ').unwrap();
        (port.parse().unwrap(), len.parse().unwrap())
    };
    let replies = replies.lines().map(reply).collect();
    Some(Outcome { replies, summary: serde_json::from_str(summary).unwrap() })
}

/// Returns lines that send a request of each length from 0 to 2,048 and of [`LENGTHS`].
fn requests_of_all_lengths() -> String {
    let mut lines = String::new();
    for len in (0..=2048).chain(LENGTHS) {
        writeln!(lines, "198.51.100.7 4000 192.0.2.1 7777 {}", "78".repeat(len)).unwrap();
    }
    lines
}

const UDP: &str = "udp://192.0.2.1:7777";

/// Returns the line of a request with a placeholder. If consecutive requests come from different
/// ports, each reply is a packet of its own.
fn request_with_placeholder(port: u16) -> String {
    let hex: String = TIMESTAMP_PLACEHOLDER.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("198.51.100.7 {port} 192.0.2.1 7777 {hex}\n")
}

#[test]
fn a_forged_source_gets_no_more_bytes_than_the_limits_allow() {
    let lines = requests_of_all_lengths();
    for (args, least, most) in [
        // The limit grows by 256 bytes in each second of the test, which takes less than a minute.
        (&[UDP][..], 8192 / 27, (8192 + 60 * 256) / 27),
        (&["--excess-burst", "0", UDP], 0, 0),
        (&["--excess-rate", "0", UDP], 0, 0),
        (&["--excess-rate-total", "0", UDP], 0, 0),
        (&["--stamp", "none", UDP], 0, 0),
        (&["--trust", "198.51.100.0/24", UDP], 2051, 2051),
        (&["--trust", "198.51.100.7", "--stamp", "none", UDP], 2051, 2051),
    ] {
        let Some(outcome) = send_from_outside(args, &lines) else { return };
        let count = outcome.count(4000);
        assert!((least..=most).contains(&count), "{args:?}: {count} replies, {}", outcome.summary);
        let reason = if args.contains(&"none") { "stranger" } else { "excess" };
        assert_eq!(outcome.dropped(reason), 2051 - count as u64, "{args:?}: {}", outcome.summary);
    }
}

#[test]
fn requests_with_a_placeholder_are_not_limited() {
    let lines = [4000, 4001].map(request_with_placeholder).concat().repeat(500);
    let Some(outcome) = send_from_outside(&["--excess-burst", "0", UDP], &lines) else { return };
    assert_eq!(outcome.replies, [(4000, 42), (4001, 42)].repeat(500));
}

#[test]
fn responders_get_one_reply_a_second() {
    const PORTS: [u16; 7] = [1900, 2049, 3702, 5060, 5353, 5355, 11_211];
    let ports = PORTS.into_iter().chain([7, 1023, 4000, 4001]);
    let lines: String = ports.map(request_with_placeholder).collect();
    let Some(outcome) = send_from_outside(&[UDP], &lines.repeat(100)) else { return };
    let counts = PORTS.map(|port| outcome.count(port));
    // One for each second of the test, which takes less than a minute. Two ports may share a place in the
    // server's hashed table, once in 200 runs.
    assert!(counts.iter().all(|count| *count < 60), "{counts:?}");
    assert!(PORTS.len() - 1 <= counts.iter().filter(|count| 0 < **count).count(), "{counts:?}");
    assert_eq!([7, 1023, 4000, 4001].map(|port| outcome.count(port)), [0, 0, 100, 100]);
    assert!(0 < outcome.dropped("rate"), "{}", outcome.summary);
}

/// Two plain servers with one address would reply to each other for ever.
#[test]
fn a_datagram_from_outside_with_an_address_of_this_host_is_dropped() {
    for (address, bound) in [
        ("2001:db8::1", "[2001:db8::1]"),
        ("2001:db8::1", "[::]"),
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "0.0.0.0"),
    ] {
        let ends = [7777, 7778].map(|port| format!("udp://{bound}:{port}"));
        let datagrams = format!("{address} 7778 {address} 7777 78\n{address} 4000 {address} 7777 78\n");
        let args = ["--stamp", "none", &ends[0], &ends[1]];
        let Some(outcome) = send_from_outside(&args, &datagrams) else { return };
        // The two last requests to each server are the only ones with a reply.
        assert_eq!(outcome.summary["messages"], 4, "{bound}: {}", outcome.summary);
        // The kernel itself drops such IPv4 packets before a socket receives them.
        let expected = if address.contains(':') { 2 } else { 0 };
        assert_eq!(outcome.dropped("overflow"), expected, "{bound}: {}", outcome.summary);
    }
}
