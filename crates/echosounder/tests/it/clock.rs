//! Wrong and stepped wall clocks, and odd time zones. A library of Debian's package `faketime` lies
//! to the program about the time of day, but not about the monotonic clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Folder, Program, Serving, finish, json_lines, run, skip, sounder};

/// Returns the library, or skips.
fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let found = libraries.find(|library| library.exists());
    if found.is_none() {
        skip("libfaketime", "not installed");
    }
    found
}

/// Returns `sounder` with these arguments, which sees this time of day: `@DATE TIME`, where the clock
/// starts, or the name of a file with the seconds that it is ahead.
fn at(library: &PathBuf, time: &str, args: &[&str]) -> Command {
    let mut command = sounder(args);
    let variable = if time.starts_with('@') { "FAKETIME" } else { "FAKETIME_TIMESTAMP_FILE" };
    command.env("LD_PRELOAD", library).env(variable, time).env("FAKETIME_NO_CACHE", "1").env("TZ", "UTC");
    // The name depends on the version of the library.
    command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    command
}

/// Times at which clocks fail, and the date that a server shows then.
const TIMES: [(&str, &str); 9] = [
    ("@1969-12-31 23:00:00", "1970-01-01T00:00:00"),
    ("@1970-01-01 00:00:00", "1970-01-01T00:0"),
    ("@2016-12-31 23:59:59", "201"),
    ("@2038-01-19 03:14:06", "2038-01-19T03:1"),
    ("@2106-02-07 06:28:14", "2106-02-07T06:2"),
    ("@2262-04-11 23:47:15", "2262-04-11T23:4"),
    ("@2286-11-20 17:46:38", "2286-11-20T17:4"),
    ("@2554-07-21 23:34:32", "2286-11-20T17:46:39"),
    ("@9999-12-31 23:59:58", "2286-11-20T17:46:39"),
];

#[test]
fn replies_and_measurements_are_the_same_in_any_year() {
    let Some(library) = library() else { return };
    for (time, date) in TIMES {
        let serve = &["serve", "--stamp", "rfc3339", "--workers", "1", "tcp://127.0.0.1:0"];
        let serving = Serving::start(&mut at(&library, time, serve), 1);
        let reply = run(&["talk", "--lines", serving.endpoint()], b"hello\n");
        let text = reply.text();
        assert!(
            text.starts_with(&format!("[{date}")) && text.ends_with("+00:00] hello\n"),
            "{time}: {reply:?}"
        );
        for (command, clock) in [("ping", "free"), ("ping", "same"), ("load", "")] {
            let mut args = match command {
                "ping" => vec!["ping", "--json", "-c", "20", "-i", "5ms", "--clock", clock],
                _ => vec!["load", "--json", "-n", "100"],
            };
            args.extend(["-w", "20s", serving.endpoint()]);
            let done = finish(&mut at(&library, time, &args), b"");
            assert_eq!(done.code, Some(0), "{time} {args:?}: {done:?}");
            let result = done.objects().pop().unwrap();
            let round_trips = if command == "ping" { "rtt" } else { "latency" };
            let max = result[round_trips]["max_ns"].as_i64().unwrap();
            assert!((1..20_000_000_000).contains(&max), "{time} {args:?}: {result}");
            assert_delays(&done.objects(), time);
        }
        assert_eq!(serving.stop().code, Some(0), "{time}");
    }
}

/// Fails if a delay is impossible: longer than a round trip could be, or negative by more.
#[track_caller]
fn assert_delays(objects: &[serde_json::Value], time: &str) {
    for object in objects.iter().filter(|object| object["event"] == "sample") {
        for key in ["up_ns", "down_ns"] {
            let delay = object[key].as_i64().unwrap_or_default();
            assert!(delay.abs() < 20_000_000_000, "{time}: {object}");
        }
        // The clocks show the same before 1970 and after 2286.
        let is_known = !time.starts_with("@1969") && !time.starts_with("@2554") && !time.starts_with("@9999");
        assert!(is_known || (object["up_ns"].is_null() && object["down_ns"].is_null()), "{time}: {object}");
    }
}

#[test]
fn files_are_valid_in_any_year() {
    let Some(library) = library() else { return };
    for (time, _) in TIMES {
        let folder = Folder::new();
        let files = ["r.html", "r.csv", "r.json"].map(|name| folder.join(name));
        let [html, csv, json] = files.each_ref().map(String::as_str);
        let ping = ["ping", "--self", "tcp://127.0.0.1:0", "-c", "3", "-i", "5ms", "-q"];
        let args = [&ping[..], &["-o", html, "-o", csv, "-o", json]].concat();
        let done = finish(&mut at(&library, time, &args), b"");
        assert_eq!(done.code, Some(0), "{time}: {done:?}");
        let read = |path| fs::read_to_string(path).unwrap();
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        roxmltree::Document::parse_with_options(&read(html), options).unwrap();
        assert_eq!(read(csv).lines().count(), 1 + 3, "{time}");
        assert_eq!(json_lines(&read(json)).len(), 1, "{time}");
    }
}

#[test]
fn steps_of_the_clock_change_no_round_trip_and_no_timeout() {
    let Some(library) = library() else { return };
    let folder = Folder::new();
    let ahead = folder.join("ahead");
    let step = |seconds: &str| {
        // The library may read the file at any time.
        let next = folder.join("next");
        fs::write(&next, seconds).unwrap();
        fs::rename(&next, &ahead).unwrap();
    };
    step("+0");
    // The sandbox does not let the library read the file.
    let serve = ["serve", "--no-sandbox", "--stamp", "ns", "--idle-timeout", "1h", "tcp://127.0.0.1:0"];
    let serving = Serving::start(&mut at(&library, &ahead, &serve), 1);
    let ping = ["ping", "--json", "-i", "5ms", "-w", "1h", "-W", "20s", serving.endpoint()];
    for stepped in ["server", "client"] {
        let mut command = if stepped == "client" { at(&library, &ahead, &ping) } else { sounder(ping) };
        let pinging = Program::start(&mut command);
        let mut samples = 20;
        for seconds in ["-3600", "+3600", "+0"] {
            pinging.wait_for_lines(samples);
            step(seconds);
            samples += 20;
        }
        pinging.wait_for_lines(samples);
        pinging.signal("INT");
        let done = pinging.finish();
        assert_eq!(done.code, Some(0), "{stepped}: {done:?}");
        let result = done.objects().pop().unwrap();
        assert_eq!((&result["lost"], &result["late"]), (&0.into(), &0.into()), "{stepped}: {result}");
        let rtt = result["rtt"]["max_ns"].as_i64().unwrap();
        assert!((1..60_000_000_000).contains(&rtt), "{stepped}: {result}");
        for object in done.objects().iter().filter(|object| object["event"] == "sample") {
            let delays = ["up_ns", "down_ns"].map(|key| object[key].as_i64().unwrap_or_default());
            assert!(delays.iter().all(|delay| delay.abs() < 60_000_000_000), "{stepped}: {object}");
        }
    }
    let done = serving.stop();
    assert!(done.stderr.contains("2 connections, ") && done.stderr.ends_with(" 0 dropped\n"), "{done:?}");
}

#[test]
fn odd_time_zones_are_utc() {
    let folder = Folder::new();
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let long = "x".repeat(10 << 10);
    for zone in
        [":", "/etc", "UTC+25", "\x01", &long, &fifo, "/dev/zero", "../../etc/passwd", "<+99>-99:59:59"]
    {
        let mut serve = sounder(["serve", "--stamp", "rfc3339", "tcp://127.0.0.1:0"]);
        let serving = Serving::start(serve.env("TZ", zone), 1);
        let reply = run(&["talk", "--lines", serving.endpoint()], b"hello\n");
        assert!(reply.text().ends_with("+00:00] hello\n"), "{zone:?}: {reply:?}");
        let html = folder.join("r.html");
        let mut ping = sounder(["ping", "-c", "2", "-i", "5ms", "-q", "-o", &html, serving.endpoint()]);
        let done = finish(ping.env("TZ", zone), b"");
        assert_eq!(done.code, Some(0), "{zone:?}: {done:?}");
        assert!(fs::read_to_string(&html).unwrap().ends_with("</html>\n"), "{zone:?}");
        assert_eq!(serving.stop().code, Some(0), "{zone:?}");
    }
}
