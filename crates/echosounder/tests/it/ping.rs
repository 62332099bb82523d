//! `sounder ping`: whether what it tells is the truth, held against a way that knows what it has done; how it takes what
//! peers do; what the lines of `--json` are.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use echosounder_socket::option::{IP_RECVTOS, IP_RECVTTL};
use echosounder_socket::{ControlMessage, MessageFlags, Socket, control_space};
use echosounder_testkit::{Fate, Forwarder, Log, Passage, REQUEST_LEN, Random};
use serde_json::Value;

use crate::abuse::resident;
use crate::interop::socat;
use crate::schema::{assert_lines, schema};
use crate::support::{
    Finished, Folder, PATIENCE, Program, Serving, connections, finish, free_port, has_ipv6, installed,
    json_lines, private_network, python, run, sh, sounder, unique, wait_for, wait_until, without_times,
};
use crate::talk::where_both_is_a_name;

/// A median may be this far from the truth, in nanoseconds.
const NEAR: i64 = 100_000;

/// More lines than this are not waited for.
const LINES_MAX: usize = 5000;

/// Runs `sounder ping --json`, the lines of which are as written down.
#[track_caller]
fn ping(args: &[&str]) -> Finished {
    let done = run(&[&["ping", "--json"], args].concat(), b"");
    assert_lines(&done.objects());
    done
}

/// Starts it.
#[track_caller]
fn pinging(args: &[&str]) -> Program {
    Program::start(sounder(["ping", "--json"]).args(args))
}

/// Waits until a line says this.
#[track_caller]
fn await_line(program: &Program, wanted: impl FnMut(&Value) -> bool) {
    await_lines(program, 0, 1, wanted);
}

/// Waits until so many lines behind the first `behind` say this.
#[track_caller]
fn await_lines(program: &Program, behind: usize, count: usize, mut wanted: impl FnMut(&Value) -> bool) {
    let (mut read, mut found) = (behind, 0);
    while found < count {
        // A line of output that has no end yet is not among these.
        let text = String::from_utf8(program.wait_for_bytes(1)).unwrap();
        let whole: Vec<&str> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        let news = whole.get(read..).unwrap_or_default();
        found += news.iter().filter(|line| wanted(&serde_json::from_str(line).unwrap())).count();
        read = read.max(whole.len());
        assert!(read < LINES_MAX, "it never came, and {read} lines did");
        if found < count {
            program.wait_for_lines(read + 1);
        }
    }
}

fn is_answer(line: &Value) -> bool {
    line["outcome"] == "answered"
}

/// The last object, which is the result.
#[track_caller]
fn end(done: &Finished) -> Value {
    let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(result["event"], "result", "{done:?}");
    result
}

/// What became of the calls, one by one.
fn samples(done: &Finished) -> Vec<Value> {
    let mut lines = done.objects();
    lines.retain(|line| line["event"] == "sample");
    lines
}

/// Fails unless the result has these counts, and nothing else happened.
#[track_caller]
fn assert_counts(result: &Value, expected: &[(&str, u64)]) {
    let counts = ["sent", "answered", "late", "lost", "duplicate", "reordered", "unexpected", "skipped"];
    for key in counts {
        let expected = expected.iter().find(|(name, _)| *name == key).map_or(0, |(_, count)| *count);
        assert_eq!(result[key], expected, "{key}: {result}");
    }
    let told: u64 = ["refused", "timeout", "unreachable", "dns", "closed", "not_sent"]
        .map(|key| count(result, key))
        .iter()
        .sum();
    assert_eq!(told, count(result, "lost"), "{result}");
}

#[track_caller]
fn count(object: &Value, key: &str) -> u64 {
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

#[track_caller]
fn assert_near(value: i64, truth: i64, what: &str) {
    assert!((value - truth).abs() < NEAR, "{what}: {value} ns, which were {truth}");
}

/// Fails unless both ways' medians are what the forwarder's were.
#[track_caller]
fn assert_ways(done: &Finished, log: &Log) {
    let samples = samples(done);
    let truth = |way: fn((i64, i64)) -> i64| -> Vec<i64> {
        let answered =
            samples.iter().filter(|sample| sample["outcome"] != "lost" && !sample["up_ns"].is_null());
        answered.map(|sample| way(log.one_way_ns(count(sample, "seq")).unwrap())).collect()
    };
    let result = end(done);
    for (name, way) in [("up", (|ways| ways.0) as fn((i64, i64)) -> i64), ("down", |ways| ways.1)] {
        let truth = truth(way);
        assert!(!truth.is_empty() && count(&result[name], "count") == truth.len() as u64, "{result}");
        let measured = samples.iter().filter_map(|sample| sample[&format!("{name}_ns")].as_i64());
        assert_near(median(measured.collect()), median(truth.clone()), name);
        // A histogram is true to three digits.
        let (told, truth) = (time(&result[name], "p50_ns"), median(truth));
        assert!((told - truth).abs() < NEAR + truth / 1000, "{name}: {told} ns, which were {truth}");
    }
}

/// By how much each way varied in truth, from the least to what 99 of 100 did not exceed.
fn spreads(log: &Log) -> (i64, i64) {
    let spread = |way: fn((i64, i64)) -> i64| {
        let mut times: Vec<i64> =
            log.requests.keys().filter_map(|number| log.one_way_ns(*number)).map(way).collect();
        times.sort_unstable();
        times[times.len() * 95 / 100] - times[0]
    };
    (spread(|ways| ways.0), spread(|ways| ways.1))
}

/// Fails if the result says that another way varies than did: this machine may have stood still, and both have.
#[track_caller]
fn assert_verdict(result: &Value, log: &Log) {
    let (up, down) = spreads(log);
    let (least, most) = (up.min(down), up.max(down));
    let possible = match () {
        () if 3 * least < most => vec![if least == up { "down" } else { "up" }],
        () if 2 * most < 3 * least => vec!["both"],
        () => vec!["up", "down", "both"],
    };
    let verdict = result["verdict"].as_str().unwrap();
    // Where this machine stood still for as long, nothing can be told.
    let wake_up = ["kernel_rx_delay", "send_delay"].map(|key| time(&result[key], "p95_ns")).into_iter().max();
    if verdict == "steady" && Some(most / 2) <= wake_up {
        return;
    }
    assert!(20_000_000 < most && possible.contains(&verdict), "{up} ns up, {down} ns down: {result}");
}

/// A server on UDP, and what passes datagrams on to it.
fn forwarded(fate: impl FnMut(u64) -> Fate + Send + 'static) -> (Serving, Forwarder) {
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let forwarder = Forwarder::datagrams(serving.endpoint(), fate);
    (serving, forwarder)
}

#[test]
fn the_delay_of_each_way_is_what_it_was() {
    let (_serving, forwarder) = forwarded(|_| Fate::delayed(3, 9));
    let done = ping(&[forwarder.endpoint(), "-i", "5ms", "-c", "150", "--clock", "same"]);
    let log = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = end(&done);
    assert_counts(&result, &[("sent", 150), ("answered", 150)]);
    assert_ways(&done, &log);
    for sample in samples(&done) {
        let (up, down) = (time(&sample, "up_ns"), time(&sample, "down_ns"));
        assert!(2_990_000 < up && 8_990_000 < down, "it took no less than it was held: {sample}");
    }
    assert_eq!(
        (&result["server_timestamps"], &result["clock"]),
        (&"rx_tx".into(), &"same".into()),
        "{result}"
    );
    assert_eq!(result["up_down_assume_symmetric_minimum"], false, "{result}");
}

#[test]
fn a_free_clock_divides_the_quickest_equally_and_the_rest_truly() {
    let mut random = Random::new(7);
    let (_serving, forwarder) =
        forwarded(move |number| Fate::delayed(4 + number % 2 * 30, 4 + random.below(3)));
    let done = ping(&[forwarder.endpoint(), "-i", "5ms", "-c", "150", "--clock", "free"]);
    let log = forwarder.end();
    let result = end(&done);
    let reordered = log.reordered().len() as u64;
    assert_counts(&result, &[("sent", 150), ("answered", 150), ("reordered", reordered)]);
    assert_eq!(result["up_down_assume_symmetric_minimum"], true, "{result}");
    assert_eq!(result["clock"], "free", "{result}");
    assert_verdict(&result, &log);
    // It is the same clock: what is possible holds zero.
    let (ahead, within) = (time(&result, "clock_offset_ns"), time(&result, "clock_offset_uncertainty_ns"));
    assert!(ahead.abs() <= within + 10_000 && within < 20_000_000, "{ahead} ±{within}");
    for sample in samples(&done) {
        assert!(sample["up_ns"].is_null() && sample["down_ns"].is_null(), "{sample}");
        assert!(0 <= time(&sample, "pdv_up_ns"), "{sample}");
    }
}

#[test]
fn the_way_that_varies_is_named() {
    for (up, down) in [(80, 1), (1, 80), (80, 80)] {
        let mut random = Random::new(3);
        let (_serving, forwarder) =
            forwarded(move |_| Fate::delayed(1 + random.below(up), 1 + random.below(down)));
        let done = ping(&[forwarder.endpoint(), "-i", "4ms", "-c", "150"]);
        let log = forwarder.end();
        let result = end(&done);
        assert_verdict(&result, &log);
        assert_counts(
            &result,
            &[("sent", 150), ("answered", 150), ("reordered", log.reordered().len() as u64)],
        );
    }
}

#[test]
fn scripted_losses_duplicates_and_swaps_are_told_one_by_one() {
    let (_serving, forwarder) = forwarded(|number| {
        let mut fate = Fate::delayed(1, 1);
        match number {
            5 | 15 => fate.up.copies = 0,
            10 | 20 | 25 => fate.down.copies = 0,
            30 => fate.up.copies = 3,
            31 => fate.down.copies = 2,
            // It overtakes none that comes later than 20 ms behind it.
            40 => fate.up.delay = Duration::from_millis(150),
            50 => fate.down.delay = Duration::from_millis(150),
            60 => fate.up.delay = Duration::from_millis(500),
            _ => {}
        }
        fate
    });
    let done = ping(&[forwarder.endpoint(), "-i", "20ms", "-c", "60", "-W", "3s"]);
    let log = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""), "not all were answered");
    let result = end(&done);
    // If this machine stood still, a call may not have been overtaken.
    let reordered = log.reordered();
    assert!(reordered.iter().all(|number| [40, 50].contains(number)), "{reordered:?}");
    let counts = [
        ("sent", 60),
        ("answered", 55),
        ("lost", 5),
        ("duplicate", 3),
        ("reordered", reordered.len() as u64),
    ];
    assert_counts(&result, &counts);
    assert_eq!((log.lost(), log.duplicates()), (5, 3));
    let numbers = |wanted: &dyn Fn(&Value) -> bool| -> Vec<u64> {
        samples(&done).iter().filter(|sample| wanted(sample)).map(|sample| count(sample, "seq")).collect()
    };
    assert_eq!(numbers(&|sample| sample["outcome"] == "lost"), [5, 10, 15, 20, 25]);
    assert_eq!(numbers(&|sample| sample["reason"] == "TIMEOUT"), [5, 10, 15, 20, 25]);
    assert_eq!(numbers(&|sample| sample["outcome"] == "duplicate"), [30, 30, 31]);
    assert_eq!(numbers(&|sample| sample["reordered"] == true), reordered);
    let share = result["loss_percent"].as_f64().unwrap();
    assert!((share - 100.0 * 5.0 / 60.0).abs() < 1e-9, "{share}");
}

#[test]
fn random_losses_duplicates_and_swaps_are_counted_exactly() {
    for seed in [1, 2] {
        let mut random = Random::new(seed);
        let (_serving, forwarder) = forwarded(move |number| {
            if number == 400 {
                // All others are back before.
                return Fate::delayed(300, 300);
            }
            let mut way = || Passage {
                delay: Duration::from_micros(random.below(20_000)),
                copies: if random.percent(10) { 0 } else { 1 + usize::from(random.percent(5)) },
            };
            Fate { up: way(), down: way() }
        });
        let done = ping(&[forwarder.endpoint(), "-i", "2ms", "-c", "400", "-W", "3s"]);
        let log = forwarder.end();
        let result = end(&done);
        let (lost, duplicates) = (log.lost() as u64, log.duplicates() as u64);
        assert!(
            (40..120).contains(&lost) && 10 < duplicates && 50 < log.reordered().len(),
            "seed {seed}: {lost}"
        );
        let counts = [
            ("sent", 400),
            ("answered", 400 - lost),
            ("lost", lost),
            ("duplicate", duplicates),
            ("reordered", log.reordered().len() as u64),
        ];
        assert_counts(&result, &counts);
        assert_eq!(result["timeout"], lost, "seed {seed}: {result}");
        assert_ways(&done, &log);
    }
}

#[test]
fn what_comes_after_the_wait_is_late_and_not_lost() {
    let (_serving, forwarder) = forwarded(|number| match number {
        3 | 4 => Fate::delayed(3000, 1),
        5 => Fate::delayed(1, 3000),
        100 => Fate::delayed(150, 150),
        _ => Fate::delayed(1, 1),
    });
    let args = [forwarder.endpoint(), "-i", "40ms", "-c", "100", "-W", "2s", "--max-loss", "0"];
    let done = ping(&args);
    drop(forwarder);
    // They were lost when somebody needed them.
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""));
    let result = end(&done);
    assert_counts(&result, &[("sent", 100), ("answered", 97), ("late", 3), ("reordered", 3)]);
    assert_eq!((&result["timeout"], &result["loss_percent"]), (&0.into(), &0.0.into()), "{result}");
    let of_three: Vec<Value> = samples(&done).into_iter().filter(|sample| sample["seq"] == 3).collect();
    let outcomes: Vec<&Value> = of_three.iter().map(|sample| &sample["outcome"]).collect();
    assert_eq!(outcomes, ["lost", "late"], "first it is told as lost");
    assert!(3_000_000_000 <= time(&of_three[1], "rtt_ns"), "{of_three:?}");
    assert_eq!(result["rtt"]["count"], 100, "a late answer tells how long it took: {result}");
}

#[test]
fn a_stream_in_odd_pieces_is_measured_by_its_last_byte() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let forwarder = Forwarder::stream(serving.endpoint(), (REQUEST_LEN, 7), |_| Fate::delayed(3, 9));
    let done = ping(&[forwarder.endpoint(), "-i", "20ms", "-c", "100", "--clock", "same"]);
    let log = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert_counts(&end(&done), &[("sent", 100), ("answered", 100)]);
    assert_ways(&done, &log);
    // Of calls that the server read at once only the first bears a stamp.
    for sample in samples(&done).iter().filter(|sample| !sample["up_ns"].is_null()) {
        let (up, down) = (time(sample, "up_ns"), time(sample, "down_ns"));
        assert!(2_990_000 < up && 8_990_000 < down, "it took no less than it was held: {sample}");
    }
}

#[test]
fn calls_that_come_to_the_server_in_pieces_are_answered_all_the_same() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let forwarder = Forwarder::stream(serving.endpoint(), (11, 5), |_| Fate::delayed(1, 1));
    let done = ping(&[forwarder.endpoint(), "-i", "2ms", "-c", "300"]);
    drop(forwarder);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = end(&done);
    assert_counts(&result, &[("sent", 300), ("answered", 300)]);
    assert_eq!(result["clock_contradicted"], false, "{result}");
}

#[test]
fn on_a_stream_that_is_held_up_all_behind_it_is_late() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let held_up = |number| if number == 10 { Fate::delayed(3000, 1) } else { Fate::delayed(1, 1) };
    let forwarder = Forwarder::stream(serving.endpoint(), (REQUEST_LEN, REQUEST_LEN), held_up);
    let done = ping(&[forwarder.endpoint(), "-i", "40ms", "-c", "80", "-W", "2s"]);
    drop(forwarder);
    let result = end(&done);
    let late = count(&result, "late");
    assert_counts(&result, &[("sent", 80), ("answered", 80 - late), ("late", late)]);
    assert!(1 <= late, "{result}");
    for sample in samples(&done).iter().filter(|sample| !sample["rtt_ns"].is_null()) {
        let is_late = sample["outcome"] == "late";
        let rtt = time(sample, "rtt_ns");
        // It is looked at when this machine has the time to.
        assert!(if is_late { 1_999_000_000 < rtt } else { rtt < 3_000_000_000 }, "{sample}");
    }
}

#[test]
fn a_server_that_ends_and_comes_again_is_called_again() {
    let (folder, name) = (Folder::new(), unique());
    let endpoints = [
        format!("tcp://127.0.0.1:{}", free_port()),
        format!("udp://127.0.0.1:{}", free_port()),
        format!("unix:{}", folder.join("s")),
        format!("unix-dgram:{}", folder.join("d")),
        format!("unix-seqpacket:@{name}"),
    ];
    let follow = |endpoint: &str| {
        let serving = Serving::at(&[endpoint]);
        let pinging = pinging(&[endpoint, "-i", "10ms"]);
        await_line(&pinging, is_answer);
        serving.program().signal("KILL");
        serving.program().wait();
        await_line(&pinging, |line| line["reason"] == "REFUSED");
        let heard = pinging.wait_for_lines(1).len();
        let serving = Serving::at(&[endpoint]);
        await_lines(&pinging, heard, 1, is_answer);
        pinging.signal("INT");
        let done = pinging.wait();
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}");
        serving.stop();
        let lines = done.objects();
        assert_lines(&lines);
        let result = end(&done);
        let (answered, lost) = (count(&result, "answered"), count(&result, "lost"));
        assert_counts(&result, &[("sent", answered + lost), ("answered", answered), ("lost", lost)]);
        assert!(2 <= answered && 1 <= count(&result, "refused"), "{result}");
        let told = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
        let (disconnected, connected) = (told("disconnected"), told("reconnected"));
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
fn one_call_tells_in_a_word_how_it_failed() {
    let fails = |args: &[&str], word: &str| {
        let wait = if word == "TIMEOUT" { "300ms" } else { "10s" };
        let done = ping(&[args, &["-c", "1", "-W", wait]].concat());
        assert_eq!(done.code, Some(1), "{args:?}: {done:?}");
        match samples(&done).as_slice() {
            [] => {
                let error = &json_lines(&done.stderr)[0];
                assert_eq!((&error["event"], &error["reason"]), (&"error".into(), &word.into()), "{args:?}");
            }
            [sample] => {
                assert_eq!(
                    (&sample["outcome"], &sample["reason"]),
                    (&"lost".into(), &word.into()),
                    "{args:?}"
                );
                assert_eq!(end(&done)[word.to_lowercase()], 1, "{done:?}");
                assert_counts(&end(&done), &[("sent", 1), ("lost", 1)]);
                assert_eq!(done.stderr, "", "{args:?}");
            }
            more => panic!("{args:?}: {more:?}"),
        }
    };
    let (folder, port) = (Folder::new(), free_port());
    fails(&[&format!("tcp://127.0.0.1:{port}")], "REFUSED");
    fails(&[&format!("udp://127.0.0.1:{port}")], "REFUSED");
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        fails(&[&format!("{scheme}:{}", folder.join("nobody"))], "REFUSED");
        fails(&[&format!("{scheme}:@{}", unique())], "REFUSED");
    }
    if has_ipv6() {
        fails(&[&format!("udp://[::1]:{port}")], "REFUSED");
    }
    // Sockets that nobody reads, and a connection on which nobody answers.
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    fails(&[&format!("udp://{}", hole.local_addr().unwrap())], "TIMEOUT");
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    fails(&[&format!("tcp://{}", silent.local_addr().unwrap())], "TIMEOUT");
    fails(&["udp://nobody.invalid"], "DNS");
    fails(&["tcp://nobody.invalid"], "DNS");
}

#[test]
fn without_a_route_a_peer_is_unreachable() {
    let Some(network) = private_network() else { return };
    let unreachable = |command: &mut std::process::Command, endpoint: &str| {
        let sounder = env!("CARGO_BIN_EXE_sounder");
        let args = ["ping", "--json", "-c", "2", "-i", "10ms", "-W", "10s", endpoint];
        let done = finish(command.arg(sounder).args(args), b"");
        assert_eq!(done.code, Some(1), "{done:?}");
        let told = format!("{}{}", done.text(), done.stderr);
        assert!(told.contains("\"reason\":\"UNREACHABLE\""), "{told}");
    };
    let again = || {
        let mut command = std::process::Command::new(network.get_program());
        command.args(network.get_args());
        command
    };
    for endpoint in ["udp://192.0.2.1:9", "tcp://192.0.2.1:9", "udp://[2001:db8::1]:9"] {
        unreachable(&mut again(), endpoint);
    }
    if installed("ip").is_none() {
        return;
    }
    for kind in ["unreachable", "prohibit"] {
        let route = format!("ip route add {kind} 192.0.2.0/24 && exec \"$0\" \"$@\"");
        for endpoint in ["udp://192.0.2.1:9", "tcp://192.0.2.1:9"] {
            unreachable(again().args(["sh", "-c", &route]), endpoint);
        }
    }
}

#[test]
fn many_hosts_are_not_called() {
    let mut groups = vec!["udp://224.0.0.1:9", "udp://255.255.255.255:9", "tcp://224.0.0.1:9"];
    if has_ipv6() {
        groups.push("udp://[ff02::1%lo]:9");
    }
    for endpoint in groups {
        let done = ping(&["-c", "1", endpoint]);
        assert_eq!((done.code, done.text()), (Some(2), ""), "{endpoint}: {}", done.stderr);
        assert!(
            done.stderr.contains("it is a multicast or broadcast address"),
            "{endpoint}: {}",
            done.stderr
        );
    }
}

/// A peer for datagrams: `answers` says what to send back for each, by its number. It ends with the program.
fn datagrams(mut answers: impl FnMut(u64, &[u8]) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let number = str::from_utf8(&buffer[42..61]).unwrap().parse().unwrap();
            for answer in answers(number, &buffer[..len]) {
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    endpoint
}

#[test]
fn a_stream_peer_that_does_not_echo_is_named() {
    for banner in ["SSH-2.0-OpenSSH_9.2p1\r\n", "220 mail.example ESMTP\r\n", "\0", "[", "[[[["] {
        let peer = connections(move |mut stream| {
            let mut buffer = [0; 64];
            let _ = stream.write_all(banner.as_bytes());
            while let Ok(1..) = stream.read(&mut buffer) {}
        });
        let done = ping(&["-c", "2", "-i", "10ms", "-W", "300ms", &peer]);
        let result = end(&done);
        assert_eq!(done.code, Some(1), "{banner:?}: {done:?}");
        // What came is reported once, and the connection stays.
        assert_counts(&result, &[("sent", 2), ("lost", 2), ("unexpected", 1)]);
        assert_eq!(result["timeout"], 2, "{banner:?}: {result}");
        let error = &json_lines(&done.stderr)[0]["error"];
        let sentence =
            format!("cannot measure {peer}: a reply does not contain its request (not an echo server?)");
        assert_eq!(*error, sentence.as_str(), "{banner:?}");
    }
}

#[test]
fn a_datagram_peer_that_does_not_echo_is_named() {
    let peer = datagrams(|_, _| vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]);
    let done = ping(&["-c", "2", "-i", "10ms", "-W", "300ms", &peer]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_counts(&end(&done), &[("sent", 2), ("lost", 2), ("unexpected", 2)]);
    assert!(done.stderr.contains("not an echo server?"), "{done:?}");
}

/// What a server makes of a message.
type Decorate = fn(&[u8]) -> Vec<u8>;

/// Decorations of a message that no server of ours uses: quoted as Python does, with a timestamp of another shape,
/// and with text on both sides.
const DECORATIONS: [Decorate; 3] = [
    |message| {
        let text = str::from_utf8(message).unwrap().replace('\n', "\\n");
        format!("[b'Fri Nov 27 12:19:36 2026'] b'{text}'").into_bytes()
    },
    |message| [b"[1795346376] ", message].concat(),
    |message| [b"you said: ", message, b" <- that\r\n"].concat(),
];

#[test]
fn replies_are_told_by_the_request_in_them_whatever_stands_around_it() {
    for decorate in DECORATIONS {
        let stream = connections(move |mut stream| {
            let mut buffer = [0; 1024];
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                let _ = stream.write_all(&decorate(&buffer[..len]));
            }
        });
        for peer in [stream, datagrams(move |_, message| vec![decorate(message)])] {
            let done = ping(&["-c", "5", "-i", "10ms", &peer]);
            assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.text());
            let result = end(&done);
            assert_counts(&result, &[("sent", 5), ("answered", 5)]);
            assert_eq!(
                (&result["server_timestamps"], &result["verdict"]),
                (&"none".into(), &Value::Null),
                "{result}"
            );
        }
    }
}

#[test]
fn a_ping_with_a_count_ends_whatever_becomes_of_the_server() {
    // It answers once, then closes the connection and listens no more.
    let once = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            drop(listener);
            let mut buffer = [0; REQUEST_LEN];
            stream.read_exact(&mut buffer).and_then(|()| stream.write_all(&buffer)).unwrap();
        });
        endpoint
    };
    let closes = || connections(drop);
    let nobody = || format!("unix:@{}", unique());
    let peers: [(&dyn Fn() -> String, u64); 4] =
        [(&once, 1), (&closes, 0), (&nobody, 0), (&|| "netlink://2147483646".to_owned(), 0)];
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
fn a_server_that_is_killed_ends_no_report() {
    for endpoint in ["tcp://127.0.0.1:0", "udp://127.0.0.1:0", &format!("unix-seqpacket:@{}", unique())] {
        let serving = Serving::at(&[endpoint]);
        let alive = Serving::at(&["udp://127.0.0.1:0"]);
        let pinging =
            pinging(&["-c", "20", "-i", "20ms", "-W", "300ms", serving.endpoint(), alive.endpoint()]);
        await_lines(&pinging, 0, 6, is_answer);
        let called = serving.endpoint().to_owned();
        drop(serving);
        let done = pinging.wait();
        assert_eq!(done.code, Some(1), "{endpoint}: {done:?}");
        let ends: Vec<Value> = done.objects().into_iter().filter(|line| line["event"] == "result").collect();
        let [dead, good] = ends.as_slice() else { panic!("{endpoint}: {done:?}") };
        assert_eq!((&dead["endpoint"], &dead["sent"]), (&called.as_str().into(), &20.into()), "{dead}");
        assert_counts(good, &[("sent", 20), ("answered", 20)]);
    }
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let folder = Folder::new();
    for endpoint in [format!("tcp://127.0.0.1:{}", free_port()), format!("unix:{}", folder.join("later"))] {
        let pinging = pinging(&["-w", "20s", "-i", "20ms", &endpoint]);
        await_lines(&pinging, 0, 3, |line| line["reason"] == "REFUSED");
        let serving = Serving::at(&[&endpoint]);
        await_lines(&pinging, 0, 3, is_answer);
        pinging.signal("INT");
        let done = pinging.wait();
        drop(serving);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}");
        let result = end(&done);
        assert!(3 <= count(&result, "refused") && 3 <= count(&result, "answered"), "{result}");
        assert!(done.objects().iter().all(|line| line["event"] != "reconnected"), "it was never lost");
    }
}

#[test]
fn a_message_that_this_machine_cannot_send_is_its_own_failure() {
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    for size in ["65508", "1m"] {
        let done = ping(&["-c", "3", "-s", size, serving.endpoint()]);
        assert_eq!(done.code, Some(2), "{done:?}");
        assert_eq!(json_lines(&done.stderr)[0]["reason"], Value::Null, "{done:?}");
    }
}

#[test]
fn a_clock_that_stands_still_gives_no_verdict() {
    let peer = datagrams(|_, call| vec![stamped(call, "1795802078000000000", "1795802078000000000")]);
    let done = ping(&["-c", "12", "-i", "10ms", "--clock", "free", &peer]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = end(&done);
    assert_eq!((&result["clock_stands_still"], &result["clock_peer_steps"]), (&true.into(), &0.into()));
    assert_eq!((&result["verdict"], &result["up"]["count"]), (&Value::Null, &0.into()), "{result}");
    assert_eq!((&result["server"]["count"], &result["rtt"]["count"]), (&0.into(), &12.into()), "{result}");
}

#[test]
fn targets_are_compared_by_like_times_of_receipt() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0", &format!("unix:@{}", unique())]);
    let [tcp, udp, unix] = serving.endpoints() else { panic!("it serves three") };
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
fn a_server_of_its_own_is_asked_on_one_kind_of_socket_after_another() {
    let done = ping(&["--self", "-c", "3", "-i", "5ms"]);
    let lines = done.objects();
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
    // A signal ends the one that is measured, and no other begins.
    let pinging = pinging(&["--self", "-c", "1m", "-i", "5ms"]);
    await_line(&pinging, is_answer);
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!(done.code, Some(1), "the count was not reached");
    assert!(!done.stderr.contains("interrupted"), "{}", done.stderr);
    assert_eq!(done.objects().iter().filter(|line| line["event"] == "start").count(), 1);
}

#[test]
fn a_peer_that_closes_after_each_answer_is_called_again() {
    let peer = connections(|mut stream| {
        let mut call = [0; REQUEST_LEN];
        if stream.read_exact(&mut call).is_ok() {
            let _ = stream.write_all(&call);
        }
    });
    let done = ping(&["-c", "6", "-i", "200ms", &peer]);
    let result = end(&done);
    // If this machine stood still, two calls went over one connection.
    let lost = count(&result, "lost");
    assert_eq!(done.code, Some(if lost == 0 { 0 } else { 1 }), "{}", done.text());
    assert_counts(&result, &[("sent", 6), ("answered", 6 - lost), ("lost", lost)]);
    let connected = done.objects().iter().filter(|line| line["event"] == "reconnected").count() as u64;
    assert!(lost <= 3 && 5 - lost <= connected, "{}", done.text());
    // It is not left alone after that, so requests in quick succession are answered, too.
    let done = ping(&["-c", "20", "-i", "20ms", &peer]);
    assert!(10 <= count(&end(&done), "answered"), "{}", done.text());
}

/// The call, with other stamps in its blank.
fn stamped(call: &[u8], rx: &str, tx: &str) -> Vec<u8> {
    [format!("[{rx} {tx}] ").as_bytes(), &call[42..]].concat()
}

#[test]
fn whatever_a_datagram_peer_answers_is_counted() {
    let peer = datagrams(|number, call| {
        let mut wrong = call.to_vec();
        let zero = "0000000000000000000";
        match number {
            1 => vec![Vec::new(), b"\xff\x00garbage\x1b[31m".to_vec(), call.to_vec()],
            2 => {
                wrong[42..61].copy_from_slice(b"0000000000000999999");
                vec![wrong, call.to_vec()]
            }
            3 => {
                wrong[42..61].copy_from_slice(b"9999999999999999999");
                vec![wrong, call[..50].to_vec(), [call, call].concat(), call.to_vec()]
            }
            4 => vec![call.to_vec(), call.to_vec(), call.to_vec()],
            5 => vec![stamped(call, zero, zero)],
            6 => vec![stamped(call, "9900000000000000000", "9900000000000000001")],
            7 => vec![stamped(call, "9999999999999999999", zero)],
            8 => vec![stamped(call, "1795380487135287550", "1795380487135287549")],
            9 => vec![stamped(call, zero, "9999999999999999999")],
            10 => vec![stamped(call, "0000000000000000001", "0000000000000000002"), call.to_vec()],
            11 => vec![vec![b'['; 65_000], call.to_vec()],
            _ => vec![call.to_vec()],
        }
    });
    for clock in ["auto", "same", "synced", "free"] {
        let done = ping(&["-c", "12", "-i", "10ms", "--clock", clock, &peer]);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
        let result = end(&done);
        // Two requests in one message are a reply, and the one behind it is the second.
        let counts = [("sent", 12), ("answered", 12), ("duplicate", 4), ("unexpected", 6)];
        assert_counts(&result, &counts);
        assert_eq!(result["clock_contradicted"], clock == "auto", "{result}");
    }
}

#[test]
fn a_peer_does_not_decide_how_much_is_written() {
    let flood = || {
        datagrams(|number, call| {
            let mut answers = if number == 1 { vec![b"noise".to_vec(); 150] } else { Vec::new() };
            answers.extend(vec![call.to_vec(); if number == 2 { 101 } else { 1 }]);
            answers
        })
    };
    let folder = Folder::new();
    let path = folder.join("r.csv");
    // Datagrams for which there is no room are lost, and nobody knows.
    let done = ping(&["-c", "5", "-i", "20ms", "-o", &path, &flood()]);
    let (lines, result) = (done.objects(), end(&done));
    let is_told = |line: &&Value| line["event"] == "unexpected" || line["outcome"] == "duplicate";
    let told = lines.iter().filter(is_told).count() as u64;
    let left_out: u64 =
        lines.iter().filter(|line| line["event"] == "left_out").map(|line| count(line, "count")).sum();
    assert_eq!(told + left_out, count(&result, "unexpected") + count(&result, "duplicate"), "{result}");
    // A second may begin meanwhile.
    assert!((100..=200).contains(&told) && 0 < left_out, "{told} and {left_out}");
    assert!(fs::read_to_string(path).unwrap().lines().count() as u64 <= 6 + told);
    let text = run(&["ping", "-c", "5", "-i", "20ms", &flood()], b"");
    assert!(text.text().lines().any(|line| line.starts_with("127.0.0.1: … and ")), "{}", text.text());
}

#[test]
fn second_signal_ends_the_process_and_removes_the_folder() {
    let folder = Folder::new();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = sounder(["ping", "--json", "--self", "-i", "0"]);
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", folder.path());
    let mut child = command.stdout(writer).spawn().unwrap();
    // Once the pipe is full, the program cannot print its summary and so cannot end after the first signal. Each of the
    // 16 pages of the pipe may lack one line.
    wait_until("a full pipe", || 56_000 < rustix::io::ioctl_fionread(&reader).unwrap());
    let entries = || fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries(), 1);
    // Signals that arrive right after the first one count as the same.
    let status = wait_for("the end after a second signal", || {
        finish(&mut sh(&format!("kill -INT {}", child.id())), b"");
        child.try_wait().unwrap()
    });
    assert_eq!((status.signal(), entries()), (Some(2), 0));
}

#[test]
fn what_was_typed_does_not_act_on_a_terminal() {
    let evil = "/nowhere/\u{1b}[31mb.json";
    for args in [
        &["-I", "\u{1b}[31mb", "127.0.0.1"][..],
        &["-o", evil, "127.0.0.1"],
        &["-i", "\u{1b}[31mb\u{7}"],
        &["tcp://\u{1b}[31mb"],
    ] {
        let mut command = sounder(["ping", "-c", "1"]);
        // As on a terminal.
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
fn whom_nobody_can_call_is_named() {
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
fn several_targets_stand_side_by_side_even_if_one_is_dead() {
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    let done = run(&["ping", "-i", "1s", "-i", "10ms", "-c", "1", serving.endpoint(), &dead], b"");
    let table: Vec<Vec<&str>> =
        done.text().lines().rev().skip(1).take(3).map(|line| line.split_whitespace().collect()).collect();
    let [lost, good, names] = table.as_slice() else { panic!("{done:?}") };
    assert_eq!(*names, ["ms", "sent", "lost", "min", "p50", "p99", "max", "jitter"]);
    assert_eq!(lost[..], [&[&*dead][..], &["-"; 7], &["REFUSED"]].concat());
    // Of one answer none is beyond the middle.
    assert_eq!((good[0], &good[1..3], good[4]), (serving.endpoint(), &["1", "0%"][..], "-"));
}

#[test]
fn signals_end_it_with_statistics_or_show_them_meanwhile() {
    for signal in ["INT", "TERM"] {
        let pinging = pinging(&["--self", "udp://127.0.0.1:0", "-i", "10ms"]);
        await_line(&pinging, is_answer);
        pinging.signal("QUIT");
        await_line(&pinging, |line| line["event"] == "interim");
        pinging.signal("QUIT");
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
fn whoever_reads_no_more_ends_it_cleanly() {
    let sounder = env!("CARGO_BIN_EXE_sounder");
    for args in ["", "--json", "-q --json"] {
        let to_head =
            format!("{{ {sounder} ping {args} --self udp://127.0.0.1:0 -i 10ms; echo $? >&2; }} | head -n 1");
        let done = finish(&mut sh(&to_head), b"");
        assert_eq!((done.stderr.as_str(), done.text().lines().count()), ("0\n", 1), "{args}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let folder = Folder::new();
    for ending in ["json", "csv", "hdr"] {
        let path = folder.join(&format!("full.{ending}"));
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let done = ping(&["--self", "udp://127.0.0.1:0", "-c", "500", "-i", "0", "-o", &path]);
        assert_eq!(done.code, Some(2), "{ending}: {}", done.stderr);
        let error = &json_lines(&done.stderr)[0]["error"];
        assert_eq!(*error, format!("cannot write {path}: No space left on device"), "{ending}");
        assert_counts(&end(&done), &[("sent", 500), ("answered", 500)]);
    }
    let missing = folder.join("missing/result.json");
    let done = ping(&["--self", "udp://127.0.0.1:0", "-c", "1", "-o", &missing]);
    assert_eq!((done.code, done.text()), (Some(2), ""), "it is not measured in vain: {}", done.stderr);
}

#[test]
fn a_file_is_whole_whatever_becomes_of_standard_output() {
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
fn a_file_says_what_has_failed_and_what_was_missed() {
    let (folder, serving) = (Folder::new(), Serving::at(&["udp://127.0.0.1:0"]));
    let dead = format!("tcp://127.0.0.1:{}", free_port());
    let written = |targets: &[&str], ending: &str| {
        let path = folder.join(ending);
        let done = ping(&[targets, &["-c", "3", "-i", "10ms", "--max-p99", "1us", "-o", &path]].concat());
        assert_eq!(done.code, Some(1), "{done:?}");
        fs::read_to_string(path).unwrap()
    };
    let lines = json_lines(&written(&[serving.endpoint(), &dead], "r.json"));
    assert_lines(&lines);
    assert_eq!((lines[0]["event"].as_str(), &lines[0]["missed"]), (Some("result"), &["max_p99"][..].into()));
    let [_, end] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&end["endpoint"], &end["refused"]), (&dead.as_str().into(), &3.into()), "{end}");
    let nobody = "tcp://nobody.invalid:7";
    let alone = json_lines(&written(&[nobody], "alone.json"));
    let [error] = alone.as_slice() else { panic!("{alone:?}") };
    assert_eq!(
        (&error["event"], &error["endpoint"], &error["reason"]),
        (&"error".into(), &nobody.into(), &"DNS".into())
    );
    let page = written(&[serving.endpoint()], "r.html");
    assert!(
        page.contains(">Missed: the maximum is ") && page.contains(", over 1 µs (fewer than 100 "),
        "{page}"
    );
}

#[test]
fn a_result_file_holds_what_was_told() {
    let folder = Folder::new();
    let (json, csv, hdr) = (folder.join("r.json"), folder.join("r.csv"), folder.join("r.hdr"));
    for path in [&json, &csv, &hdr] {
        let (_serving, forwarder) = forwarded(|number| {
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
            let told = |line: &str| line.starts_with(&lost) && line.ends_with(",,,,,,,false");
            assert!(text.lines().any(told), "{text}");
        } else {
            assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 1, "{text}");
        }
    }
}

#[test]
fn a_bound_that_is_missed_is_named_and_the_ping_fails() {
    let measured = |bounds: &[&str]| {
        let (_serving, forwarder) = forwarded(|number| {
            let mut fate = Fate::delayed(10, 10);
            fate.up.copies = usize::from(number % 4 != 1);
            fate
        });
        // The first and the fifth of eight are lost: a quarter. In the end they have been waited for longer than any answer
        // took, though not as long as they might take.
        let pinging =
            pinging(&[&[forwarder.endpoint(), "-i", "20ms", "-W", "5s", "-w", "6s"], bounds].concat());
        await_line(&pinging, |line| line["seq"] == 8 && is_answer(line));
        pinging.signal("INT");
        let done = pinging.wait();
        (done.code, end(&done))
    };
    for (bounds, code, missed) in [
        (&["--max-p99", "19ms"][..], 1, &["max_p99"][..]),
        (&["--max-p99", "10s", "--max-loss", "100%"], 0, &[]),
        (&["--max-p99", "1us", "--max-loss", "0"], 1, &["max_loss", "max_p99"]),
    ] {
        let (found, result) = measured(bounds);
        assert_eq!((found, &result["missed"]), (Some(code), &missed.into()), "{bounds:?}: {result}");
    }
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let nobody = format!("udp://{}", hole.local_addr().unwrap());
    let lossy = ["-c", "2", "-i", "10ms", "-W", "50ms", "--max-loss", "99.9%", "--max-p99", "1s"];
    let done = ping(&[&[&*nobody], &lossy[..]].concat());
    assert_eq!((done.code, &end(&done)["missed"]), (Some(1), &["max_loss", "max_p99"][..].into()));
    let text = run(&[&["ping", &nobody], &lossy[..]].concat(), b"");
    let told = ": 2 of 2 lost, over 99.9%\nmissed   ";
    assert!(text.code == Some(1) && text.text().contains(told), "{}", text.text());
}

/// Calls a peer whose answers tell this much, and no more.
#[track_caller]
fn assert_told(endpoint: &str, stamp: &str) {
    // One after the other: of what is read at once, a server stamps the first.
    let done = ping(&["-c", "20", "-i", "0", "-W", "10s", endpoint]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}: {}", done.text());
    let result = end(&done);
    assert_counts(&result, &[("sent", 20), ("answered", 20)]);
    assert_eq!(result["server_timestamps"], stamp, "{endpoint}: {result}");
    let ways = if matches!(stamp, "single" | "rx_tx") { 20 } else { 0 };
    let server = if stamp == "rx_tx" { 20 } else { 0 };
    for (key, expected) in [("up", ways), ("down", ways), ("server", server), ("rtt", 20)] {
        assert_eq!(result[key]["count"], expected, "{endpoint}: {key}: {result}");
    }
    assert_eq!(result["verdict"].is_null(), ways == 0, "{endpoint}: {result}");
    for sample in samples(&done) {
        assert_eq!(
            sample["up_ns"].is_null() && sample["down_ns"].is_null(),
            ways == 0,
            "{endpoint}: {sample}"
        );
    }
}

#[test]
fn of_other_echoes_it_tells_what_their_answers_do() {
    for address in ["TCP4-LISTEN:0,bind=127.0.0.1,fork", "UDP4-LISTEN:0,bind=127.0.0.1"] {
        let Some((_server, port)) = socat(address, "PIPE") else { return };
        assert_told(&format!("{}://127.0.0.1:{port}", &address[..3].to_lowercase()), "none");
    }
    // As inetd does it: a program for each connection.
    let Some((_server, port)) = socat("TCP4-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat") else { return };
    assert_told(&format!("tcp://127.0.0.1:{port}"), "none");
    for (script, scheme) in [("tcp_server.py", "tcp"), ("udp_server.py", "udp")] {
        let Some(mut server) = python(script, ["127.0.0.1"]) else { return };
        let server = Program::start(&mut server);
        assert_told(&format!("{scheme}://127.0.0.1:{}", server.wait_for_lines(1)[0]), "seconds");
    }
}

#[test]
fn servers_of_ours_tell_both_whatever_they_stamp_with() {
    for stamp in ["ctime", "rfc3339", "unix", "ns", "none", "[{unix}] {host} "] {
        let serving = Serving::with(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0", "--stamp", stamp], 2);
        serving.endpoints().iter().for_each(|endpoint| assert_told(endpoint, "rx_tx"));
    }
}

#[expect(clippy::disallowed_methods, reason = "a peer stamps with the time")]
fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap()
}

#[test]
fn a_peer_that_tells_one_time_divides_the_ways_and_hides_its_own() {
    let peer = datagrams(|_, call| {
        let now = since_1970();
        vec![[format!("[{}.{:09}] ", now.as_secs(), now.subsec_nanos()).as_bytes(), call].concat()]
    });
    assert_told(&peer, "single");
}

#[test]
fn a_clock_that_is_not_in_step_shows_in_delays_below_zero() {
    const AHEAD: i64 = 60_000_000_000;
    let peer = datagrams(|_, call| {
        let ahead = since_1970() + Duration::from_secs(60);
        let time = format!("{:019}", ahead.as_nanos());
        vec![stamped(call, &time, &time)]
    });
    let done = ping(&["-c", "60", "-i", "5ms", "-W", "10s", "--clock", "synced", &peer]);
    let result = end(&done);
    assert_counts(&result, &[("sent", 60), ("answered", 60)]);
    let measured =
        |way: &str| -> Vec<i64> { samples(&done).iter().map(|sample| time(sample, way)).collect() };
    for (way, key, ahead) in [("up", "up_ns", AHEAD), ("down", "down_ns", -AHEAD)] {
        let (told, truth) = (time(&result[way], "p50_ns"), median(measured(key)));
        assert!((truth - ahead).abs() < 1_000_000_000, "{way}: {truth} ns");
        assert!((told - truth).abs() <= truth.abs() / 1000, "{way}: {told} ns, which were {truth}");
        assert!(time(&result[way], "min_ns") <= told && told <= time(&result[way], "max_ns"), "{result}");
    }
    let args = ["ping", "-c", "5", "-i", "5ms", "-W", "10s", "--clock", "same", &peer];
    let done = run(&args, b"");
    let told = "the same at both ends; contradicted by 5 negative delays";
    assert!(done.text().contains(told), "{}", done.text());
    // Found out to be another clock, it is compared.
    let done = ping(&["-c", "60", "-i", "5ms", "-W", "10s", &peer]);
    let result = end(&done);
    assert_eq!((&result["clock"], &result["clock_contradicted"]), (&"free".into(), &true.into()), "{result}");
    let (ahead, within) = (time(&result, "clock_offset_ns"), time(&result, "clock_offset_uncertainty_ns"));
    assert!((ahead - AHEAD).abs() <= within + 100_000 && within < 50_000_000, "{ahead} ±{within}");
    assert_eq!((result["up"]["count"].as_u64(), result["down"]["count"].as_u64()), (Some(60), Some(60)));
}

#[test]
fn a_clock_that_tells_seconds_is_compared_to_milliseconds() {
    let compare = |script: &str, scheme: &str| {
        let mut server = python(script, ["127.0.0.1"])?;
        let server = Program::start(server.env("TZ", "Asia/Kolkata"));
        let endpoint = format!("{scheme}://127.0.0.1:{}", server.wait_for_lines(1)[0]);
        let done = ping(&[&endpoint, "-i", "200ms", "-c", "30"]);
        let result = end(&done);
        assert_counts(&result, &[("sent", 30), ("answered", 30)]);
        assert_eq!(
            (&result["server_timestamps"], &result["clock_zone_minutes"]),
            (&"seconds".into(), &330.into()),
            "{result}"
        );
        let (ahead, within) =
            (time(&result, "clock_offset_ns"), time(&result, "clock_offset_uncertainty_ns"));
        // Its seconds are those of time(2), which lags up to a tick behind.
        assert!(ahead.abs() <= within + 10_000_000, "{ahead} ±{within}");
        assert!(within < 30_000_000, "{ahead} ±{within}");
        Some(())
    };
    thread::scope(|scope| {
        [("tcp_server.py", "tcp"), ("udp_server.py", "udp")]
            .map(|(script, scheme)| scope.spawn(move || compare(script, scheme)))
            .map(|thread| thread.join().unwrap())
    });
}

#[test]
fn with_a_server_of_its_own_every_socket_is_measured() {
    let done = run(&["ping", "--json", "--self", "-c", "3", "-i", "10ms", "-W", "10s"], b"");
    let lines = done.objects();
    assert_lines(&lines);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let ends: Vec<&Value> = lines.iter().filter(|line| line["event"] == "result").collect();
    for end in &ends {
        assert_counts(end, &[("sent", 3), ("answered", 3)]);
    }
    let schemes: BTreeSet<&str> =
        ends.iter().map(|end| end["endpoint"].as_str().unwrap().split(':').next().unwrap()).collect();
    let wanted = ["tcp", "udp", "unix", "unix-dgram", "unix-seqpacket"];
    assert!(wanted.iter().all(|scheme| schemes.contains(scheme)), "{schemes:?}");
}

#[test]
fn of_several_targets_one_may_be_dead() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    let [tcp, udp] = serving.endpoints() else { panic!("it serves two") };
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
fn a_names_next_address_is_called_where_the_first_refuses_and_told() {
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
    // Nothing of what was tried before is left.
    assert_counts(&end(&done), &[("sent", 20), ("answered", 20), ("duplicate", 0), ("reordered", 0)]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn a_count_that_is_not_reached_fails() {
    let serving = Serving::at(&["udp://127.0.0.1:0"]);
    let done = ping(&[serving.endpoint(), "-c", "1000", "-i", "20ms", "-w", "100ms"]);
    let end = end(&done);
    assert_eq!((done.code, &end["lost"]), (Some(1), &0.into()), "{end}");
    assert!(count(&end, "answered") < 1000, "{end}");
}

#[test]
fn it_ends_when_it_is_told_to_while_it_connects() {
    // A listener whose queue is full takes nobody's call.
    let listener = echosounder_socket::Transport::Tcp.socket(&(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    listener.bind(&(Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    listener.listen_with(0).unwrap();
    let address = listener.local_addr().unwrap();
    let fill = || {
        let client = echosounder_socket::Transport::Tcp.socket(&address).unwrap();
        client.set_blocking(false).unwrap();
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
    // When one target is called, signals are received.
    await_line(&pinging, is_answer);
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("interrupted"), "{}", done.stderr);
}

#[test]
fn calls_of_every_size_come_back() {
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
}

#[test]
fn marks_and_the_source_are_on_the_wire() {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let endpoint = format!("udp://{}", socket.local_addr().unwrap());
    let socket = Socket::from_fd(socket.into()).unwrap();
    socket.set_option(IP_RECVTOS, true).unwrap();
    socket.set_option(IP_RECVTTL, true).unwrap();
    socket.set_timeout(Some(PATIENCE)).unwrap();
    let pinging = pinging(&[&endpoint, "-Q", "ef", "-t", "7", "-I", "127.0.0.9", "-i", "20ms"]);
    let mut buffer = [0; 2048];
    let room = control_space(4) + control_space(4);
    let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], room, MessageFlags::NONE).unwrap();
    let told = |wanted: fn(&ControlMessage) -> Option<i32>| message.control.iter().find_map(wanted);
    let tos = told(|control| if let ControlMessage::Tos(tos) = control { Some((*tos).into()) } else { None });
    let ttl = told(|control| if let ControlMessage::Ttl(ttl) = control { Some(*ttl) } else { None });
    // The code point is the upper six bits.
    assert_eq!((tos, ttl), (Some(46 << 2), Some(7)));
    assert_eq!(message.from.ip(), Some("127.0.0.9".parse().unwrap()));
    assert_eq!(message.len, 64);
    pinging.signal("INT");
    pinging.wait();
    let done = ping(&["-I", "127.0.0.9", "-Q", "ef", "-c", "2", "-i", "10ms", "--self", "tcp://127.0.0.1:0"]);
    assert!(done.objects()[0]["local"].as_str().unwrap().starts_with("127.0.0.9:"), "{}", done.text());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let hostless = ping(&["-Q", "ef", "unix:@nobody"]);
    assert_eq!(hostless.code, Some(2), "{}", hostless.stderr);
}

#[test]
fn what_is_shown_is_what_was_asked_for() {
    let own = ["ping", "--self", "udp://127.0.0.1:0"];
    let text = |args: &[&str]| {
        let done = run(&[&own, args].concat(), b"");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{args:?}");
        done.text().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let stamped = text(&["-D", "-c", "2", "-i", "10ms"]);
    let now = since_1970().as_secs_f64();
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
    assert!(done.code == Some(0) && sent <= 15 && end(&done)["skipped"] == 0, "{}", end(&done));
    let done = ping(&["--self", "udp://127.0.0.1:0", "-q", "-c", "5", "-i", "10ms"]);
    assert!(samples(&done).is_empty(), "{}", done.text());
}

#[test]
fn every_line_of_a_long_run_is_as_written_down() {
    let mut random = Random::new(11);
    let (_serving, forwarder) = forwarded(move |number| {
        if number == 10 {
            return Fate::delayed(600, 1);
        }
        let mut way = || Passage {
            delay: Duration::from_micros(random.below(15_000)),
            copies: if random.percent(10) { 0 } else { 1 + usize::from(random.percent(10)) },
        };
        Fate { up: way(), down: way() }
    });
    let garbage = datagrams(|number, call| match number {
        1 => vec![b"garbage".to_vec(), call.to_vec()],
        // It is long before.
        _ => vec![stamped(call, "1000000000000000000", "1000000000000000001")],
    });
    let peer = connections(|mut stream| {
        let mut call = [0; REQUEST_LEN];
        if stream.read_exact(&mut call).is_ok() {
            let _ = stream.write_all(&call);
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
            line[key].as_str().map(|what| wanted.remove(what));
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
    // The schema is no sieve: a key too many or too few, or of another kind, is none of its lines.
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

#[test]
fn the_kernel_tells_of_every_datagram() {
    let mut endpoints = vec!["udp://127.0.0.1:0"];
    if has_ipv6() {
        endpoints.push("udp://[::1]:0");
    }
    for endpoint in endpoints {
        let done = ping(&["--self", endpoint, "-c", "300", "-i", "1ms"]);
        let (start, result) = (done.objects().swap_remove(0), end(&done));
        assert_counts(&result, &[("sent", 300), ("answered", 300)]);
        assert_eq!(
            (&start["kernel_tx_timestamps"], &start["kernel_rx_timestamps"]),
            (&true.into(), &true.into()),
            "{start}"
        );
        let told = (count(&result["kernel_tx_delay"], "count"), count(&result["kernel_rx_delay"], "count"));
        assert_eq!(told, (300, 300), "{endpoint}: {result}");
        assert_eq!(result["kernel_tx_delay"]["count"], 300, "{result}");
    }
}

/// How many calls the test of memory makes: more, if SOUNDER_PING_CALLS says so.
fn calls() -> u64 {
    std::env::var("SOUNDER_PING_CALLS").map_or(150_000, |calls| calls.parse().unwrap())
}

#[test]
fn however_many_calls_there_are_memory_does_not_grow() {
    // 65,536 calls are remembered, in a buffer that doubles; more than that takes is not added, in kilobytes.
    const MOST: u64 = 20 << 10;
    let pinging = pinging(&["--self", "udp://127.0.0.1:0", "-q", "-i", "0"]);
    let answered = |least: u64| {
        let mut sum = 0;
        await_line(&pinging, |line| {
            sum += line["answered"].as_u64().unwrap_or(0);
            least <= sum
        });
        resident(pinging.pid())
    };
    let (before, after) = (answered(1), answered(calls()));
    assert!(after < before + MOST, "{before} kB became {after}");
    pinging.signal("INT");
    let done = pinging.wait();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_lines(&done.objects());
}

/// Fails unless all calls to a server here are answered, and each way is told.
#[track_caller]
pub(crate) fn assert_both_ways(endpoint: &str) {
    let serving = Serving::at(&[endpoint]);
    // One after the other: of what is read at once, a server stamps the first.
    let done = ping(&["-c", "5", "-i", "0", "-W", "10s", serving.endpoint()]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{endpoint}");
    let result = end(&done);
    assert_counts(&result, &[("sent", 5), ("answered", 5)]);
    for key in ["rtt", "up", "down", "server"] {
        assert_eq!(result[key]["count"], 5, "{endpoint}: {result}");
    }
}
