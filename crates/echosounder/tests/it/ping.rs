//! `sounder ping` as a process: its measurements against a link that knows what it did, signals,
//! outputs, exit statuses, and servers of others. Losses, late replies and clocks are tested in
//! virtual time, in the crates below.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use echosounder_socket::option::{IP_RECVTOS, IP_RECVTTL};
use echosounder_socket::{ControlMessage, ControlSpace, Interest, MessageFlags, Socket, Transport, ready};
use echosounder_testkit::{Fate, Forwarder, Log, OneWay, Passage, REQUEST_LEN, Random};
use serde_json::Value;

use crate::abuse::resident;
use crate::interop::socat;
use crate::schema::{assert_lines, schema};
use crate::support::{
    Finished, Folder, PATIENCE, Program, Serving, closed_port, connections, finish, free_port, has_ipv6,
    installed, json_lines, private_hosts, private_network, python, run, sh, sounder, unique, wait_for,
    wait_until, without_times,
};
use crate::talk::where_both_is_a_name;

/// How far a median may be from that of the link, in nanoseconds.
const TOLERANCE_NS: i64 = 100_000;

/// How many lines a test reads at most while it waits for one.
const LINES_MAX: usize = 5000;

/// Runs `sounder ping --json` and checks its lines against the schema.
#[track_caller]
pub(crate) fn ping(args: &[&str]) -> Finished {
    let done = run(&[&["ping", "--json"], args].concat(), b"");
    assert_lines(&done.objects());
    done
}

/// Starts `sounder ping --json`.
#[track_caller]
fn pinging(args: &[&str]) -> Program {
    Program::start(sounder(["ping", "--json"]).args(args))
}

/// Waits for a line that satisfies the condition.
#[track_caller]
fn await_line(program: &Program, condition: impl FnMut(&Value) -> bool) {
    await_lines(program, 0, 1, condition);
}

/// Waits for `count` lines that satisfy the condition, after skipping some lines.
#[track_caller]
fn await_lines(program: &Program, skip: usize, count: usize, mut condition: impl FnMut(&Value) -> bool) {
    let (mut read, mut found) = (skip, 0);
    while found < count {
        // The last line may be incomplete.
        let text = String::from_utf8(program.wait_for_bytes(1)).unwrap();
        let whole: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        let new = whole.get(read..).unwrap_or_default();
        found += new.iter().filter(|line| condition(&serde_json::from_str(line).unwrap())).count();
        read = read.max(whole.len());
        assert!(read < LINES_MAX, "waited in vain for a line, and read {read}");
        if found < count {
            program.wait_for_lines(read + 1);
        }
    }
}

fn is_answered(line: &Value) -> bool {
    line["outcome"] == "answered"
}

/// Returns the last object, which must be the result.
#[track_caller]
pub(crate) fn end(done: &Finished) -> Value {
    let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(result["event"], "result", "{done:?}");
    result
}

/// Returns the events of single requests.
pub(crate) fn samples(done: &Finished) -> Vec<Value> {
    let mut lines = done.objects();
    lines.retain(|line| line["event"] == "sample");
    lines
}

/// Fails unless the result has these counts, and zero for all others.
#[track_caller]
pub(crate) fn assert_counts(result: &Value, expected: &[(&str, u64)]) {
    let counts = ["sent", "answered", "late", "lost", "duplicate", "reordered", "unexpected", "skipped"];
    for key in counts {
        let expected = expected.iter().find(|(name, _)| *name == key).map_or(0, |(_, count)| *count);
        assert_eq!(result[key], expected, "{key}: {result}");
    }
    let reasons: u64 = ["refused", "timeout", "unreachable", "dns", "closed", "not_sent", "too_long"]
        .map(|key| count(result, key))
        .iter()
        .sum();
    assert_eq!(reasons, count(result, "lost"), "{result}");
}

#[track_caller]
pub(crate) fn count(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("{key}: {object}"))
}

#[track_caller]
fn time(object: &Value, key: &str) -> i64 {
    object[key].as_i64().unwrap_or_else(|| panic!("{key}: {object}"))
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[(values.len() - 1) / 2]
}

/// Returns the largest of the smallest tenth.
fn first_tenth(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[(values.len() - 1) / 10]
}

/// Fails unless the delays of both directions are those of the link.
///
/// The program may receive most replies late on a busy machine, so the first tenth is compared.
#[track_caller]
pub(crate) fn assert_one_way_delays(done: &Finished, log: &Log) {
    let samples = samples(done);
    let measured = samples.iter().filter(|sample| sample["outcome"] != "lost" && !sample["up_ns"].is_null());
    let measured: Vec<&Value> = measured.collect();
    assert!(!measured.is_empty());
    let truth: Vec<OneWay> =
        measured.iter().map(|sample| log.one_way(count(sample, "seq")).unwrap()).collect();
    // If each value lies between two others, so does the first tenth.
    let up = first_tenth(truth.iter().map(|delays| delays.up_ns).collect());
    let down_min = first_tenth(truth.iter().map(|delays| *delays.down_ns.start()).collect());
    let down_max = first_tenth(truth.iter().map(|delays| *delays.down_ns.end()).collect());
    let result = end(done);
    for (name, min, max) in [("up", up, up), ("down", down_min, down_max)] {
        assert_eq!(count(&result[name], "count"), truth.len() as u64, "{result}");
        let values: Vec<i64> = measured.iter().map(|sample| time(sample, &format!("{name}_ns"))).collect();
        let (least, value) = (first_tenth(values.clone()), median(values));
        let range = min - TOLERANCE_NS..=max + TOLERANCE_NS;
        assert!(range.contains(&least), "{name}: {least} ns is not within {range:?}");
        // A histogram keeps three digits.
        let reported = time(&result[name], "p50_ns");
        let rounding = value / 1000 + 1;
        assert!((reported - value).abs() <= rounding, "{name}: {reported} ns instead of {value}");
    }
}

/// Starts a UDP server and a link to it.
fn server_behind_link(fate: impl FnMut(u64) -> Fate + Send + 'static) -> (Serving, Forwarder) {
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let forwarder = Forwarder::datagrams(serving.endpoint(), fate);
    (serving, forwarder)
}

#[test]
fn one_way_delays_match_the_link() {
    let (_serving, forwarder) = server_behind_link(|_| Fate::delayed(3, 9));
    let done = ping(&[forwarder.endpoint(), "-i", "5ms", "-c", "150", "--clock", "same"]);
    let log = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = end(&done);
    assert_counts(&result, &[("sent", 150), ("answered", 150)]);
    assert_one_way_delays(&done, &log);
    for sample in samples(&done) {
        let (up, down) = (time(&sample, "up_ns"), time(&sample, "down_ns"));
        assert!(2_990_000 < up && 8_990_000 < down, "the link held it longer: {sample}");
    }
    assert_eq!(
        (&result["server_timestamps"], &result["clock"]),
        (&"rx_tx".into(), &"same".into()),
        "{result}"
    );
    let start = done.objects().swap_remove(0);
    let kernel = (&start["kernel_tx_timestamps"], &start["kernel_rx_timestamps"]);
    assert_eq!(kernel, (&true.into(), &true.into()), "{start}");
    let counts = (count(&result["kernel_tx_delay"], "count"), count(&result["kernel_rx_delay"], "count"));
    assert_eq!(counts, (150, 150), "{result}");
    assert_eq!(result["up_down_assume_symmetric_minimum"], false, "{result}");
}

#[test]
fn losses_duplicates_and_reordering_are_counted() {
    let mut random = Random::new(1);
    let (_serving, forwarder) = server_behind_link(move |number| {
        if number == 400 {
            // The replies to all others arrive before.
            return Fate::delayed(300, 300);
        }
        let mut passage = || Passage {
            delay: Duration::from_micros(random.below(20_000)),
            copies: if random.percent(10) { 0 } else { 1 + usize::from(random.percent(5)) },
        };
        Fate { up: passage(), down: passage() }
    });
    let done = ping(&[forwarder.endpoint(), "-i", "2ms", "-c", "400", "-W", "3s"]);
    let log = forwarder.end();
    let result = end(&done);
    let (lost, duplicates) = (log.lost() as u64, log.duplicates() as u64);
    assert!((40..120).contains(&lost) && 10 < duplicates && 50 < log.reordered().len(), "{lost}");
    let counts = [
        ("sent", 400),
        ("answered", 400 - lost),
        ("lost", lost),
        ("duplicate", duplicates),
        ("reordered", log.reordered().len() as u64),
    ];
    assert_counts(&result, &counts);
    assert_eq!(result["timeout"], lost, "{result}");
    assert_one_way_delays(&done, &log);
}

#[test]
fn one_way_delays_on_a_stream_count_to_the_last_byte() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let forwarder = Forwarder::stream(serving.endpoint(), (REQUEST_LEN, 7), |_| Fate::delayed(3, 9));
    let done = ping(&[forwarder.endpoint(), "-i", "20ms", "-c", "100", "--clock", "same"]);
    let log = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert_counts(&end(&done), &[("sent", 100), ("answered", 100)]);
    assert_one_way_delays(&done, &log);
    // If the server reads several requests at once, only the first reply has a timestamp.
    for sample in samples(&done).iter().filter(|sample| !sample["up_ns"].is_null()) {
        let (up, down) = (time(sample, "up_ns"), time(sample, "down_ns"));
        assert!(2_990_000 < up && 8_990_000 < down, "the link held it longer: {sample}");
    }
}

#[test]
fn ping_waits_for_a_server_and_follows_its_restart() {
    let (folder, name) = (Folder::new(), unique());
    let endpoints = [
        format!("tcp://127.0.0.1:{}", free_port()),
        format!("udp://127.0.0.1:{}", free_port()),
        format!("unix:{}", folder.join("s")),
        format!("unix-dgram:{}", folder.join("d")),
        format!("unix-seqpacket:@{name}"),
    ];
    let follow = |endpoint: &str| {
        let pinging = pinging(&[endpoint, "-i", "10ms"]);
        await_line(&pinging, |line| line["reason"] == "REFUSED");
        let serving = Serving::at(&[endpoint]);
        await_line(&pinging, is_answered);
        serving.program().signal("KILL");
        serving.program().wait();
        let before = pinging.wait_for_lines(1).len();
        await_lines(&pinging, before, 1, |line| line["reason"] == "REFUSED");
        let before = pinging.wait_for_lines(1).len();
        let serving = Serving::at(&[endpoint]);
        await_lines(&pinging, before, 1, is_answered);
        pinging.signal("INT");
        let done = pinging.wait();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}");
        serving.stop();
        let lines = done.objects();
        assert_lines(&lines);
        let result = end(&done);
        let (answered, lost) = (count(&result, "answered"), count(&result, "lost"));
        assert_counts(&result, &[("sent", answered + lost), ("answered", answered), ("lost", lost)]);
        assert!(2 <= answered && 2 <= count(&result, "refused"), "{result}");
        let events = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
        let (disconnected, connected) = (events("disconnected"), events("reconnected"));
        assert!(disconnected == connected && (0 < connected) != endpoint.starts_with("udp"), "{endpoint}");
    };
    thread::scope(|scope| {
        endpoints
            .each_ref()
            .map(|endpoint| scope.spawn(|| follow(endpoint)))
            .map(|thread| thread.join().unwrap())
    });
}

#[test]
fn until_up_waits_for_the_server_and_ends() {
    let endpoint = format!("tcp://127.0.0.1:{}", free_port());
    let waiting = pinging(&["--until-up", "-i", "10ms", &endpoint]);
    await_line(&waiting, |line| line["reason"] == "REFUSED");
    let serving = Serving::at(&[&endpoint]);
    let done = waiting.wait();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    let result = end(&done);
    assert!(1 <= count(&result, "refused") && 10_000_000 <= count(&result, "up_after_ns"), "{result}");
    let done = run(&["ping", "--until-up", &endpoint], b"");
    let text = done.text();
    assert!(text.contains("\nup       after ") && text.contains(", 0 requests without a reply\n"), "{text}");
    serving.stop();
    let done = ping(&["--until-up", "-i", "50ms", "-w", "0.2", &endpoint]);
    assert_eq!((done.code, &end(&done)["up_after_ns"]), (Some(1), &Value::Null), "{done:?}");
}

#[test]
fn each_failure_has_its_reason() {
    let fails = |args: &[&str], reason: &str| {
        let wait = if reason == "TIMEOUT" { "300ms" } else { "10s" };
        let done = ping(&[args, &["-c", "1", "-W", wait]].concat());
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        match samples(&done).as_slice() {
            [] => {
                let error = &json_lines(&done.stderr)[0];
                assert_eq!(
                    (&error["event"], &error["reason"]),
                    (&"error".into(), &reason.into()),
                    "{args:?}"
                );
            }
            [sample] => {
                assert_eq!(
                    (&sample["outcome"], &sample["reason"]),
                    (&"lost".into(), &reason.into()),
                    "{args:?}"
                );
                assert_eq!(end(&done)[reason.to_lowercase()], 1, "{done:?}");
                assert_counts(&end(&done), &[("sent", 1), ("lost", 1)]);
                assert_eq!(done.stderr, "", "{args:?}");
            }
            more => panic!("{args:?}: {more:?}"),
        }
    };
    let (folder, port) = (Folder::new(), closed_port());
    fails(&[&format!("tcp://127.0.0.1:{port}")], "REFUSED");
    fails(&[&format!("udp://127.0.0.1:{port}")], "REFUSED");
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        fails(&[&format!("{scheme}:{}", folder.join("nobody"))], "REFUSED");
        fails(&[&format!("{scheme}:@{}", unique())], "REFUSED");
    }
    if has_ipv6() {
        fails(&[&format!("udp://[::1]:{port}")], "REFUSED");
    }
    // A socket that nobody reads, and a connection that nobody accepts.
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    fails(&[&format!("udp://{}", hole.local_addr().unwrap())], "TIMEOUT");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    fails(&[&format!("tcp://{}", silent.local_addr().unwrap())], "TIMEOUT");
    fails(&["udp://nobody.invalid"], "DNS");
    fails(&["tcp://nobody.invalid"], "DNS");
}

#[test]
fn peer_without_a_route_is_unreachable() {
    let Some(network) = private_network() else { return };
    let unreachable = |command: &mut std::process::Command, endpoint: &str| {
        let sounder = env!("CARGO_BIN_EXE_sounder");
        let args = ["ping", "--json", "-c", "2", "-i", "10ms", "-W", "10s", endpoint];
        let done = finish(command.arg(sounder).args(args), b"");
        assert_eq!(done.code, Some(1), "{done:?}");
        let outputs = format!("{}{}", done.text(), done.stderr);
        assert!(outputs.contains("\"reason\":\"UNREACHABLE\""), "{outputs}");
    };
    let in_network = || {
        let mut command = std::process::Command::new(network.get_program());
        command.args(network.get_args());
        command
    };
    for endpoint in ["udp://192.0.2.1:9", "tcp://192.0.2.1:9", "udp://[2001:db8::1]:9"] {
        unreachable(&mut in_network(), endpoint);
    }
    if installed("ip").is_none() {
        return;
    }
    for kind in ["unreachable", "prohibit"] {
        let route = format!("ip route add {kind} 192.0.2.0/24 && exec \"$0\" \"$@\"");
        for endpoint in ["udp://192.0.2.1:9", "tcp://192.0.2.1:9"] {
            unreachable(in_network().args(["sh", "-c", &route]), endpoint);
        }
    }
}

/// Starts a UDP server that sends what `replies` returns for a request and its sequence number. It
/// ends with the test program.
fn datagrams(mut replies: impl FnMut(u64, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let number = str::from_utf8(&buffer[42..61]).unwrap().parse().unwrap();
            for reply in replies(number, &buffer[..len]) {
                socket.send_to(&reply, from).unwrap();
            }
        }
    });
    endpoint
}

#[test]
fn peers_that_do_not_echo_are_named() {
    for banner in ["SSH-2.0-OpenSSH_9.2p1\r\n", "220 mail.example ESMTP\r\n", "\0", "[", "[[[["] {
        let peer = connections(move |mut stream| {
            let mut buffer = [0; 64];
            let _ = stream.write_all(banner.as_bytes());
            while let Ok(1..) = stream.read(&mut buffer) {}
        });
        let done = ping(&["-c", "2", "-i", "10ms", "-W", "1s", &peer]);
        let result = end(&done);
        assert_eq!(done.code, Some(1), "{banner:?}: {done:?}");
        // Unexpected data is reported once, and the connection stays open.
        assert_counts(&result, &[("sent", 2), ("lost", 2), ("unexpected", 1)]);
        assert_eq!(result["timeout"], 2, "{banner:?}: {result}");
        let error = &json_lines(&done.stderr)[0]["error"];
        let sentence =
            format!("cannot measure {peer}: a reply does not contain its request (not an echo server?)");
        assert_eq!(*error, sentence.as_str(), "{banner:?}");
    }
    let peer = datagrams(|_, _| vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]);
    let done = ping(&["-c", "2", "-i", "10ms", "-W", "1s", &peer]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_counts(&end(&done), &[("sent", 2), ("lost", 2), ("unexpected", 2)]);
    assert!(done.stderr.contains("not an echo server?"), "{done:?}");
}

#[test]
fn ping_with_a_count_ends_with_any_faulty_server() {
    // Replies once, then closes the connection and the listener.
    let replies_once = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            drop(listener);
            let mut buffer = [0; REQUEST_LEN];
            stream.read_exact(&mut buffer).and_then(|()| stream.write_all(&buffer)).unwrap();
            // Closing with unread requests would reset the connection and discard the reply.
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        endpoint
    };
    let closes = || connections(drop);
    let nobody = || format!("unix:@{}", unique());
    let peers: [(&dyn Fn() -> String, u64); 4] =
        [(&replies_once, 1), (&closes, 0), (&nobody, 0), (&|| "netlink://2147483646".to_owned(), 0)];
    for (peer, answered) in peers {
        for (interval, count) in [("0", 3), ("1ms", 3), ("50ms", 2), ("50ms", 1)] {
            let peer = peer();
            let done = ping(&["-c", &count.to_string(), "-i", interval, "-W", "10s", &peer]);
            assert_eq!(done.code, Some(1 - i32::from(count == answered)), "{peer} {interval}: {done:?}");
            if !done.text().is_empty() {
                assert_counts(
                    &end(&done),
                    &[("sent", count), ("answered", answered), ("lost", count - answered)],
                );
            }
        }
    }
}

#[test]
fn targets_are_compared_by_timestamps_of_one_kind() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0", &format!("unix:@{}", unique())]);
    let [tcp, udp, unix] = serving.endpoints() else { panic!("three endpoints") };
    let used = |args: &[&str]| {
        let done = ping(&[args, &["-c", "2", "-i", "10ms"]].concat());
        assert_eq!(done.code, Some(0), "{args:?}: {done:?}");
        let starts = done.objects().into_iter().filter(|line| line["event"] == "start");
        starts.map(|start| start["timestamps"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    let only = |which: &str| BTreeSet::from([which.to_owned()]);
    assert_eq!(used(&[tcp, udp]), only("kernel"));
    assert_eq!(used(&[tcp, udp, unix]), only("user"));
    assert_eq!(used(&["--timestamps", "user", udp]), only("user"));
    assert_eq!(used(&["--timestamps", "kernel", udp]), only("kernel"));
    assert_eq!(used(&["--self"]), only("user"));
    let done = ping(&["--timestamps", "kernel", tcp, unix]);
    assert_eq!((done.code, done.text()), (Some(2), ""), "{done:?}");
}

#[test]
fn self_measures_every_socket_one_after_another() {
    let done = ping(&["--self", "-c", "3", "-i", "5ms"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let lines = done.objects();
    for result in lines.iter().filter(|line| line["event"] == "result") {
        assert_counts(result, &[("sent", 3), ("answered", 3)]);
    }
    // Each target has ended its requests before the next begins.
    let order: Vec<&str> = lines
        .iter()
        .filter(|line| matches!(line["event"].as_str(), Some("start" | "sample")))
        .map(|line| line["endpoint"].as_str().unwrap())
        .collect();
    let mut changes = order.clone();
    changes.dedup();
    assert_eq!(changes.len(), changes.iter().collect::<BTreeSet<_>>().len(), "{order:?}");
    assert_eq!(order.len(), 4 * changes.len(), "{order:?}");
    for scheme in ["tcp:", "udp:", "unix:", "unix-dgram:", "unix-seqpacket:"] {
        assert!(changes.iter().any(|endpoint| endpoint.starts_with(scheme)), "{changes:?}");
    }
    // A signal ends the current target, and no other begins.
    let pinging = pinging(&["--self", "-c", "1m", "-i", "5ms"]);
    await_line(&pinging, is_answered);
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!(done.code, Some(1), "the count was not reached");
    assert!(!done.stderr.contains("interrupted"), "{}", done.stderr);
    assert_eq!(done.objects().iter().filter(|line| line["event"] == "start").count(), 1);
}

/// Returns the reply to a request with these timestamps.
fn reply_with(request: &[u8], rx: &str, tx: &str) -> Vec<u8> {
    [format!("[{rx} {tx}] ").as_bytes(), &request[42..]].concat()
}

#[test]
fn flood_of_replies_is_summarised() {
    let flood = || {
        datagrams(|number, request| {
            let mut replies = if number == 1 { vec![b"noise".to_vec(); 150] } else { Vec::new() };
            replies.extend(vec![request.to_vec(); if number == 2 { 101 } else { 1 }]);
            replies
        })
    };
    let folder = Folder::new();
    let path = folder.join("r.csv");
    // Datagrams that overflow the receive buffer are lost, so the counts are those that arrived.
    let done = ping(&["-c", "5", "-i", "20ms", "-o", &path, &flood()]);
    let (lines, result) = (done.objects(), end(&done));
    let is_reported = |line: &&Value| line["event"] == "unexpected" || line["outcome"] == "duplicate";
    let reported = lines.iter().filter(is_reported).count() as u64;
    let left_out: u64 =
        lines.iter().filter(|line| line["event"] == "left_out").map(|line| count(line, "count")).sum();
    assert_eq!(reported + left_out, count(&result, "unexpected") + count(&result, "duplicate"), "{result}");
    // At most 100 are reported in each second. On a busy machine the ping may last two seconds or
    // three.
    assert!((100..=300).contains(&reported) && 0 < left_out, "{reported} and {left_out}");
    assert!(fs::read_to_string(path).unwrap().lines().count() as u64 <= 6 + reported);
    let text = run(&["ping", "-c", "5", "-i", "20ms", &flood()], b"");
    assert!(text.text().lines().any(|line| line.starts_with("127.0.0.1: … and ")), "{}", text.text());
}

#[test]
fn second_signal_ends_the_process_and_removes_the_folder() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = sounder(["ping", "--json", "--self", "-i", "0"]);
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", folder.path());
    let mut child = command.stdout(writer.try_clone().unwrap()).spawn().unwrap();
    // Once the pipe is full, the program cannot print its summary and so cannot end after the first
    // signal.
    wait_until("a full pipe", || {
        let [pipe] = ready([(writer.as_fd(), Interest::WRITE)], Some(Duration::ZERO)).unwrap();
        !pipe.can_write()
    });
    let entries = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries(), 1);
    // Signals that arrive right after the first one count as the same. A shell may have started the
    // tests in the background, where SIGINT is ignored.
    let status = wait_for("the end after a second signal", || {
        finish(&mut sh(&format!("kill -TERM {}", child.id())), b"");
        child.try_wait().unwrap()
    });
    assert_eq!((status.signal(), entries()), (Some(15), 0));
    drop(reader);
}

#[test]
fn arguments_are_escaped_on_the_terminal() {
    let evil = "/nowhere/\u{1b}[31mb.json";
    for args in [
        &["-I", "\u{1b}[31mb", "127.0.0.1"][..],
        &["-o", evil, "127.0.0.1"],
        &["-i", "\u{1b}[31mb\u{7}"],
        &["tcp://\u{1b}[31mb"],
    ] {
        let mut command = sounder(["ping", "-c", "1"]);
        // With colours, as on a terminal.
        let done = finish(command.args(args).env("CLICOLOR_FORCE", "1"), b"");
        let named = match args[0] {
            "-i" => "\"b\" is not",
            "-I" | "-o" => "\\x1b[31mb",
            _ => "\"\\u{1b}[31mb\"",
        };
        assert!(done.code != Some(0) && done.stderr.contains(named), "{args:?}: {done:?}");
        assert!(!done.stderr.contains(['\u{1b}', '\u{7}']), "{args:?}: {done:?}");
    }
}

#[test]
fn targets_that_cannot_be_measured_are_usage_errors() {
    let mut groups = vec!["udp://224.0.0.1:9", "udp://255.255.255.255:9", "tcp://224.0.0.1:9"];
    if has_ipv6() {
        groups.push("udp://[ff02::1%lo]:9");
    }
    for endpoint in groups {
        let done = ping(&["-c", "1", endpoint]);
        assert_eq!((done.code, done.text()), (Some(2), ""), "{endpoint}: {}", done.stderr);
        assert!(done.stderr.contains("multicast or broadcast address"), "{endpoint}: {}", done.stderr);
    }
    for (args, named) in [
        (&["udp://127.0.0.1:0"][..], "udp://127.0.0.1:0 "),
        (&["127.0.0.1", "tcp://[::1]:0"], "tcp://[::1]:0 "),
        (&["vsock://1:0"], "vsock://"),
        (&["-I", "", "127.0.0.1"], "--source "),
    ] {
        let done = ping(args);
        assert_eq!((done.code, done.text()), (Some(2), ""), "{args:?}");
        let error = json_lines(&done.stderr)[0]["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(named), "{args:?}: {error}");
    }
}

#[test]
fn signals_end_the_ping_or_print_interim_statistics() {
    for signal in ["INT", "TERM"] {
        let pinging = pinging(&["--self", "udp://127.0.0.1:0", "-i", "10ms"]);
        await_line(&pinging, is_answered);
        pinging.signal("QUIT");
        await_line(&pinging, |line| line["event"] == "interim");
        pinging.signal("USR1");
        await_lines(&pinging, 0, 2, |line| line["event"] == "interim");
        pinging.signal(signal);
        let done = pinging.wait();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{signal}");
        let lines = done.objects();
        assert_lines(&lines);
        let mut interims = lines.iter().filter(|line| line["event"] == "interim");
        assert_eq!(interims.clone().count(), 2, "{signal}");
        let sent = count(&end(&done), "sent");
        assert!(interims.all(|interim| 1 <= count(interim, "answered") && count(interim, "sent") <= sent));
    }
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let pinging = pinging(&[&format!("udp://{}", hole.local_addr().unwrap()), "-i", "10ms", "-W", "50ms"]);
    await_line(&pinging, |line| line["reason"] == "TIMEOUT");
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!((done.code, end(&done)["answered"].as_u64()), (Some(1), Some(0)), "nothing was answered");
}

#[test]
fn full_disk_is_reported() {
    let folder = Folder::new();
    for ending in ["json", "csv", "hdr"] {
        let path = folder.join(&format!("full.{ending}"));
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let done = ping(&["--self", "udp://127.0.0.1:0", "-c", "500", "-i", "0", "-o", &path]);
        assert_eq!(done.code, Some(2), "{ending}: {}", done.stderr);
        let lines = json_lines(&done.stderr);
        // A file of lines is written while requests are sent, and fails before the end.
        let events: Vec<_> = lines.iter().map(|line| &line["event"]).collect();
        assert_eq!(
            events,
            if ending == "csv" { &["note", "error"][..] } else { &["error"] },
            "{}",
            done.stderr
        );
        let error = &lines.last().unwrap()["error"];
        assert_eq!(*error, format!("cannot write {path}: No space left on device"), "{ending}");
        assert_counts(&end(&done), &[("sent", 500), ("answered", 500)]);
    }
    let missing = folder.join("missing/result.json");
    let done = ping(&["--self", "udp://127.0.0.1:0", "-c", "1", "-o", &missing]);
    assert_eq!((done.code, done.text()), (Some(2), ""), "nothing is measured: {}", done.stderr);
}

#[test]
fn output_that_ends_early_ends_the_ping_and_leaves_a_complete_file() {
    let (folder, sounder) = (Folder::new(), env!("CARGO_BIN_EXE_sounder"));
    let path = folder.join("result.json");
    let full = "sounder: cannot write standard output: No space left on device\n";
    for (args, sink, code, error) in [
        ("", "| head -n 2", 0, ""),
        ("--json", "| head -n 1", 0, ""),
        ("-c 20", "| head -n 1", 0, ""),
        ("-c 20", "> /dev/full", 2, full),
        ("-w 200ms", "> /dev/full", 2, full),
    ] {
        let ping = format!("{sounder} ping {args} --self udp://127.0.0.1:0 -i 10ms -o {path}");
        let done = finish(&mut sh(&format!("{{ {{ {ping}; echo $? >&2; }} {sink}; }}")), b"");
        assert_eq!(done.stderr, format!("{error}{code}\n"), "{args} {sink}");
        let objects = json_lines(&fs::read_to_string(&path).unwrap());
        assert_lines(&objects);
        let [result] = objects.as_slice() else { panic!("{sink}: {objects:?}") };
        let least = if args.contains("-c") { 20 } else { 1 };
        assert!(result["event"] == "result" && least <= count(result, "sent"), "{sink}: {result}");
    }
}

#[test]
fn result_file_names_failures_and_missed_thresholds() {
    let (folder, serving) = (Folder::new(), Serving::at(&["udp://127.0.0.1:0"]));
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    let report = |targets: &[&str], ending: &str| {
        let path = folder.join(ending);
        let done = ping(&[targets, &["-c", "3", "-i", "10ms", "--max-p99", "1us", "-o", &path]].concat());
        assert_eq!(done.code, Some(1), "{done:?}");
        fs::read_to_string(path).unwrap()
    };
    let lines = json_lines(&report(&[serving.endpoint(), &dead], "r.json"));
    assert_lines(&lines);
    assert_eq!((lines[0]["event"].as_str(), &lines[0]["missed"]), (Some("result"), &["max_p99"][..].into()));
    let [_, end] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&end["endpoint"], &end["refused"]), (&dead.as_str().into(), &3.into()), "{end}");
    let nobody = "tcp://nobody.invalid:7";
    let alone = json_lines(&report(&[nobody], "alone.json"));
    let [error] = alone.as_slice() else { panic!("{alone:?}") };
    assert_eq!(
        (&error["event"], &error["endpoint"], &error["reason"]),
        (&"error".into(), &nobody.into(), &"DNS".into())
    );
    let page = report(&[serving.endpoint()], "r.html");
    assert!(
        page.contains(">Missed: the maximum is ") && page.contains(", over 1 µs (fewer than 100 "),
        "{page}"
    );
}

#[test]
fn result_file_matches_the_output() {
    let folder = Folder::new();
    let (json, csv, hdr) = (folder.join("r.json"), folder.join("r.csv"), folder.join("r.hdr"));
    for path in [&json, &csv, &hdr] {
        let (_serving, forwarder) = server_behind_link(|number| {
            let mut fate = Fate::delayed(0, 0);
            (fate.up.copies, fate.down.copies) = (usize::from(number != 3), 1 + usize::from(number == 4));
            fate
        });
        let done = ping(&[forwarder.endpoint(), "-c", "10", "-i", "20ms", "-W", "2s", "-o", path]);
        assert_counts(&end(&done), &[("sent", 10), ("answered", 9), ("lost", 1), ("duplicate", 1)]);
        let text = fs::read_to_string(path).unwrap();
        if path == &json {
            assert_eq!(without_times(json_lines(&text)), without_times(vec![end(&done)]));
        } else if path == &csv {
            assert_eq!(text.lines().count(), 1 + samples(&done).len(), "{text}");
            let lost = format!("\"{}\",3,TIMEOUT,", forwarder.endpoint());
            let is_loss = |line: &str| line.starts_with(&lost) && line.ends_with(",,,,,,,false,,,,,,");
            assert!(text.lines().any(is_loss), "{text}");
        } else {
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 1, "{text}");
        }
    }
}

#[test]
fn missed_threshold_is_named_and_the_ping_fails() {
    let measured = |thresholds: &[&str]| {
        let (_serving, forwarder) = server_behind_link(|number| {
            let mut fate = Fate::delayed(10, 10);
            fate.up.copies = usize::from(number % 4 != 1);
            fate
        });
        // Two of eight are lost. At the end they have waited longer than the slowest reply,
        // although not for -W.
        let pinging =
            pinging(&[&[forwarder.endpoint(), "-i", "20ms", "-W", "5s", "-w", "20s"], thresholds].concat());
        await_line(&pinging, |line| line["seq"] == 8 && is_answered(line));
        pinging.signal("INT");
        let done = pinging.wait();
        (done.code, end(&done))
    };
    for (thresholds, code, missed) in [
        (&["--max-p99", "19ms", "--max-loss", "100%"][..], 1, &["max_p99"][..]),
        (&["--max-p99", "10s", "--max-loss", "100%"], 0, &[]),
    ] {
        let (found, result) = measured(thresholds);
        assert_eq!((found, &result["missed"]), (Some(code), &missed.into()), "{thresholds:?}: {result}");
    }
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = format!("udp://{}", hole.local_addr().unwrap());
    let lossy = ["-c", "2", "-i", "10ms", "-W", "50ms", "--max-loss", "99.9%", "--max-p99", "1s"];
    let done = ping(&[&[&*nobody], &lossy[..]].concat());
    assert_eq!((done.code, &end(&done)["missed"]), (Some(1), &["max_loss", "max_p99"][..].into()));
    let text = run(&[&["ping", &nobody], &lossy[..]].concat(), b"");
    let lines = ": 2 of 2 lost, over 99.9%\nmissed   ";
    assert!(text.code == Some(1) && text.text().contains(lines), "{}", text.text());
    // A count that is not reached is a failure, too.
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let done = ping(&[serving.endpoint(), "-c", "2", "-i", "1h", "-w", "3s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_counts(&end(&done), &[("sent", 1), ("answered", 1)]);
}

/// Fails unless the replies of a server have timestamps of this kind, and the result what follows
/// from them.
#[track_caller]
fn assert_timestamps(endpoint: &str, kind: &str) {
    // One request at a time, since a server that reads several at once stamps only the first reply.
    let done = ping(&["-c", "20", "-i", "0", "-W", "10s", endpoint]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}: {}", done.text());
    let result = end(&done);
    assert_counts(&result, &[("sent", 20), ("answered", 20)]);
    assert_eq!(result["server_timestamps"], kind, "{endpoint}: {result}");
    let delays = if matches!(kind, "single" | "rx_tx") { 20 } else { 0 };
    let server = if kind == "rx_tx" { 20 } else { 0 };
    for (key, expected) in [("up", delays), ("down", delays), ("server", server), ("rtt", 20)] {
        assert_eq!(result[key]["count"], expected, "{endpoint}: {key}: {result}");
    }
    assert_eq!(result["verdict"].is_null(), delays == 0, "{endpoint}: {result}");
    for sample in samples(&done) {
        assert_eq!(
            sample["up_ns"].is_null() && sample["down_ns"].is_null(),
            delays == 0,
            "{endpoint}: {sample}"
        );
    }
}

#[test]
fn timestamps_of_other_echo_servers_are_recognised() {
    for address in ["TCP4-LISTEN:0,bind=127.0.0.1,fork", "UDP4-LISTEN:0,bind=127.0.0.1"] {
        let Some((_server, port)) = socat(address, "PIPE") else { return };
        assert_timestamps(&format!("{}://127.0.0.1:{port}", &address[..3].to_lowercase()), "none");
    }
    // A program for each connection, as with inetd.
    let Some((_server, port)) = socat("TCP4-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat") else { return };
    assert_timestamps(&format!("tcp://127.0.0.1:{port}"), "none");
    for (script, scheme) in [("tcp_server.py", "tcp"), ("udp_server.py", "udp")] {
        let Some(mut server) = python(script, ["127.0.0.1"]) else { return };
        let server = Program::start(&mut server);
        assert_timestamps(&format!("{scheme}://127.0.0.1:{}", server.wait_for_lines(1)[0]), "seconds");
    }
}

#[expect(clippy::disallowed_methods, reason = "the timestamps of -D are compared with the time of the test")]
fn unix_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn dead_target_does_not_affect_the_others() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    let [tcp, udp] = serving.endpoints() else { panic!("two endpoints") };
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    for targets in [[tcp.as_str(), &dead, udp], [&dead, tcp, udp]] {
        let done = ping(&[&targets[..], &["-c", "5", "-i", "10ms"]].concat());
        assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""));
        let ends: Vec<Value> = done.objects().into_iter().filter(|line| line["event"] == "result").collect();
        assert_eq!(ends.iter().map(|end| end["endpoint"].as_str().unwrap()).collect::<Vec<_>>(), targets);
        for end in &ends {
            if end["endpoint"] == dead.as_str() {
                assert_counts(end, &[("sent", 5), ("lost", 5)]);
                assert_eq!(end["refused"], 5, "{end}");
            } else {
                assert_counts(end, &[("sent", 5), ("answered", 5)]);
            }
        }
    }
}

#[test]
fn signal_before_targets_are_connected_is_reported_once() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    let listener = Transport::Tcp.socket(&any).unwrap();
    listener.bind(&any).unwrap();
    listener.listen_with(0).unwrap();
    let address = listener.local_addr().unwrap();
    // One connection fills the queue. The kernel does not establish the next ones.
    let filling = Transport::Tcp.socket(&address).unwrap();
    filling.connect(&address).unwrap();
    let silent = format!("tcp://127.0.0.1:{}", address.port().unwrap());
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let pinging = Program::start(&mut sounder(["ping", serving.endpoint(), &silent, &silent, &silent]));
    pinging.wait_for_lines(1);
    pinging.signal("INT");
    let done = pinging.finish();
    assert_eq!((done.code, &*done.stderr), (Some(1), "sounder: interrupted\n"), "{}", done.text());
}

#[test]
fn next_address_of_a_name_is_used_after_a_refusal() {
    let Some((mut command, _folder)) = where_both_is_a_name() else { return };
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let (_, port) = serving.address().rsplit_once(':').unwrap();
    let endpoint = format!("udp://both:{port}");
    command.args(["ping", "--json", "-c", "20", "-i", "10us", &endpoint]);
    let done = finish(&mut command, b"");
    let lines = done.objects();
    assert_lines(&lines);
    let found: Vec<&str> = lines
        .iter()
        .filter(|line| line["event"] == "start")
        .map(|line| line["resolved"].as_str().unwrap())
        .collect();
    let there = format!("udp://127.0.0.1:{port}");
    assert_eq!(
        (found.last(), &end(&done)["resolved"]),
        (Some(&&*there), &there.as_str().into()),
        "{found:?}"
    );
    // The first address leaves nothing in the counts.
    assert_counts(&end(&done), &[("sent", 20), ("answered", 20), ("duplicate", 0), ("reordered", 0)]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn ping_follows_a_name_to_its_new_address() {
    let folder = Folder::new();
    let hosts = folder.join("hosts");
    fs::write(&hosts, "127.0.0.1 moving\n").unwrap();
    for scheme in ["udp", "tcp"] {
        let Some(mut command) = private_hosts(&hosts) else { return };
        let port = free_port();
        let [old, new] = ["127.0.0.1", "127.0.0.2"].map(|ip| format!("{scheme}://{ip}:{port}"));
        let serving = [Serving::at(&[&old]), Serving::at(&[&new])];
        fs::write(&hosts, "127.0.0.1 moving\n").unwrap();
        let endpoint = format!("{scheme}://moving:{port}");
        command.arg(env!("CARGO_BIN_EXE_sounder"));
        command.args(["ping", "--json", "-i", "20ms", "--resolve-every", "1s", &endpoint]);
        let pinging = Program::start(&mut command);
        await_line(&pinging, is_answered);
        // The mounted file is written in place.
        fs::write(&hosts, "127.0.0.2 moving\n").unwrap();
        await_line(&pinging, |line| line["event"] == "start" && line["resolved"] == new.as_str());
        let read = pinging.wait_for_lines(1).len();
        await_lines(&pinging, read, 1, is_answered);
        pinging.signal("INT");
        let done = pinging.wait();
        assert_lines(&done.objects());
        let result = end(&done);
        assert_eq!((done.code, count(&result, "lost"), &result["resolved"]), (Some(0), 0, &new.into()));
        // A connection that this side closes is not lost.
        let is_loss =
            |object: &Value| ["disconnected", "reconnected"].iter().any(|name| object["event"] == *name);
        assert!(!done.objects().iter().any(is_loss), "{done:?}");
        serving.into_iter().for_each(|server| drop(server.stop()));
    }
}

#[test]
fn deadline_and_signal_end_a_pending_connect() {
    // A listener whose queue is full accepts no connection.
    let listener = Transport::Tcp.socket(&(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    listener.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.listen_with(0).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || {
        let client = Transport::Tcp.socket(&address).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address);
        client
    };
    let _full: Vec<_> = (0..8).map(|_| fill()).collect();
    let endpoint = format!("tcp://{address}");
    let done = ping(&[&endpoint, "-w", "200ms", "-W", "1h"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("TIMEOUT"), "{}", done.stderr);
    let alive = Serving::at(&["udp://127.0.0.1:0"]);
    let pinging = pinging(&[&endpoint, alive.endpoint(), "-i", "10ms", "-W", "1h"]);
    // When one target has replied, the program handles signals.
    await_line(&pinging, is_answered);
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("interrupted"), "{}", done.stderr);
}

#[test]
fn requests_of_every_size_are_answered() {
    for (endpoint, sizes) in [
        ("tcp://127.0.0.1:0", &["44", "45", "50", "1k", "100k", "1m"][..]),
        ("udp://127.0.0.1:0", &["50", "51", "1472", "60000"]),
        ("unix-seqpacket:@", &["50", "60000"]),
    ] {
        for size in sizes {
            let endpoint =
                if endpoint.ends_with('@') { format!("{endpoint}{}", unique()) } else { endpoint.into() };
            let done = ping(&["--self", &endpoint, "-s", size, "-c", "20", "-i", "0", "-W", "10s"]);
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint} {size}");
            assert_counts(&end(&done), &[("sent", 20), ("answered", 20)]);
        }
    }
    for (endpoint, size) in [("tcp://127.0.0.1", "43"), ("udp://127.0.0.1", "49")] {
        let done = ping(&[endpoint, "-s", size]);
        assert_eq!((done.code, done.text()), (Some(2), ""), "{endpoint} {size}: {}", done.stderr);
    }
    // A message that is too large for UDP is a failure of this machine, not of the peer.
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    for size in ["65508", "1m"] {
        let done = ping(&["-c", "3", "-s", size, serving.endpoint()]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert_eq!(json_lines(&done.stderr)[0]["reason"], Value::Null, "{done:?}");
    }
}

#[test]
fn ip_options_and_source_are_on_the_wire() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let socket = Socket::from_fd(socket.into()).unwrap();
    socket.set_option(IP_RECVTOS, true).unwrap();
    socket.set_option(IP_RECVTTL, true).unwrap();
    socket.set_timeout(Some(PATIENCE)).unwrap();
    let pinging = pinging(&[&endpoint, "-Q", "ef", "-t", "7", "-I", "127.0.0.9", "-i", "20ms"]);
    let mut buffer = [0; 2048];
    let space = ControlSpace::of(4) + ControlSpace::of(4);
    let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE).unwrap();
    let option = |wanted: fn(&ControlMessage) -> Option<i32>| message.control.iter().find_map(wanted);
    let tos =
        option(|control| if let ControlMessage::Tos(tos) = control { Some((*tos).into()) } else { None });
    let ttl = option(|control| if let ControlMessage::Ttl(ttl) = control { Some(*ttl) } else { None });
    // The DSCP value is in the upper six bits.
    assert_eq!((tos, ttl), (Some(46 << 2), Some(7)));
    assert_eq!(message.from.unwrap().ip(), Some("127.0.0.9".parse().unwrap()));
    assert_eq!(message.len, 80);
    pinging.signal("INT");
    pinging.wait();
    let done = ping(&["-I", "127.0.0.9", "-Q", "ef", "-c", "2", "-i", "10ms", "--self", "tcp://127.0.0.1:0"]);
    assert!(done.objects()[0]["local"].as_str().unwrap().starts_with("127.0.0.9:"), "{}", done.text());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let hostless = ping(&["-Q", "ef", "unix:@nobody"]);
    assert_eq!(hostless.code, Some(2), "{}", hostless.stderr);
}

#[test]
fn the_server_reports_the_header_fields_of_large_requests() {
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let fields =
        |result: &Value| ["request_ttl", "request_dscp", "request_ecn"].map(|key| result[key].as_u64());
    let common = ["-c", "3", "-i", "5ms", "-W", "20s", "-Q", "ef", "-t", "61", serving.endpoint()];
    for (size, reported) in [("72", [None; 3]), ("73", [Some(61), Some(46), Some(0)])] {
        let result = end(&ping(&[&["-s", size][..], &common].concat()));
        assert_counts(&result, &[("sent", 3), ("answered", 3)]);
        assert_eq!(result["request_header_changes"], 0);
        assert_eq!(fields(&result), reported, "{size}");
    }
    let own = ["--self", "-c", "3", "-i", "5ms", "-W", "20s", "-Q", "ef", "-t", "61", "udp://127.0.0.1:0"];
    for args in [&common[..], &own] {
        assert_eq!(fields(&end(&ping(args))), [Some(61), Some(46), Some(0)]);
    }
}

#[test]
fn options_select_the_output() {
    let own = ["ping", "--self", "udp://127.0.0.1:0"];
    let text = |args: &[&str]| {
        let done = run(&[&own, args].concat(), b"");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{args:?}");
        done.text().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let stamped = text(&["-D", "-c", "2", "-i", "10ms"]);
    let now = unix_time().as_secs_f64();
    for line in &stamped[1..3] {
        let (stamp, rest) = line.strip_prefix('[').unwrap().split_once("] ").unwrap();
        assert!(
            (now - stamp.parse::<f64>().unwrap()).abs() < 30.0 && rest.starts_with("64 bytes from "),
            "{line}"
        );
    }
    let quiet = text(&["-q", "-c", "3", "-i", "10ms"]);
    assert!(quiet[1].starts_with("--- udp://"), "{quiet:?}");
    let flood = text(&["-c", "100", "-i", "0"]);
    assert!(
        flood[0].ends_with("64 bytes as fast as replies come") && flood[1].starts_with("--- "),
        "{flood:?}"
    );
    let done = ping(&["--self", "udp://127.0.0.1:0", "-w", "300ms", "-i", "20ms"]);
    let sent = count(&end(&done), "sent");
    // Requests that were due while this machine was too busy are skipped.
    assert!(done.code == Some(0) && sent + count(&end(&done), "skipped") <= 15, "{}", end(&done));
    let done = ping(&["--self", "udp://127.0.0.1:0", "-q", "-c", "5", "-i", "10ms"]);
    assert!(samples(&done).is_empty(), "{}", done.text());
}

#[test]
fn every_line_of_a_long_run_matches_the_schema() {
    let mut random = Random::new(11);
    let (_serving, forwarder) = server_behind_link(move |number| {
        if number == 10 {
            return Fate::delayed(600, 1);
        }
        let mut passage = || Passage {
            delay: Duration::from_micros(random.below(15_000)),
            copies: if random.percent(10) { 0 } else { 1 + usize::from(random.percent(10)) },
        };
        Fate { up: passage(), down: passage() }
    });
    let garbage = datagrams(|number, request| match number {
        1 => vec![b"garbage".to_vec(), request.to_vec()],
        // A clock that is decades behind.
        _ => vec![reply_with(request, "1000000000000000000", "1000000000000000001")],
    });
    let peer = connections(|mut stream| {
        let mut request = [0; REQUEST_LEN];
        if stream.read_exact(&mut request).is_ok() {
            let _ = stream.write_all(&request);
        }
    });
    let pinging =
        pinging(&[forwarder.endpoint(), &garbage, &peer, "-i", "10ms", "-W", "500ms", "--max-loss", "0"]);
    let mut wanted: BTreeSet<String> =
        ["unexpected", "reconnected", "disconnected", "clock_contradicted", "interval", "late"]
            .into_iter()
            .chain(["lost", "duplicate", "answered"])
            .map(str::to_owned)
            .collect();
    await_line(&pinging, |line| {
        for key in ["event", "outcome"] {
            line[key].as_str().map(|value| wanted.remove(value));
        }
        wanted.is_empty()
    });
    pinging.signal("QUIT");
    await_line(&pinging, |line| line["event"] == "interim");
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""));
    let lines = done.objects();
    assert_lines(&lines);
    // The schema is strict: it rejects a line with an additional key, a missing one, or one of
    // another type.
    for line in &lines {
        let mut more = line.clone();
        more["more"] = 1.into();
        assert!(schema().check(&more).is_err(), "{more}");
        let mut fewer = line.clone();
        fewer.as_object_mut().unwrap().remove("time");
        assert!(schema().check(&fewer).is_err(), "{fewer}");
        let mut other = line.clone();
        other["endpoint"] = 1.into();
        assert!(schema().check(&other).is_err(), "{other}");
    }
}

/// Returns how many requests the test of memory sends: 150,000, or the number in
/// SOUNDER_PING_REQUESTS.
fn requests() -> u64 {
    std::env::var("SOUNDER_PING_REQUESTS").map_or(150_000, |requests| requests.parse().unwrap())
}

#[test]
fn memory_does_not_grow_with_the_number_of_requests() {
    // In kilobytes: what the table of 65,536 requests in flight may take.
    const GROWTH_MAX: u64 = 20 << 10;
    let pinging = pinging(&["--self", "udp://127.0.0.1:0", "-q", "-i", "0"]);
    let answered = |least: u64| {
        let mut sum = 0;
        await_line(&pinging, |line| {
            sum += line["answered"].as_u64().unwrap_or(0);
            least <= sum
        });
        resident(pinging.pid())
    };
    let (before, after) = (answered(1), answered(requests()));
    assert!(after < before + GROWTH_MAX, "{before} kB became {after}");
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_lines(&done.objects());
}

/// Fails unless a server on this endpoint answers all requests and the delays of both directions
/// are known.
#[track_caller]
pub(crate) fn assert_both_ways(endpoint: &str) {
    let serving = Serving::at(&[endpoint]);
    // One request at a time, since a server that reads several at once stamps only the first reply.
    let done = ping(&["-c", "5", "-i", "0", "-W", "10s", serving.endpoint()]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}");
    let result = end(&done);
    assert_counts(&result, &[("sent", 5), ("answered", 5)]);
    for key in ["rtt", "up", "down", "server"] {
        assert_eq!(result[key]["count"], 5, "{endpoint}: {result}");
    }
}
