//! What ping finds out about the path: in networks of its own.

use std::process::Command;

use crate::support::{Finished, finish, installed, net_lab, run, skip};

/// An interface with an MTU of 1,300 bytes, and a peer behind it that never replies.
const SHORT: &str = "ip link add short mtu 1300 type veth peer name other
    ip address add 10.9.0.1/24 dev short
    ip -6 address add fd09::1/64 dev short nodad
    ip link set short up; ip link set other up
    ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev short
    ip neighbour add fd09::2 lladdr 02:00:00:00:00:02 dev short";

fn ping(mut lab: Command, args: &[&str]) -> Finished {
    lab.args([env!("CARGO_BIN_EXE_sounder"), "ping", "-c", "2", "-i", "10ms"]);
    finish(lab.args(args), b"")
}

#[test]
fn requests_that_exceed_the_mtu_are_too_long() {
    for (target, address) in [("udp://10.9.0.2:7", "10.9.0.2"), ("udp://[fd09::2]:7", "fd09::2")] {
        let Some(lab) = net_lab(SHORT) else { return };
        let done = ping(lab, &["-M", "do", "-s", "1400", target]);
        assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""), "{done:?}");
        let lines: Vec<&str> = done.text().lines().collect();
        assert_eq!(lines[1], format!("{address}: seq=1 TOO_LONG (path MTU 1300)"));
        assert_eq!(lines[2], format!("{address}: seq=2 TOO_LONG (path MTU 1300)"));
        assert_eq!(lines.last(), Some(&"lost     2 TOO_LONG"));
    }
}

#[test]
fn requests_that_exceed_the_mtu_are_fragmented_by_default() {
    let Some(lab) = net_lab(SHORT) else { return };
    let done = ping(lab, &["-W", "50ms", "-s", "1400", "--json", "udp://10.9.0.2:7"]);
    let objects = done.objects();
    let result = objects.last().unwrap();
    assert_eq!((&result["timeout"], &result["too_long"]), (&2.into(), &0.into()), "{result}");
}

/// A router with another network behind it, whose MTU is 1,300 bytes. The host there has 10.8.0.2 and
/// fd08::2, and no reply comes from other addresses of that network.
const ROUTED: &str = "ip netns add router; ip netns add host
    ip link add near type veth peer name router netns router
    ip -n router link add far mtu 1300 type veth peer name host mtu 1300 netns host
    ip address add 10.9.0.1/24 dev near; ip -6 address add fd09::1/64 dev near nodad
    ip -n router address add 10.9.0.254/24 dev router
    ip -n router -6 address add fd09::254/64 dev router nodad
    ip -n router address add 10.8.0.254/24 dev far
    ip -n router -6 address add fd08::254/64 dev far nodad
    ip -n host address add 10.8.0.2/24 dev host; ip -n host -6 address add fd08::2/64 dev host nodad
    ip link set near up; ip -n router link set router up; ip -n router link set far up
    ip -n host link set host up
    ip netns exec router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip route add default via 10.9.0.254; ip -6 route add default via fd09::254
    ip -n host route add default via 10.8.0.254; ip -n host -6 route add default via fd08::254";

/// Allows ping sockets, which a new network namespace forbids.
const PING_SOCKETS: &str = "sysctl -qw net.ipv4.ping_group_range='0 0'";

/// Runs a program without CAP_NET_RAW.
const UNPRIVILEGED: &str = "set -- setpriv --bounding-set=-net_raw --inh-caps=-net_raw \"$@\"";

#[test]
fn any_host_replies_to_icmp() {
    let unprivileged = format!("{PING_SOCKETS}\n{UNPRIVILEGED}");
    for (way, script) in [("ping socket", unprivileged.as_str()), ("raw socket", "")] {
        if way == "ping socket" && installed("setpriv").is_none() {
            continue;
        }
        let Some(lab) = net_lab(&format!("{ROUTED}\n{script}")) else { return };
        let done = ping(
            lab,
            &["--json", "-W", "10s", "-s", "16", "icmp://10.8.0.2", "icmp://[fd08::2]", "icmp://127.0.0.1"],
        );
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{way}: {done:?}");
        let objects = done.objects();
        let of = |event: &str| objects.iter().filter(|object| object["event"] == event).collect::<Vec<_>>();
        assert_eq!(of("result").len(), 3, "{way}");
        for result in of("result") {
            assert_eq!(
                (&result["answered"], &result["unexpected"]),
                (&2.into(), &0.into()),
                "{way}: {result}"
            );
            assert_eq!(result["server_timestamps"], "none");
        }
        for sample in of("sample") {
            // The router has taken one.
            let ttl = if sample["endpoint"] == "icmp://127.0.0.1" { 64 } else { 63 };
            assert_eq!(sample["ttl"], ttl, "{way}: {sample}");
        }
        for start in of("start") {
            assert_eq!((&start["probe"], &start["resolved"]), (&"icmp".into(), &start["endpoint"]), "{way}");
            assert_eq!(start["kernel_rx_timestamps"], true, "{way}");
        }
    }
}

#[test]
fn errors_of_routers_are_attributed_to_their_requests() {
    for script in ["", PING_SOCKETS] {
        for (target, router, error) in [
            ("icmp://10.8.0.2", "10.9.0.254", "time to live exceeded"),
            ("icmp://[fd08::2]", "fd09::254", "hop limit exceeded"),
            ("udp://10.8.0.2:7", "10.9.0.254", "time to live exceeded"),
        ] {
            let Some(lab) = net_lab(&format!("{ROUTED}\n{script}")) else { return };
            let done = ping(lab, &["-W", "10s", "-t", "1", target]);
            assert_eq!(done.code, Some(1), "{done:?}");
            for number in 1..=2 {
                let (start, end) =
                    (format!("seq={number} UNREACHABLE after "), format!(" ms ({error}, from {router})"));
                let is_it = |line: &&str| line.contains(&start) && line.ends_with(&end);
                assert_eq!(done.text().lines().filter(is_it).count(), 1, "{target}: {done:?}");
            }
        }
    }
}

#[test]
fn routers_report_the_path_mtu() {
    for (target, router) in [
        ("icmp://10.8.0.2", "10.9.0.254"),
        ("icmp://[fd08::2]", "fd09::254"),
        ("udp://10.8.0.2:7", "10.9.0.254"),
    ] {
        let Some(lab) = net_lab(ROUTED) else { return };
        let done = ping(lab, &["-i", "0", "-W", "10s", "-M", "do", "-s", "1400", target]);
        assert_eq!(done.code, Some(1), "{done:?}");
        let end = format!(" ms (path MTU 1300, from {router})");
        let is_it = |line: &str| line.contains("seq=1 TOO_LONG after ") && line.ends_with(&end);
        assert!(done.text().lines().any(is_it), "{target}: {done:?}");
        // This machine knows the path MTU by now.
        assert!(done.text().contains("seq=2 TOO_LONG (path MTU 1300)\n"), "{target}: {done:?}");
    }
}

#[test]
fn missing_right_to_icmp_is_explained() {
    if installed("setpriv").is_none() {
        return;
    }
    let Some(lab) = net_lab(UNPRIVILEGED) else { return };
    let done = ping(lab, &["icmp://127.0.0.1"]);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!((done.code, lines[0]), (Some(2), "sounder: cannot open an ICMP socket: Permission denied"));
    let hint = "hint: let your group open ping sockets: \"sysctl -w net.ipv4.ping_group_range='0 2147483647'\" (it is ";
    assert!(
        lines[1].starts_with(hint) && lines[1].ends_with("), or give this program CAP_NET_RAW"),
        "{done:?}"
    );
}

/// Two routers in one network. The first one forwards to the second and sends redirects.
const REDIRECTED: &str = "ip netns add first; ip netns add second
    ip link add lan type bridge; ip link set lan up; ip address add 10.9.0.1/24 dev lan
    ip link add one type veth peer name lan netns first; ip link set one master lan up
    ip link add two type veth peer name lan netns second; ip link set two master lan up
    ip -n first address add 10.9.0.254/24 dev lan; ip -n first link set lan up
    ip -n second address add 10.9.0.253/24 dev lan; ip -n second link set lan up
    ip -n second link set lo up; ip -n second address add 10.7.0.1/32 dev lo
    ip netns exec first sysctl -qw net.ipv4.ip_forward=1
    ip -n first route add 10.7.0.0/24 via 10.9.0.253; ip route add 10.7.0.0/24 via 10.9.0.254";

#[test]
fn redirects_lose_no_request() {
    let Some(mut lab) = net_lab("ip link add lan type bridge 2>&- || set -- false") else { return };
    if finish(lab.arg("true"), b"").code != Some(0) {
        return skip("bridge", "this kernel has none");
    }
    for script in ["", PING_SOCKETS] {
        for target in ["icmp://10.7.0.1", "udp://10.7.0.1:7"] {
            let Some(mut lab) = net_lab(&format!("{REDIRECTED}\n{script}")) else { return };
            let ping = "\"$0\" ping --json -c 3 -i 0.2 -W 10s \"$1\"; ip route get 10.7.0.1 >&2";
            lab.args(["sh", "-c", ping, env!("CARGO_BIN_EXE_sounder"), target]);
            let done = finish(&mut lab, b"");
            assert!(done.stderr.contains("<redirected>"), "{done:?}");
            let objects = done.objects();
            let errors: Vec<_> = objects.iter().filter_map(|object| object["icmp_error"].as_str()).collect();
            // Nothing listens on the port of UDP.
            let is_redirect = |error: &&&str| error.contains("type 5") || error.contains("redirect");
            assert_eq!(errors.iter().filter(is_redirect).count(), 0, "{done:?}");
            let answered = &objects.last().unwrap()["answered"];
            assert_eq!(*answered, if target.starts_with("icmp") { 3 } else { 0 }, "{done:?}");
        }
    }
}

#[test]
fn doctor_shows_the_rights_to_icmp() {
    if installed("setpriv").is_none() {
        return;
    }
    for (script, ping_sockets, raw_sockets) in [
        (UNPRIVILEGED.to_owned(), "not_permitted", "not_permitted"),
        (format!("{PING_SOCKETS}\n{UNPRIVILEGED}"), "works", "not_permitted"),
        (String::new(), "not_permitted", "works"),
    ] {
        let Some(mut lab) = net_lab(&script) else { return };
        let done = finish(lab.args([env!("CARGO_BIN_EXE_sounder"), "doctor", "--json"]), b"");
        for (check, status, remedy) in [
            (
                "icmp",
                ping_sockets,
                "let your group open ping sockets: \"sysctl -w net.ipv4.ping_group_range=",
            ),
            ("raw", raw_sockets, "CAP_NET_RAW"),
        ] {
            let rows: Vec<_> = done.objects().into_iter().filter(|object| object["check"] == check).collect();
            let abouts: Vec<_> = rows.iter().filter_map(|row| row["about"].as_str()).collect();
            assert!(
                abouts.len() == 2 && abouts[0].starts_with("AF_INET ") && abouts[1].starts_with("AF_INET6 ")
            );
            for row in rows {
                assert_eq!(row["status"], status, "{row}");
                let text = row["remedy"].as_str().unwrap_or_default();
                assert_eq!(text.starts_with(remedy), status != "works", "{row}");
            }
        }
    }
}

#[test]
fn icmp_without_ipv6_is_unreachable() {
    let Some(lab) = net_lab("sysctl -qw net.ipv6.conf.all.disable_ipv6=1") else { return };
    let done = ping(lab, &["icmp://[::1]"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.text().contains("lost     2 UNREACHABLE"), "{done:?}");
}

#[test]
fn icmp_has_no_port_and_no_server() {
    for (args, sentence) in [
        (&["ping", "icmp://h:7"][..], "icmp:// takes a host without a port"),
        (
            &["ping", "--self", "icmp://127.0.0.1"],
            "--self starts no server at icmp://127.0.0.1: the kernel replies",
        ),
        (&["serve", "icmp://h"], "cannot serve icmp://h: the kernel itself replies to ICMP"),
        (&["talk", "icmp://h"], "icmp:// is an endpoint of \"sounder ping\" only"),
        (
            &["ping", "--ecn", "ce", "tcp://h"],
            "--ecn requires udp://, stamp:// or icmp://, not tcp://h:21567",
        ),
    ] {
        let done = run(args, b"");
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains(sentence), "{done:?}");
    }
}

#[test]
fn targets_are_compared_with_the_first() {
    let Some(lab) = net_lab("") else { return };
    let done = ping(lab, &["-W", "10s", "icmp://127.0.0.1", "icmp://127.0.0.2", "icmp://127.0.0.3"]);
    let of = |name: &str| {
        let row = done.text().lines().rfind(|line| line.starts_with(name)).unwrap_or_default();
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let number = |text: &str| text.parse::<f64>().unwrap();
    let place = of("ms ").iter().position(|column| column == "+p50").unwrap();
    let base = of("icmp://127.0.0.1 ");
    assert_eq!(base[place], "-", "{done:?}");
    for name in ["icmp://127.0.0.2 ", "icmp://127.0.0.3 "] {
        let row = of(name);
        let difference = number(&row[place - 1]) - number(&base[place - 1]);
        assert!((number(&row[place]) - difference).abs() < 0.0025, "{done:?}");
        assert!(row[place].starts_with(['+', '-']), "{done:?}");
    }
}

#[test]
fn ecn_bits_arrive_beside_the_dscp() {
    for (args, dscp, ecn) in [(&["--ecn", "ect1"][..], 0, 1), (&["--ecn", "ce", "-Q", "ef"], 46, 3)] {
        let flags = ["ping", "--self", "-c", "1", "-W", "10s", "--json", "stamp://127.0.0.1:0"];
        let done = run(&[&flags[..], args].concat(), b"");
        let objects = done.objects();
        let of = |event: &str| objects.iter().find(|object| object["event"] == event).unwrap();
        let (start, sample) = (of("start"), of("sample"));
        let chosen = (args.contains(&"-Q").then_some(dscp), Some(ecn));
        assert_eq!((&start["dscp"], &start["ecn"]), (&chosen.0.into(), &chosen.1.into()), "{start}");
        assert_eq!(start["path_mtu_discovery"], serde_json::Value::Null);
        assert_eq!(
            (&sample["request_dscp"], &sample["request_ecn"]),
            (&dscp.into(), &ecn.into()),
            "{sample}"
        );
    }
}

/// Lets the router drop packets of over 1,304 bytes without an error: the receiving end of a virtual
/// link drops what exceeds its MTU by more than a VLAN tag.
const BLACK_HOLE: &str = "ip -n router link set far mtu 1500";

/// Starts a server at the host, and waits until it replies. It ends with the program.
const SERVER: &str =
    "ip netns exec host timeout 120 \"$SOUNDER\" serve -q udp://10.8.0.2:7 stamp://10.8.0.2 \
        udp://[fd08::2]:7 >/dev/null &
    \"$SOUNDER\" ping -q --until-up -w 60 udp://10.8.0.2:7 udp://[fd08::2]:7 >/dev/null";

/// Runs a sweep beside the server.
fn sweep(args: &[&str]) -> Option<Finished> {
    let mut lab = net_lab(ROUTED)?;
    let script = format!("{SERVER}\n\"$SOUNDER\" ping \"$@\"; code=$?; kill $!; exit $code");
    lab.env("SOUNDER", env!("CARGO_BIN_EXE_sounder")).args(["sh", "-c", &script, "sh"]);
    Some(finish(lab.args(args), b""))
}

#[test]
fn a_sweep_reports_the_path_mtu() {
    for (target, sizes, router) in [
        ("icmp://10.8.0.2", "1264-1360:4", "10.9.0.254"),
        ("icmp://[fd08::2]", "1244-1300:4", "fd09::254"),
        ("udp://10.8.0.2:7", "1264-1360:4", "10.9.0.254"),
        ("udp://[fd08::2]:7", "1244-1300:4", "fd09::254"),
        ("stamp://10.8.0.2:862", "1264-1360:4", "10.9.0.254"),
    ] {
        let Some(done) = sweep(&["-W", "30s", "-s", sizes, target]) else { return };
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
        let last = format!("path MTU of {target}: 1300 bytes (reported by {router})");
        assert_eq!(done.text().lines().last(), Some(last.as_str()), "{done:?}");
        let too_long = done.text().lines().filter(|line| line.contains(" TOO_LONG ")).count();
        // Three requests of each of three sizes.
        assert_eq!(too_long, 9, "{done:?}");
    }
}

#[test]
fn a_sweep_bounds_the_path_mtu_of_a_black_hole() {
    let Some(lab) = net_lab(&format!("{ROUTED}\n{BLACK_HOLE}")) else { return };
    let done = ping_once(lab, &["--json", "-W", "3s", "-s", "1200-1500:20", "icmp://10.8.0.2"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let objects = done.objects();
    let end = objects.last().unwrap();
    assert_eq!((&end["event"], &end["endpoint"]), (&"path_mtu".into(), &"icmp://10.8.0.2".into()), "{end}");
    for (key, value) in [
        ("mtu_min_bytes", Some(1288)),
        ("mtu_max_bytes", Some(1307)),
        ("largest_answered_bytes", Some(1260)),
        ("smallest_lost_bytes", Some(1280)),
        ("reported_mtu_bytes", None),
    ] {
        assert_eq!(end[key].as_u64(), value, "{key}: {end}");
    }
    let sizes: Vec<_> = objects.iter().filter(|object| object["event"] == "start").map(size).collect();
    // After three sizes without a reply it ends.
    assert_eq!(sizes, [1200, 1220, 1240, 1260, 1280, 1300, 1320]);
}

fn size(start: &serde_json::Value) -> u64 {
    assert_eq!(start["path_mtu_discovery"], "do", "{start}");
    start["size_bytes"].as_u64().unwrap()
}

/// Pings with one request of each size.
fn ping_once(mut lab: Command, args: &[&str]) -> Finished {
    lab.args([env!("CARGO_BIN_EXE_sounder"), "ping", "-c", "1"]);
    finish(lab.args(args), b"")
}

#[test]
fn a_sweep_without_replies_finds_nothing() {
    let Some(lab) = net_lab(SHORT) else { return };
    let done = ping_once(lab, &["-W", "10ms", "-s", "100-1000:100", "udp://10.9.0.2:7", "udp://[fd09::2]:7"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""), "{done:?}");
    for target in ["udp://10.9.0.2:7", "udp://[fd09::2]:7"] {
        let line = format!("path MTU of {target}: unknown, because no request was replied to\n");
        assert!(done.text().contains(&line), "{done:?}");
        assert!(done.text().contains(&format!("\n{target} 300 bytes ")), "{done:?}");
        assert!(!done.text().contains(&format!("{target} 400 bytes")), "{done:?}");
    }
}

#[test]
fn a_sweep_is_of_datagrams_and_has_no_thresholds() {
    for (args, sentence) in [
        (&["tcp://h"][..], "a range of sizes requires udp://, stamp:// or icmp://, not tcp://h:21567"),
        (&["-M", "want", "udp://h"], "-M want or dont cannot be used with a range of sizes"),
        (&["--self", "udp://127.0.0.1:0"], "--self cannot be used with a range of sizes"),
        (&["--until-up", "udp://h"], "--until-up cannot be used with a range of sizes"),
        (&["--max-loss", "1%", "udp://h"], "--max-loss cannot be used with a range of sizes"),
        (
            &["--source-port", "4000-4001", "udp://h"],
            "a range of source ports cannot be used with a range of sizes",
        ),
    ] {
        let done = run(&[&["ping", "-s", "64-128:8"], args].concat(), b"");
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains(sentence), "{done:?}");
    }
    for (sizes, sentence) in [
        ("64-63", "the range \"64-63\" ends before it begins"),
        ("64-5000", "the range \"64-5000\" has 4937 sizes; choose a STEP by which it has at most 1000"),
        ("64:8", "\"64:8\" is not a size such as 64 or 1k, nor a range such as 1200-1500:10"),
    ] {
        let done = run(&["ping", "-s", sizes, "udp://h"], b"");
        assert!(done.code == Some(2) && done.stderr.contains(sentence), "{done:?}");
    }
}
