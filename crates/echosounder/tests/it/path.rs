//! What ping finds out about the path: in networks of its own.

use std::process::Command;

use crate::support::{Finished, finish, net_lab};

/// An interface with an MTU of 1,300 bytes, and a peer behind it that never replies.
const SHORT: &str = "ip link add short mtu 1300 type veth peer name other
    ip address add 10.9.0.1/24 dev short
    ip -6 address add fd09::1/64 dev short nodad
    ip link set short up; ip link set other up
    ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev short
    ip neighbour add fd09::2 lladdr 02:00:00:00:00:02 dev short";

fn ping(mut lab: Command, args: &[&str]) -> Finished {
    lab.args([env!("CARGO_BIN_EXE_sounder"), "ping", "-c", "2", "-i", "10ms", "-W", "50ms"]);
    finish(lab.args(args), b"")
}

#[test]
fn requests_that_exceed_the_mtu_are_too_long() {
    for target in ["udp://10.9.0.2:7", "udp://[fd09::2]:7"] {
        let Some(lab) = net_lab(SHORT) else { return };
        let done = ping(lab, &["-M", "do", "-s", "1400", target]);
        assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""), "{done:?}");
        let address = target.split_once("://").unwrap().1;
        let lines: Vec<&str> = done.text().lines().collect();
        assert_eq!(lines[1], format!("{address}: seq=1 TOO_LONG (path MTU 1300)"));
        assert_eq!(lines[2], format!("{address}: seq=2 TOO_LONG (path MTU 1300)"));
        assert_eq!(lines.last(), Some(&"lost     2 TOO_LONG"));
    }
}

#[test]
fn requests_that_exceed_the_mtu_are_fragmented_by_default() {
    let Some(lab) = net_lab(SHORT) else { return };
    let done = ping(lab, &["-s", "1400", "--json", "udp://10.9.0.2:7"]);
    let objects = done.objects();
    let result = objects.last().unwrap();
    assert_eq!((&result["timeout"], &result["too_long"]), (&2.into(), &0.into()), "{result}");
}
