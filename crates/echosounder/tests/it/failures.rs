//! Failures of connecting and sending: reason, exit status and hint, the same in every command.

use std::fs;
use std::process::Command;

use crate::support::{
    Finished, Folder, Program, Serving, finish, has_ipv6, installed, private_hosts, private_network, python,
    run, skip,
};

const SOUNDER: &str = env!("CARGO_BIN_EXE_sounder");

/// The hint when no local port is free.
const PORTS: &str =
    "hint: use fewer connections, or widen the range of local ports: sysctl net.ipv4.ip_local_port_range\n";

/// Starts a server at these endpoints, in a network namespace with this range of local ports.
fn network_with_ports(range: &str, endpoints: &[&str]) -> Option<Serving> {
    let set = format!("echo {range} > /proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" \"$@\"");
    let mut command = private_network()?;
    command.args(["sh", "-c", &set, SOUNDER, "serve"]).args(endpoints);
    Some(Serving::start(&mut command, endpoints.len()))
}

/// Returns a command that runs its arguments in the network namespace of a server.
fn in_network_of(serving: &Serving) -> Option<Command> {
    let mut enter = installed("nsenter")?;
    enter.args([
        "--preserve-credentials",
        "--user",
        "--net",
        "--target",
        &serving.program().pid().to_string(),
    ]);
    let mut trial = Command::new(enter.get_program());
    let tried = finish(trial.args(enter.get_args()).arg("true"), b"");
    if tried.code != Some(0) {
        skip("nsenter", tried.stderr);
        return None;
    }
    Some(enter)
}

/// Returns a command with the same program and arguments.
fn copy(command: &Command) -> Command {
    let mut copy = Command::new(command.get_program());
    copy.args(command.get_args());
    copy
}

/// Runs each command that sends to a peer.
fn run_each(command: &Command, endpoint: &str, mut check: impl FnMut(&str, &Finished)) {
    for (name, args) in [
        ("ping", &["ping", "-c", "1", "-W", "5s"][..]),
        ("talk", &["talk", "-w", "5s"]),
        ("load", &["load", "-c", "1", "-n", "1", "-w", "5s"]),
    ] {
        let done = finish(copy(command).arg(SOUNDER).args(args).arg(endpoint), b"line\n");
        check(&format!("{name} {endpoint}"), &done);
    }
}

#[test]
fn exhausted_local_ports_are_a_local_failure() {
    // The server uses the only port.
    let endpoints = ["tcp://127.0.0.1:32768", "udp://127.0.0.1:32768"];
    let Some(serving) = network_with_ports("32768 32768", &endpoints) else { return };
    let Some(command) = in_network_of(&serving) else { return };
    for endpoint in endpoints {
        run_each(&command, endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            assert!(done.stderr.contains("no local port is free\n"), "{what}: {}", done.stderr);
            assert!(done.stderr.ends_with(PORTS), "{what}: {}", done.stderr);
        });
    }
    let from = ["ping", "-c", "1", "-I", "127.0.0.1", endpoints[0]];
    let done = finish(copy(&command).arg(SOUNDER).args(from), b"");
    assert_eq!((done.code, done.stderr.ends_with(PORTS)), (Some(2), true), "{done:?}");
}

#[test]
fn load_with_too_few_local_ports_is_a_local_failure() {
    let endpoints = ["tcp://127.0.0.1:7001", "udp://127.0.0.1:7001"];
    let Some(serving) = network_with_ports("32768 32817", &endpoints) else { return };
    let Some(command) = in_network_of(&serving) else { return };
    for endpoint in endpoints {
        let done = finish(copy(&command).args([SOUNDER, "load", "-c", "60", endpoint]), b"");
        assert_eq!((done.code, done.stderr.ends_with(PORTS)), (Some(2), true), "{done:?}");
    }
}

#[test]
fn connections_to_different_peers_share_local_ports() {
    let endpoints = ["tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002"];
    let Some(serving) = network_with_ports("32768 32777", &endpoints) else { return };
    let Some(command) = in_network_of(&serving) else { return };
    let load = |args: &[&str]| {
        let mut load = copy(&command);
        load.args([SOUNDER, "load", "--json", "-I", "127.0.0.1", "-c", "8"]).args(args);
        load
    };
    let first = Program::start(&mut load(&["-d", "1h", endpoints[0]]));
    first.wait_for_lines(1);
    let done = finish(&mut load(&["-n", "100", endpoints[1]]), b"");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    first.signal("INT");
    assert_eq!(first.wait().code, Some(0));
}

#[test]
fn rejecting_routes_make_a_peer_unreachable() {
    let Some(network) = private_network() else { return };
    if installed("ip").is_none() {
        return;
    }
    for kind in ["blackhole", "prohibit", "unreachable", "throw"] {
        let mut command = copy(&network);
        let routes = format!(
            "ip route add {kind} 192.0.2.0/24; ip -6 route add {kind} 2001:db8::/32; exec \"$0\" \"$@\""
        );
        command.args(["sh", "-c", &routes]);
        for endpoint in
            ["udp://192.0.2.1:9", "tcp://192.0.2.1:9", "udp://[2001:db8::1]:9", "tcp://[2001:db8::1]:9"]
        {
            run_each(&command, endpoint, |what, done| {
                assert_eq!(done.code, Some(1), "{kind}: {what}: {done:?}");
                let output = format!("{}{}", done.text(), done.stderr);
                assert!(output.contains("UNREACHABLE"), "{kind}: {what}: {output}");
            });
        }
    }
}

#[test]
fn broadcast_address_of_a_network_is_refused() {
    let Some(network) = private_network() else { return };
    if installed("ip").is_none() {
        return;
    }
    let mut command = copy(&network);
    command.args(["sh", "-c", "ip address add 192.0.2.1/24 brd + dev lo; exec \"$0\" \"$@\""]);
    for endpoint in ["udp://192.0.2.255:9", "tcp://192.0.2.255:9"] {
        run_each(&command, endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            assert!(
                done.stderr.contains("it is a multicast or broadcast address"),
                "{what}: {}",
                done.stderr
            );
        });
    }
}

#[test]
fn link_local_address_without_interface_is_a_local_failure() {
    if !has_ipv6() {
        return;
    }
    for endpoint in ["udp://[fe80::1]:9", "tcp://[fe80::1]:9"] {
        run_each(&Command::new("env"), endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            let hint = "hint: a link-local address requires its interface, as in [fe80::1%eth0]\n";
            assert!(done.stderr.ends_with(hint), "{what}: {}", done.stderr);
        });
    }
}

#[test]
fn peer_of_a_family_without_addresses_is_unreachable() {
    let Some(network) = private_network() else { return };
    let mut command = copy(&network);
    let disable = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; exec \"$0\" \"$@\"";
    command.args(["sh", "-c", disable]);
    for endpoint in ["udp://[::1]:9", "tcp://[::1]:9"] {
        run_each(&command, endpoint, |what, done| {
            assert_eq!(done.code, Some(1), "{what}: {done:?}");
            let output = format!("{}{}", done.text(), done.stderr);
            assert!(output.contains("UNREACHABLE"), "{what}: {output}");
        });
    }
}

#[test]
fn unknown_interface_is_not_a_dns_failure() {
    for endpoint in ["udp://[fe80::1%nowhere]:9", "tcp://[fe80::1%nowhere]:9"] {
        run_each(&Command::new("env"), endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            assert!(!done.stderr.contains("DNS"), "{what}: {}", done.stderr);
        });
    }
    run_each(&Command::new("env"), "tcp://nobody.invalid:9", |what, done| {
        assert_eq!(done.code, Some(1), "{what}: {done:?}");
        let output = format!("{}{}", done.text(), done.stderr);
        assert!(output.contains("DNS"), "{what}: {output}");
    });
}

#[test]
fn exhausted_descriptors_are_never_a_failure_of_the_peer() {
    let endpoint = format!("tcp://localhost:{}", crate::support::closed_port());
    for limit in 4..=12 {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\""), "env"]);
        run_each(&command, &endpoint, |what, done| {
            let output = format!("{}{}", done.text(), done.stderr);
            match done.code {
                Some(1) => assert!(output.contains("REFUSED"), "{limit}: {what}: {output}"),
                // With very few descriptors, the loader cannot open the libraries.
                code => assert!(matches!(code, Some(2 | 127)), "{limit}: {what}: {output}"),
            }
        });
    }
}

#[test]
fn targets_without_any_result_have_no_table() {
    let done = run(&["ping", "-c", "1", "tcp://one.invalid", "tcp://two.invalid"], b"");
    assert_eq!((done.code, done.text()), (Some(1), ""), "{done:?}");
}

#[test]
fn oversized_message_is_a_local_failure() {
    let folder = Folder::new();
    let v4 = "a UDP message over IPv4 has at most 65,507 bytes";
    let queue = "a message must fit into the send buffer: sysctl net.core.wmem_default";
    let path = |scheme: &str| format!("{scheme}:{}", folder.join(scheme));
    let cases = [
        ("udp://127.0.0.1:0".to_owned(), "65508", v4),
        (path("unix-dgram"), "1m", queue),
        (path("unix-seqpacket"), "1m", queue),
    ];
    for (endpoint, size, limit) in cases {
        for command in [&["ping", "-c", "1"][..], &["load", "-n", "1"]] {
            let done = run(&[command, &["--self", "-s", size, &endpoint]].concat(), b"");
            assert_eq!(done.code, Some(2), "{command:?} {endpoint}: {done:?}");
            let output = format!(": Message too long\nhint: {limit}\n");
            assert!(done.stderr.contains(&output), "{command:?} {endpoint}: {}", done.stderr);
        }
    }
}

#[test]
fn at_most_sixteen_addresses_of_a_name_are_tried() {
    let folder = Folder::new();
    let hosts = folder.join("hosts");
    let line = |n: u32| format!("127.{}.{}.{} many\n", 1 + n / 10_000, n / 100 % 100, 1 + n % 100);
    fs::write(&hosts, (0..3000).map(line).collect::<String>()).unwrap();
    let Some(mut command) = private_hosts(&hosts) else { return };
    command.arg("env");
    let port = crate::support::closed_port();
    run_each(&command, &format!("tcp://many:{port}"), |what, done| {
        assert_eq!(done.code, Some(1), "{what}: {done:?}");
        // Without "multi on" in host.conf(5) a name has only its first address.
        if done.stderr.contains(';') {
            assert_eq!(done.stderr.matches("Connection refused").count(), 3, "{what}: {}", done.stderr);
            assert!(done.stderr.contains("; and 13 more\n"), "{what}: {}", done.stderr);
        }
    });
}

#[test]
fn forged_icmp_errors_do_not_end_a_load() {
    let Some(serving) = network_with_ports("32768 32777", &["udp://127.0.0.1:7001"]) else { return };
    let (Some(command), Some(script)) = (in_network_of(&serving), python("icmp.py", ["127.0.0.1:7001"]))
    else {
        return;
    };
    let mut forger = copy(&command);
    forger.arg(script.get_program()).args(script.get_args());
    let forger = Program::start(&mut forger);
    forger.wait_for_lines(1);
    for pace in [&["-p", "4"][..], &["-r", "2k"]] {
        let args = [
            "load",
            "--json",
            "-c",
            "4",
            "-n",
            "1000",
            "--warm-up",
            "0",
            "-w",
            "20s",
            "udp://127.0.0.1:7001",
        ];
        let done = finish(copy(&command).arg(SOUNDER).args(args).args(pace), b"");
        let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{pace:?}: {result}");
        assert_eq!((&result["answered"], &result["lost"]), (&1000.into(), &0.into()), "{pace:?}: {result}");
        assert_ne!(result["network_errors"], 0, "{pace:?}: {result}");
    }
    drop(forger);
}

#[test]
fn forged_icmp_errors_do_not_end_ping_and_talk() {
    let Some(serving) = network_with_ports("32768 32777", &["udp://127.0.0.1:7001"]) else { return };
    for mtu in ["0", "68", "1400"] {
        let (Some(command), Some(script)) =
            (in_network_of(&serving), python("icmp.py", ["127.0.0.1:7001", mtu]))
        else {
            return;
        };
        let mut forger = copy(&command);
        let forger = Program::start(forger.arg(script.get_program()).args(script.get_args()));
        forger.wait_for_lines(1);
        let ping = ["ping", "--json", "-q", "-c", "100", "-i", "5ms", "-W", "20s", "udp://127.0.0.1:7001"];
        let done = finish(copy(&command).arg(SOUNDER).args(ping), b"");
        // The errors end neither command. On a busy machine an error may be counted before the reply
        // to the last requests arrives.
        let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
        assert!(matches!(done.code, Some(0 | 1)) && done.stderr.is_empty(), "{mtu}: {done:?}");
        assert_eq!(result["sent"], 100, "{mtu}: {result}");
        assert!(50 <= result["answered"].as_u64().unwrap(), "{mtu}: {result}");
        let talk = ["talk", "--json", "-w", "20s", "udp://127.0.0.1:7001"];
        let done = finish(copy(&command).arg(SOUNDER).args(talk), &b"line\n".repeat(50));
        assert!(matches!(done.code, Some(0 | 1)), "{mtu}: {done:?}");
        let timed = done.objects().iter().filter(|reply| reply["rtt_ns"].is_number()).count();
        assert!(25 <= timed, "{mtu}: {}", done.text());
    }
}

#[test]
fn a_limit_of_threads_is_named_in_a_hint() {
    for args in [
        &["serve", "udp://127.0.0.1:0"][..],
        &["serve", "--transcript", "off", "tcp://127.0.0.1:0"],
        &["ping", "-c", "1", "udp://127.0.0.1:9"],
        &["talk", "udp://127.0.0.1:9"],
        &["load", "-n", "1", "udp://127.0.0.1:9"],
    ] {
        // The limit does not concern root: RLIMIT_NPROC, getrlimit(2).
        let Some(mut limited) = installed("setpriv") else { return };
        limited.args(["--reuid=65534", "--regid=65534", "--clear-groups", "prlimit", "--nproc=1", SOUNDER]);
        let version = finish(copy(&limited).arg("--version"), b"");
        if version.code != Some(0) {
            return skip("change of user", version.stderr);
        }
        let done = finish(limited.args(args), b"");
        let lines: Vec<&str> = done.stderr.lines().collect();
        let [reason, hint] = lines[..] else { panic!("{args:?}: {}", done.stderr) };
        assert_eq!(done.code, Some(2), "{args:?}");
        assert!(reason.starts_with("sounder: cannot start "), "{args:?}: {reason}");
        assert!(reason.ends_with(": Resource temporarily unavailable"), "{args:?}: {reason}");
        assert_eq!(hint, "hint: \"ulimit -u\", or pids.max of the control group, limits the threads");
    }
}
