//! `sounder ping`: whether what it tells is the truth, held against a way that knows what it has done; how it takes what
//! peers do; what the lines of `--json` are.

use std::collections::BTreeSet;
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use echosounder_socket::option::{IP_RECVTOS, IP_RECVTTL};
use echosounder_socket::{ControlMessage, MessageFlags, Socket, control_space};
use jsonschema::Validator;
use serde_json::Value;

use crate::forwarder::{Chance, Deeds, Fate, Forwarder, LEN, Way};
use crate::support::{
    Finished, Folder, PATIENCE, Program, Serving, finish, has_ipv6, objects, private_network, program,
    python, run, sh, sounder, unique,
};

/// A median may be this far from the truth, in nanoseconds.
const NEAR: i64 = 100_000;

/// What the lines are to be.
fn schema() -> &'static Validator {
    static SCHEMA: OnceLock<Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ping.schema.json");
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    })
}

/// Fails unless each of these is a line as it is written down.
#[track_caller]
fn assert_lines(lines: &[Value]) {
    for line in lines {
        // Of all kinds of lines it is none; of the one that it is meant to be, it is told why.
        let errors: Vec<String> = schema().iter_errors(line).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}: {line}");
    }
}

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
fn await_line(program: &Program, wanted: impl Fn(&Value) -> bool) {
    let mut count = 1;
    loop {
        let lines = program.lines(count);
        // The last may not be whole yet.
        if objects(&lines[count - 1..count].join("\n")).iter().any(&wanted) {
            return;
        }
        count += 1;
    }
}

fn is_answer(line: &Value) -> bool {
    line["outcome"] == "answered"
}

/// The last object, which is the result.
#[track_caller]
fn end(done: &Finished) -> Value {
    let result = done.objects().pop().unwrap_or_else(|| panic!("{done:?}"));
    assert_eq!(result["event"], "end", "{done:?}");
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
    let counts = ["sent", "answered", "late", "lost", "duplicate", "reordered", "stray", "skipped"];
    for key in counts {
        let expected = expected.iter().find(|(name, _)| *name == key).map_or(0, |(_, count)| *count);
        assert_eq!(result[key], expected, "{key}: {result}");
    }
    let told: u64 = ["refused", "timeout", "unreachable", "dns", "closed", "unsent"]
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
    values[values.len() / 2]
}

#[track_caller]
fn assert_near(value: i64, truth: i64, what: &str) {
    assert!((value - truth).abs() < NEAR, "{what}: {value} ns, which were {truth}");
}

/// Fails unless both ways' medians are what the forwarder's were.
#[track_caller]
fn assert_ways(done: &Finished, deeds: &Deeds) {
    let samples = samples(done);
    let truth = |way: fn((i64, i64)) -> i64| -> Vec<i64> {
        let answered =
            samples.iter().filter(|sample| sample["outcome"] != "lost" && !sample["up_ns"].is_null());
        answered.map(|sample| way(deeds.ways(count(sample, "seq")).unwrap())).collect()
    };
    let result = end(done);
    for (name, way) in [("up", (|ways| ways.0) as fn((i64, i64)) -> i64), ("down", |ways| ways.1)] {
        let truth = truth(way);
        assert!(!truth.is_empty() && count(&result[name], "count") == truth.len() as u64, "{result}");
        let measured = samples.iter().filter_map(|sample| sample[&format!("{name}_ns")].as_i64());
        assert_near(median(measured.collect()), median(truth.clone()), name);
        // A histogram is true to three digits, and has another median of an even number.
        let (told, truth) = (time(&result[name], "p50_ns"), median(truth));
        assert!((told - truth).abs() < NEAR + truth / 500, "{name}: {told} ns, which were {truth}");
    }
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
    let done = ping(&[&forwarder.endpoint, "-i", "5ms", "-c", "150", "--clock", "same"]);
    let deeds = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = end(&done);
    assert_counts(&result, &[("sent", 150), ("answered", 150)]);
    assert_ways(&done, &deeds);
    for sample in samples(&done) {
        let (up, down) = (time(&sample, "up_ns"), time(&sample, "down_ns"));
        assert!(2_990_000 < up && 8_990_000 < down, "it took no less than it was held: {sample}");
        assert!(count(&sample, "server_ns") < 5_000_000, "{sample}");
    }
    assert_eq!((&result["stamp"], &result["clock"]), (&"both".into(), &"same".into()), "{result}");
    assert_eq!(result["up_down_assume_equal_quickest"], false, "{result}");
}

#[test]
fn a_free_clock_divides_the_quickest_equally_and_the_rest_truly() {
    let mut chance = Chance(7);
    let (_serving, forwarder) =
        forwarded(move |number| Fate::delayed(4 + number % 2 * 30, 4 + chance.below(3)));
    let done = ping(&[&forwarder.endpoint, "-i", "5ms", "-c", "150", "--clock", "free"]);
    drop(forwarder);
    let result = end(&done);
    assert_counts(&result, &[("sent", 150), ("answered", 150), ("reordered", count(&result, "reordered"))]);
    assert_eq!(result["up_down_assume_equal_quickest"], true, "{result}");
    assert_eq!((&result["clock"], &result["verdict"]), (&"free".into(), &"up".into()), "{result}");
    // It is the same clock: what is possible holds zero.
    let (ahead, within) = (time(&result, "clock_ahead_ns"), time(&result, "clock_uncertainty_ns"));
    assert!(ahead.abs() <= within + 10_000 && within < 20_000_000, "{ahead} ±{within}");
    for sample in samples(&done) {
        assert!(sample["up_ns"].is_null() && sample["down_ns"].is_null(), "{sample}");
        assert!(0 <= time(&sample, "up_above_quickest_ns"), "{sample}");
    }
}

#[test]
fn the_way_that_varies_is_named() {
    for (verdict, up, down) in [("up", 80, 1), ("down", 1, 80), ("both", 80, 80)] {
        let mut chance = Chance(3);
        let (_serving, forwarder) =
            forwarded(move |_| Fate::delayed(1 + chance.below(up), 1 + chance.below(down)));
        let done = ping(&[&forwarder.endpoint, "-i", "4ms", "-c", "150"]);
        let deeds = forwarder.end();
        let result = end(&done);
        assert_eq!(result["verdict"], verdict, "{result}");
        assert_counts(&result, &[("sent", 150), ("answered", 150), ("reordered", deeds.reordered() as u64)]);
        let jitter = |way: &str| result[&format!("{way}_jitter_ns")].as_f64().unwrap();
        let (up, down) = (jitter("up"), jitter("down"));
        assert!(
            (verdict == "up") == (2.0 * down < up) && (verdict == "down") == (2.0 * up < down),
            "{result}"
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
    let done = ping(&[&forwarder.endpoint, "-i", "20ms", "-c", "60", "-W", "1s"]);
    let deeds = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""), "not all were answered");
    let result = end(&done);
    let counts = [("sent", 60), ("answered", 55), ("lost", 5), ("duplicate", 3), ("reordered", 2)];
    assert_counts(&result, &counts);
    assert_eq!((deeds.lost(), deeds.duplicates(), deeds.reordered()), (5, 3, 2));
    let numbers = |wanted: &dyn Fn(&Value) -> bool| -> Vec<u64> {
        samples(&done).iter().filter(|sample| wanted(sample)).map(|sample| count(sample, "seq")).collect()
    };
    assert_eq!(numbers(&|sample| sample["outcome"] == "lost"), [5, 10, 15, 20, 25]);
    assert_eq!(numbers(&|sample| sample["word"] == "TIMEOUT"), [5, 10, 15, 20, 25]);
    assert_eq!(numbers(&|sample| sample["outcome"] == "duplicate"), [30, 30, 31]);
    assert_eq!(numbers(&|sample| sample["reordered"] == true), [40, 50]);
    let share = result["loss_percent"].as_f64().unwrap();
    assert!((share - 100.0 * 5.0 / 60.0).abs() < 1e-9, "{share}");
}

#[test]
fn random_losses_duplicates_and_swaps_are_counted_exactly() {
    for seed in [1, 2, 3] {
        let mut chance = Chance(seed);
        let (_serving, forwarder) = forwarded(move |number| {
            if number == 400 {
                // All others are back before.
                return Fate::delayed(300, 300);
            }
            let mut way = || Way {
                delay: Duration::from_micros(chance.below(20_000)),
                copies: if chance.percent(10) { 0 } else { 1 + usize::from(chance.percent(5)) },
            };
            Fate { up: way(), down: way() }
        });
        let done = ping(&[&forwarder.endpoint, "-i", "2ms", "-c", "400", "-W", "2s"]);
        let deeds = forwarder.end();
        let result = end(&done);
        let (lost, duplicates) = (deeds.lost() as u64, deeds.duplicates() as u64);
        assert!(
            (40..120).contains(&lost) && 10 < duplicates && 50 < deeds.reordered(),
            "seed {seed}: {lost}"
        );
        let counts = [
            ("sent", 400),
            ("answered", 400 - lost),
            ("lost", lost),
            ("duplicate", duplicates),
            ("reordered", deeds.reordered() as u64),
        ];
        assert_counts(&result, &counts);
        assert_eq!(result["timeout"], lost, "seed {seed}: {result}");
        assert_ways(&done, &deeds);
    }
}

#[test]
fn what_comes_after_the_wait_is_late_and_not_lost() {
    let (_serving, forwarder) = forwarded(|number| match number {
        3 | 4 => Fate::delayed(900, 1),
        5 => Fate::delayed(1, 900),
        100 => Fate::delayed(100, 100),
        _ => Fate::delayed(1, 1),
    });
    let args = [&forwarder.endpoint, "-i", "20ms", "-c", "100", "-W", "500ms", "--max-loss", "0"];
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
    assert!(900_000_000 <= time(&of_three[1], "rtt_ns"), "{of_three:?}");
    assert_eq!(result["rtt"]["count"], 100, "a late answer tells how long it took: {result}");
}

#[test]
fn a_stream_in_odd_pieces_is_measured_by_its_last_byte() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let forwarder = Forwarder::stream(serving.endpoint(), (LEN, 7), |_| Fate::delayed(3, 9));
    let done = ping(&[&forwarder.endpoint, "-i", "20ms", "-c", "100", "--clock", "same"]);
    let deeds = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    assert_counts(&end(&done), &[("sent", 100), ("answered", 100)]);
    assert_ways(&done, &deeds);
    for sample in samples(&done) {
        let (up, down) = (time(&sample, "up_ns"), time(&sample, "down_ns"));
        assert!(2_990_000 < up && 8_990_000 < down, "it took no less than it was held: {sample}");
    }
}

#[test]
fn calls_that_come_to_the_server_in_pieces_are_answered_all_the_same() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let forwarder = Forwarder::stream(serving.endpoint(), (11, 5), |_| Fate::delayed(1, 1));
    let done = ping(&[&forwarder.endpoint, "-i", "2ms", "-c", "300"]);
    drop(forwarder);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let result = end(&done);
    assert_counts(&result, &[("sent", 300), ("answered", 300)]);
    assert_eq!(result["clock_contradicted"], false, "{result}");
}

#[test]
fn on_a_stream_that_is_held_up_all_behind_it_is_late() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let held_up = |number| if number == 10 { Fate::delayed(900, 1) } else { Fate::delayed(1, 1) };
    let forwarder = Forwarder::stream(serving.endpoint(), (LEN, LEN), held_up);
    let done = ping(&[&forwarder.endpoint, "-i", "20ms", "-c", "80", "-W", "500ms"]);
    drop(forwarder);
    let result = end(&done);
    let late = count(&result, "late");
    assert_counts(&result, &[("sent", 80), ("answered", 80 - late), ("late", late)]);
    assert!((15..25).contains(&late), "{result}");
    for sample in samples(&done).iter().filter(|sample| !sample["rtt_ns"].is_null()) {
        let is_late = sample["outcome"] == "late";
        let rtt = time(sample, "rtt_ns");
        // It is looked at when this machine has the time to.
        assert!(if is_late { 499_000_000 < rtt } else { rtt < 560_000_000 }, "{sample}");
    }
}
