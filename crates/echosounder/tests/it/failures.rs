//! Whose failure it is: the word, the exit code and the hint of what fails on connect and on send, in every command.

use std::fs;
use std::process::Command;

use crate::support::{
    Finished, Folder, Program, Serving, finish, has_ipv6, installed, private_hosts, private_network, python,
    run, skip,
};

const SOUNDER: &str = env!("CARGO_BIN_EXE_sounder");

/// What helps when there is no local port.
const PORTS: &str =
    "hint: use fewer connections, or widen the range of local ports: sysctl net.ipv4.ip_local_port_range\n";

/// A network with these ephemeral ports alone, in which `sounder serve` replies at these endpoints.
fn network_with_ports(range: &str, endpoints: &[&str]) -> Option<Serving> {
    let set = format!("echo {range} > /proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" \"$@\"");
    let mut command = private_network()?;
    command.args(["sh", "-c", &set, SOUNDER, "serve"]).args(endpoints);
    Some(Serving::start(&mut command, endpoints.len()))
}

/// A command that runs its arguments in the network that a server has to itself.
fn beside(serving: &Serving) -> Option<Command> {
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

fn again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    again
}

/// Runs each command that asks a peer.
fn ask(command: &Command, endpoint: &str, mut check: impl FnMut(&str, &Finished)) {
    for (name, args) in [
        ("ping", &["ping", "-c", "1", "-W", "5s"][..]),
        ("talk", &["talk", "-w", "5s"]),
        ("load", &["load", "-c", "1", "-n", "1", "-w", "5s"]),
    ] {
        let done = finish(again(command).arg(SOUNDER).args(args).arg(endpoint), b"line\n");
        check(&format!("{name} {endpoint}"), &done);
    }
}

#[test]
fn without_a_local_port_it_is_this_machine_that_fails() {
    // The server has the only port.
    let endpoints = ["tcp://127.0.0.1:32768", "udp://127.0.0.1:32768"];
    let Some(serving) = network_with_ports("32768 32768", &endpoints) else { return };
    let Some(command) = beside(&serving) else { return };
    for endpoint in endpoints {
        ask(&command, endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            assert!(done.stderr.contains("no local port is free\n"), "{what}: {}", done.stderr);
            assert!(done.stderr.ends_with(PORTS), "{what}: {}", done.stderr);
        });
    }
    let from = ["ping", "-c", "1", "-I", "127.0.0.1", endpoints[0]];
    let done = finish(again(&command).arg(SOUNDER).args(from), b"");
    assert_eq!((done.code, done.stderr.ends_with(PORTS)), (Some(2), true), "{done:?}");
}

#[test]
fn a_load_of_more_connections_than_ports_is_this_machines_failure() {
    let endpoints = ["tcp://127.0.0.1:7001", "udp://127.0.0.1:7001"];
    let Some(serving) = network_with_ports("32768 32817", &endpoints) else { return };
    let Some(command) = beside(&serving) else { return };
    for endpoint in endpoints {
        let done = finish(again(&command).args([SOUNDER, "load", "-c", "60", endpoint]), b"");
        assert_eq!((done.code, done.stderr.ends_with(PORTS)), (Some(2), true), "{done:?}");
    }
}

#[test]
fn connections_from_one_address_to_two_peers_share_its_ports() {
    let endpoints = ["tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002"];
    let Some(serving) = network_with_ports("32768 32777", &endpoints) else { return };
    let Some(command) = beside(&serving) else { return };
    let load = |args: &[&str]| {
        let mut load = again(&command);
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
fn routes_that_lead_nowhere_make_a_peer_unreachable() {
    let Some(network) = private_network() else { return };
    if installed("ip").is_none() {
        return;
    }
    for kind in ["blackhole", "prohibit", "unreachable", "throw"] {
        let mut command = again(&network);
        let routes = format!(
            "ip route add {kind} 192.0.2.0/24; ip -6 route add {kind} 2001:db8::/32; exec \"$0\" \"$@\""
        );
        command.args(["sh", "-c", &routes]);
        for endpoint in
            ["udp://192.0.2.1:9", "tcp://192.0.2.1:9", "udp://[2001:db8::1]:9", "tcp://[2001:db8::1]:9"]
        {
            ask(&command, endpoint, |what, done| {
                assert_eq!(done.code, Some(1), "{kind}: {what}: {done:?}");
                let told = format!("{}{}", done.text(), done.stderr);
                assert!(told.contains("UNREACHABLE"), "{kind}: {what}: {told}");
            });
        }
    }
}

#[test]
fn the_broadcast_address_of_a_network_is_not_asked() {
    let Some(network) = private_network() else { return };
    if installed("ip").is_none() {
        return;
    }
    let mut command = again(&network);
    command.args(["sh", "-c", "ip address add 192.0.2.1/24 brd + dev lo; exec \"$0\" \"$@\""]);
    for endpoint in ["udp://192.0.2.255:9", "tcp://192.0.2.255:9"] {
        ask(&command, endpoint, |what, done| {
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
fn an_address_that_lacks_its_interface_is_a_usage_error() {
    if !has_ipv6() {
        return;
    }
    for endpoint in ["udp://[fe80::1]:9", "tcp://[fe80::1]:9"] {
        ask(&Command::new("env"), endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            let hint = "hint: a link-local address needs its interface, as in [fe80::1%eth0]\n";
            assert!(done.stderr.ends_with(hint), "{what}: {}", done.stderr);
        });
    }
}

#[test]
fn without_any_address_in_its_family_a_peer_is_unreachable() {
    let Some(network) = private_network() else { return };
    let mut command = again(&network);
    let disable = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; exec \"$0\" \"$@\"";
    command.args(["sh", "-c", disable]);
    for endpoint in ["udp://[::1]:9", "tcp://[::1]:9"] {
        ask(&command, endpoint, |what, done| {
            assert_eq!(done.code, Some(1), "{what}: {done:?}");
            let told = format!("{}{}", done.text(), done.stderr);
            assert!(told.contains("UNREACHABLE"), "{what}: {told}");
        });
    }
}

#[test]
fn an_interface_that_does_not_exist_is_no_failure_of_the_name_service() {
    for endpoint in ["udp://[fe80::1%nowhere]:9", "tcp://[fe80::1%nowhere]:9"] {
        ask(&Command::new("env"), endpoint, |what, done| {
            assert_eq!(done.code, Some(2), "{what}: {done:?}");
            assert!(!done.stderr.contains("DNS"), "{what}: {}", done.stderr);
        });
    }
    ask(&Command::new("env"), "tcp://nobody.invalid:9", |what, done| {
        assert_eq!(done.code, Some(1), "{what}: {done:?}");
        let told = format!("{}{}", done.text(), done.stderr);
        assert!(told.contains("DNS"), "{what}: {told}");
    });
}

#[test]
fn a_lack_of_descriptors_is_never_a_failure_of_the_peer_or_of_its_name() {
    let endpoint = format!("tcp://localhost:{}", crate::support::closed_port());
    for limit in 4..=12 {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\""), "env"]);
        ask(&command, &endpoint, |what, done| {
            let told = format!("{}{}", done.text(), done.stderr);
            match done.code {
                Some(1) => assert!(told.contains("REFUSED"), "{limit}: {what}: {told}"),
                // With the fewest not even the libraries can be loaded.
                code => assert!(matches!(code, Some(2 | 127)), "{limit}: {what}: {told}"),
            }
        });
    }
}

#[test]
fn a_message_that_is_too_long_to_be_sent_is_this_machines_failure() {
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
            let told = format!(": Message too long\nhint: {limit}\n");
            assert!(done.stderr.contains(&told), "{command:?} {endpoint}: {}", done.stderr);
        }
    }
}

#[test]
fn of_a_name_with_thousands_of_addresses_sixteen_are_tried() {
    let folder = Folder::new();
    let hosts = folder.join("hosts");
    let line = |n: u32| format!("127.{}.{}.{} many\n", 1 + n / 10_000, n / 100 % 100, 1 + n % 100);
    fs::write(&hosts, (0..3000).map(line).collect::<String>()).unwrap();
    let Some(mut command) = private_hosts(&hosts) else { return };
    command.arg("env");
    let port = crate::support::closed_port();
    ask(&command, &format!("tcp://many:{port}"), |what, done| {
        assert_eq!(done.code, Some(1), "{what}: {done:?}");
        // Without "multi on" in host.conf(5) a name has only its first address.
        if done.stderr.contains(';') {
            assert_eq!(done.stderr.matches("Connection refused").count(), 3, "{what}: {}", done.stderr);
            assert!(done.stderr.contains("; and 13 more\n"), "{what}: {}", done.stderr);
        }
    });
}

#[test]
fn icmp_errors_that_anybody_can_forge_end_no_load() {
    let Some(serving) = network_with_ports("32768 32777", &["udp://127.0.0.1:7001"]) else { return };
    let (Some(command), Some(script)) = (beside(&serving), python("icmp.py", ["127.0.0.1:7001"])) else {
        return;
    };
    let mut forger = again(&command);
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
        let done = finish(again(&command).arg(SOUNDER).args(args).args(pace), b"");
        let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{pace:?}: {result}");
        assert_eq!((&result["answered"], &result["lost"]), (&1000.into(), &0.into()), "{pace:?}: {result}");
        assert_ne!(result["network_errors"], 0, "{pace:?}: {result}");
    }
    drop(forger);
}
