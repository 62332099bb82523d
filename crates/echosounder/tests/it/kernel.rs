//! The kernel's reports in `sounder ping`: retransmissions of TCP and the queue of the network
//! interface, in network namespaces where segments are dropped and packets have to wait.

use std::process::Command;

use serde_json::Value;

use crate::schema::assert_lines;
use crate::support::{Finished, finish, installed, may_run, run, sounder};

/// Returns a command that runs `sounder` with these arguments in a network namespace after `setup`,
/// and prints what `teardown` prints to standard error; or skips without the programs or the right.
fn in_network(setup: &str, teardown: &str, programs: &[&str], args: &[&str]) -> Option<Command> {
    let mut unshare = installed("unshare")?;
    if programs.iter().any(|program| installed(program).is_none()) {
        return None;
    }
    let script = format!("ip link set lo up && {setup} && \"$@\"; status=$?; {teardown} >&2; exit $status");
    unshare.args(["--map-root-user", "--net", "sh", "-c", &script, "sh"]);
    let mut command = may_run(unshare)?;
    let sounder = sounder(args);
    command.arg(sounder.get_program()).args(sounder.get_args());
    Some(command)
}

/// Runs `sounder` with these arguments where every twentieth segment with data to port 7777 is
/// lost, and returns how many were; or skips.
///
/// A segment without data is never sent again. It has at most 80 bytes: the headers of IPv4 and TCP
/// with all options, such as the SACK block that answers a needless retransmission.
fn with_drops(args: &[&str]) -> Option<(Finished, u64)> {
    let rules = "nft -f - <<'END'
table ip loss {
    chain input {
        type filter hook input priority 0;
        tcp dport 7777 meta length > 80 numgen inc mod 20 == 0 counter drop
    }
}
END
true";
    let done = finish(&mut in_network(rules, "nft list ruleset", &["ip", "nft"], args)?, b"");
    let counter = done.stderr.split_once("counter packets ").unwrap_or_else(|| panic!("{done:?}")).1;
    let drops = counter.split_once(' ').unwrap().0.parse().unwrap();
    assert!(8 <= drops, "{done:?}");
    Some((done, drops))
}

fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{key}: {object}"))
}

/// Returns the samples and the result.
fn lines(done: &Finished) -> (Vec<Value>, Value) {
    let mut lines = done.objects();
    assert_lines(&lines);
    let result = lines.pop().unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!((done.code, &result["event"]), (Some(0), &Value::from("result")), "{done:?}");
    lines.retain(|line| line["event"] == "sample");
    (lines, result)
}

#[test]
fn retransmissions_explain_the_spikes_that_drops_cause() {
    let args = ["ping", "--json", "--self", "tcp://127.0.0.1:7777", "-i", "0", "-c", "200", "-W", "20s"];
    let Some((done, drops)) = with_drops(&args) else { return };
    let (samples, result) = lines(&done);
    let sums = samples.iter().map(|sample| number(sample, "retransmissions"));
    assert_eq!(sums.sum::<u64>(), number(&result["tcp"], "retransmissions"));
    // On a busy machine, segments that arrived may be sent again, too.
    assert!(drops <= number(&result["tcp"], "retransmissions"), "{drops} {result}");
    // A lost segment is sent again after 200 ms: RFC 6298, and TCP_RTO_MIN of Linux.
    let is_spike = |sample: &&Value| 200_000_000 <= number(sample, "rtt_ns");
    let spikes: Vec<&Value> = samples.iter().filter(is_spike).collect();
    let explained = spikes.iter().filter(|sample| number(sample, "retransmissions") != 0).count();
    assert!(drops <= explained as u64, "{drops} drops, {explained} of {} spikes", spikes.len());
}

#[test]
fn load_counts_the_retransmissions_of_all_connections() {
    let args = ["load", "--json", "--self", "tcp://127.0.0.1:7777", "-c", "5", "-n", "500", "-w", "20s"];
    let Some((done, drops)) = with_drops(&[&args[..], &["--warm-up", "0"]].concat()) else { return };
    let (_, result) = lines(&done);
    assert_eq!(number(&result["tcp"]["rtt"], "count"), 5, "{result}");
    assert!(drops <= number(&result["tcp"], "retransmissions"), "{drops} {result}");
    let udp = run(&["load", "--json", "--self", "udp://127.0.0.1:0", "-n", "10", "--warm-up", "0"], b"");
    assert_eq!(lines(&udp).1["tcp"], Value::Null);
}

#[test]
fn wire_leaves_out_the_queue_of_the_interface() {
    // A packet of 1,228 bytes takes 49 ms, and ten of them are sent within 10 ms, or a little more on
    // a busy machine.
    let queue = "ip link set lo mtu 1500 && tc qdisc add dev lo root tbf rate 200kbit burst 1540 limit 100k";
    let args = ["-s", "1200", "-i", "1ms", "-c", "10", "-W", "20s"];
    let args = [&["ping", "--self", "udp://127.0.0.1:7777"], &args[..]].concat();
    let Some(mut ping) = in_network(queue, "true", &["ip", "tc"], &args) else { return };
    let done = finish(&mut ping, b"");
    let text = done.text();
    assert!(text.contains("\nqueue    requests waited ") && text.contains("\nwire "), "{text}");
    let Some(mut ping) = in_network(queue, "true", &["ip", "tc"], &[&args[..], &["--json"]].concat()) else {
        return;
    };
    let done = finish(&mut ping, b"");
    let (samples, result) = lines(&done);
    for sample in &samples {
        assert!(number(sample, "wire_ns") < number(sample, "rtt_ns"), "{sample}");
        assert_eq!(sample["retransmissions"], Value::Null);
    }
    let mean = |key: &str| result[key]["mean_ns"].as_f64().unwrap();
    assert_eq!((number(&result["wire"], "count"), number(&result["queue"], "count")), (10, 10), "{result}");
    // Nine requests leave before the last one, and most of the replies to them.
    assert!(300_000_000 < number(&result["queue"], "max_ns"), "{result}");
    assert!(mean("queue") <= mean("rtt") - mean("wire"), "{result}");
    assert_eq!(result["tcp"], Value::Null);
}
