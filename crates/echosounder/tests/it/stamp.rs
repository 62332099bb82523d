//! `sounder ping stamp://`: its measurements against a reflector and a link that know what they did,
//! reflectors that reply less, keys, and wrong usage.

use std::fs;
use std::hash::RandomState;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::SystemTime;

use echosounder_proto::WallTime;
use echosounder_proto::stamp::{ErrorEstimate, Key, Reflector, ReflectorConfig, RequestContext};
use echosounder_socket::{Batch, ControlSpace, Socket, option};
use echosounder_testkit::{Fate, Forwarder, MessageForm, PATIENCE};

use crate::ping::{assert_counts, assert_one_way_delays, count, end, ping, samples};
use crate::support::{Folder, Serving, run, sh};

const KEY: &str = "0123456789abcdef";

/// Returns the time of the system's clock.
fn now() -> WallTime {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    WallTime::from_nanos(u64::try_from(now.as_nanos()).unwrap())
}

/// Starts a reflector to which requests come with TTL 61, or 60 from the fifth one on, DSCP 46 and ECN
/// 1. `alter` changes its replies.
fn reflector(config: ReflectorConfig, alter: impl Fn(&mut Vec<u8>) + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let mut reflector = Reflector::new(config, RandomState::new());
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        for number in 1.. {
            let (len, source) = socket.recv_from(&mut buffer).unwrap();
            let mut context = RequestContext::new(source, now());
            (context.ttl, context.traffic_class) =
                (Some(if number < 5 { 61 } else { 60 }), Some(46 << 2 | 1));
            let reflected = reflector.reflect(&mut buffer, len, &context, ErrorEstimate::UNKNOWN, now());
            let Ok(reflected) = reflected else { continue };
            let mut reply = buffer[..reflected.len].to_vec();
            reflector.finish(&mut reply, now());
            alter(&mut reply);
            // The test may have ended the sender.
            let _ = socket.send_to(&reply, source);
        }
    });
    address
}

#[test]
fn replies_show_header_fields_and_the_time_in_the_reflector() {
    let endpoint = format!("stamp://{}", reflector(ReflectorConfig::default(), |_| ()));
    let done = ping(&[&endpoint, "-c", "10", "-i", "5ms"]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
    let start = done.objects().swap_remove(0);
    assert_eq!((&start["probe"], &start["size_bytes"]), (&"stamp".into(), &72.into()), "{start}");
    assert!(start["endpoint"] == *endpoint && start["resolved"] == *endpoint, "{start}");
    for sample in samples(&done) {
        let ttl = if count(&sample, "seq") < 5 { 61 } else { 60 };
        for (key, value) in [("request_ttl", ttl), ("request_dscp", 46), ("request_ecn", 1)] {
            assert_eq!(count(&sample, key), value, "{sample}");
        }
        for key in ["up_ns", "down_ns", "server_ns"] {
            assert!(sample[key].is_i64(), "{key}: {sample}");
        }
    }
    let result = end(&done);
    assert_counts(&result, &[("sent", 10), ("answered", 10)]);
    for (key, value) in [
        ("lost_up", 0),
        ("lost_down", 0),
        ("lost_unknown", 0),
        ("request_ttl", 60),
        ("request_dscp", 46),
        ("request_ecn", 1),
        ("request_header_changes", 1),
    ] {
        assert_eq!(count(&result, key), value, "{key}: {result}");
    }
    assert_eq!(result["server_timestamps"], "rx_tx", "{result}");
    assert_eq!(result["peer_clock_synchronized"], false, "{result}");
}

#[test]
fn own_reflectors_are_measured() {
    let folder = Folder::new();
    let key = folder.join("key");
    fs::write(&key, KEY).unwrap();
    for args in [&[][..], &["--stamp-key", &key]] {
        let targets =
            ["--self", "stamp://127.0.0.1:0", "udp://127.0.0.1:0", "-c", "3", "-t", "61", "-Q", "ef"];
        let done = ping(&[&targets, args].concat());
        assert_eq!(done.code, Some(0), "{done:?}");
        let mut results = done.objects();
        results.retain(|line| line["event"] == "result");
        let stamp = results.iter().find(|result| result["endpoint"].as_str().unwrap().starts_with("stamp"));
        let stamp = stamp.unwrap_or_else(|| panic!("{done:?}"));
        assert_counts(stamp, &[("sent", 3), ("answered", 3)]);
        let header = ["request_ttl", "request_dscp", "request_ecn"].map(|key| count(stamp, key));
        assert_eq!((header, results.len()), ([61, 46, 0], 2), "{stamp}");
    }
}

#[test]
fn statistics_name_header_fields_and_the_direction_of_loss() {
    let server = format!("udp://{}", reflector(ReflectorConfig::default(), |_| ()));
    let forwarder = Forwarder::datagrams_by(&server, MessageForm::STAMP, |number| {
        let mut fate = Fate::delayed(0, 0);
        (fate.up.copies, fate.down.copies) = (usize::from(number != 3), usize::from(number % 4 != 0));
        fate
    });
    let endpoint = forwarder.endpoint().replace("udp", "stamp");
    let done = run(&["ping", &endpoint, "-c", "9", "-i", "5ms", "-W", "1s"], b"");
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.text().starts_with(&format!("PING {endpoint} from 127.0.0.1:")), "{done:?}");
    for text in [
        "72 bytes from 127.0.0.1: seq=1 rtt=",
        " request ttl=60 dscp=46 ecn=1\n",
        "\nlost     3 TIMEOUT (1 up, 2 down)\n",
        "\nheader   requests arrived with TTL 60, DSCP 46, ECN 1 after one change\n",
    ] {
        assert!(done.text().contains(text), "{text}: {done:?}");
    }
}

#[test]
fn delay_and_loss_of_each_direction_match_the_link() {
    let server = format!("udp://{}", reflector(ReflectorConfig::default(), |_| ()));
    let forwarder = Forwarder::datagrams_by(&server, MessageForm::STAMP, |number| {
        let mut fate = Fate::delayed(9, 3);
        (fate.up.copies, fate.down.copies) = (usize::from(number % 10 != 3), usize::from(number % 15 != 7));
        fate
    });
    let endpoint = forwarder.endpoint().replace("udp", "stamp");
    let done = ping(&[&endpoint, "-i", "5ms", "-c", "200", "--clock", "same", "-W", "3s"]);
    let log = forwarder.end();
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), ""));
    let numbers = || 1..=200_u64;
    let up = numbers().filter(|number| number % 10 == 3).count() as u64;
    let down = numbers().filter(|number| number % 10 != 3 && number % 15 == 7).count() as u64;
    assert_eq!(log.lost() as u64, up + down);
    let result = end(&done);
    assert_counts(&result, &[("sent", 200), ("answered", 200 - up - down), ("lost", up + down)]);
    let lost = ["lost_up", "lost_down", "lost_unknown"].map(|key| count(&result, key));
    assert_eq!(lost, [up, down, 0], "{result}");
    assert_one_way_delays(&done, &log);
}

#[test]
fn a_stateless_reflector_shows_no_direction_of_loss() {
    let mut config = ReflectorConfig::default();
    config.is_stateful = false;
    let server = format!("udp://{}", reflector(config, |_| ()));
    let forwarder = Forwarder::datagrams_by(&server, MessageForm::STAMP, |number| {
        let mut fate = Fate::delayed(0, 0);
        fate.up.copies = usize::from(number % 2 == 0);
        fate
    });
    let endpoint = forwarder.endpoint().replace("udp", "stamp");
    let result = end(&ping(&[&endpoint, "-c", "10", "-i", "5ms", "-W", "1s"]));
    assert_counts(&result, &[("sent", 10), ("answered", 5), ("lost", 5)]);
    assert!(result["lost_up"].is_null() && result["lost_down"].is_null(), "{result}");
}

#[test]
fn reflectors_of_twamp_light_are_measured() {
    for len in [36, 38, 41, 44] {
        let address = reflector(ReflectorConfig::default(), move |reply| reply.truncate(len));
        let endpoint = format!("stamp://{address}");
        let done = ping(&[&endpoint, "-c", "3", "-i", "5ms", "-s", "44"]);
        let result = end(&done);
        assert_counts(&result, &[("sent", 3), ("answered", 3)]);
        assert_eq!(result["server_timestamps"], "rx_tx", "{len}: {result}");
        assert_eq!(result["request_ttl"].is_null(), len < 41, "{len}: {result}");
        assert!(result["request_dscp"].is_null(), "{len}: {result}");
    }
}

#[test]
fn requests_have_any_size_and_either_timestamp_format() {
    let endpoint = format!("stamp://{}", reflector(ReflectorConfig::default(), |_| ()));
    for size in ["44", "45", "48", "71", "1472", "9000"] {
        for format in ["ntp", "ptp"] {
            let result = end(&ping(&[&endpoint, "-c", "2", "-i", "0", "-s", size, "--stamp-time", format]));
            assert_counts(&result, &[("sent", 2), ("answered", 2)]);
        }
    }
    let done = run(&["ping", &endpoint, "-s", "65508"], b"");
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("the maximum request size"), "{done:?}");
}

#[test]
fn a_key_authenticates_both_directions() {
    let folder = Folder::new();
    let (right, wrong) = (folder.join("right"), folder.join("wrong"));
    fs::write(&right, format!("{KEY}\n")).unwrap();
    fs::write(&wrong, "fedcba9876543210").unwrap();
    let mut config = ReflectorConfig::default();
    config.key = Key::new(KEY.as_bytes());
    let endpoint = format!("stamp://{}", reflector(config, |_| ()));
    let done = ping(&[&endpoint, "-c", "5", "-i", "5ms", "--stamp-key", &right]);
    let result = end(&done);
    assert_counts(&result, &[("sent", 5), ("answered", 5)]);
    assert_eq!(count(&done.objects()[0], "size_bytes"), 160, "{done:?}");
    assert_eq!((count(&result, "request_dscp"), count(&result, "lost_up")), (46, 0), "{result}");
    // The reflector drops what it cannot verify.
    let result = end(&ping(&[&endpoint, "-c", "2", "-i", "5ms", "-W", "200ms", "--stamp-key", &wrong]));
    assert_counts(&result, &[("sent", 2), ("lost", 2)]);
}

#[test]
fn a_reply_without_its_hmac_is_unexpected() {
    let folder = Folder::new();
    let key = folder.join("key");
    fs::write(&key, KEY).unwrap();
    let mut config = ReflectorConfig::default();
    config.key = Key::new(KEY.as_bytes());
    let address = reflector(config, |reply| reply[111] ^= 1);
    let done = run(
        &["ping", &format!("stamp://{address}"), "-c", "2", "-i", "5ms", "-W", "2s", "--stamp-key", &key],
        b"",
    );
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.text().contains("unexpected data"), "{done:?}");
    assert!(done.stderr.contains("(no STAMP reflector, or another key?)"), "{done:?}");
}

#[test]
fn wrong_usage_of_stamp_is_explained() {
    let folder = Folder::new();
    let (short, absent) = (folder.join("short"), folder.join("absent"));
    fs::write(&short, "0123").unwrap();
    for (args, expected) in [
        (&["ping", "udp://h", "--stamp-key", &*short][..], "--stamp-key requires a stamp:// ENDPOINT"),
        (&["ping", "--stamp-time", "ptp"], "--stamp-time requires a stamp:// ENDPOINT"),
        (&["ping", "stamp://h", "--stamp-key", &short], "has 4 bytes; the minimum is 16"),
        (&["ping", "stamp://h", "--stamp-key", &absent], "cannot open the key file"),
        (&["ping", "stamp://224.0.0.1"], "cannot connect to stamp://224.0.0.1:862: it is a multicast"),
        (&["ping", "stamp://h:0"], "stamp://h:0 has no port to connect to"),
        (&["ping", "-6", "stamp://192.0.2.1"], "-6 excludes stamp://192.0.2.1:862"),
        (&["serve", "udp://", "--stamp-mode", "stateless"], "--stamp-mode requires a stamp:// ENDPOINT"),
        (&["serve", "stamp://", "--stamp-key", &short], "has 4 bytes; the minimum is 16"),
        (&["talk", "stamp://h"], "stamp:// is an endpoint of \"sounder serve\" and \"sounder ping\" only"),
        (&["load", "stamp://h"], "stamp:// is an endpoint of \"sounder serve\" and \"sounder ping\" only"),
    ] {
        let done = run(args, b"");
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.stderr.contains(expected), "{expected}: {done:?}");
    }
}

#[test]
fn a_key_file_that_others_can_read_has_a_note() {
    let folder = Folder::new();
    let key = folder.join("key");
    fs::write(&key, KEY).unwrap();
    let mut config = ReflectorConfig::default();
    config.key = Key::new(KEY.as_bytes());
    let endpoint = format!("stamp://{}", reflector(config, |_| ()));
    for (mode, has_note) in [("600", false), ("644", true)] {
        assert!(sh(&format!("chmod {mode} {key}")).status().unwrap().success());
        let done = run(&["ping", "-c", "1", &endpoint, "--stamp-key", &key], b"");
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(done.stderr.contains("other users can read the key file"), has_note, "{done:?}");
    }
}

/// Starts `serve` on a free port.
fn serve(options: &[&str]) -> Serving {
    let serving = Serving::with(&[&["stamp://127.0.0.1:0"], options].concat(), 1);
    assert!(serving.endpoint().starts_with("stamp://127.0.0.1:"), "{}", serving.endpoint());
    serving
}

#[test]
fn serve_reflects_what_ping_sends() {
    for (options, is_stateful) in
        [(&[][..], true), (&["--stamp-mode", "stateless", "--stamp-time", "ptp"], false)]
    {
        let serving = serve(options);
        let done = ping(&[serving.endpoint(), "-c", "10", "-i", "5ms", "-Q", "ef"]);
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
        let result = end(&done);
        assert_counts(&result, &[("sent", 10), ("answered", 10)]);
        assert_eq!(result["lost_up"].is_null(), !is_stateful, "{result}");
        for (key, value) in [("request_ttl", 64), ("request_dscp", 46), ("request_ecn", 0)] {
            assert_eq!(count(&result, key), value, "{key}: {result}");
        }
        assert_eq!(result["server_timestamps"], "rx_tx", "{result}");
    }
}

#[test]
fn serve_with_a_key_reflects_signed_requests_only() {
    let folder = Folder::new();
    let path = folder.join("key");
    fs::write(&path, KEY).unwrap();
    let key = path.as_str();
    let serving = serve(&["--stamp-key", key]);
    let signed = ping(&[serving.endpoint(), "-c", "2", "-i", "5ms", "--stamp-key", key]);
    assert_counts(&end(&signed), &[("sent", 2), ("answered", 2)]);
    let unsigned = ping(&[serving.endpoint(), "-c", "2", "-i", "5ms", "-W", "100ms"]);
    assert_counts(&end(&unsigned), &[("sent", 2), ("lost", 2)]);
}

#[test]
fn replies_have_the_dscp_of_their_request_if_they_shall() {
    let is_reflected = |endpoint: &str, options: &[&str]| {
        let serving = Serving::with(&[&[endpoint], options].concat(), 1);
        let client = Socket::from(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        client.set_timeout(Some(PATIENCE)).unwrap();
        client.set_option(option::IP_TOS, 46 << 2).unwrap();
        client.set_option(option::IP_RECVTOS, true).unwrap();
        client.send_to(&[0; 44], serving.address().parse::<SocketAddr>().unwrap()).unwrap();
        let mut batch = Batch::with_control(1, 256, ControlSpace::TOS);
        client.recv_many(&mut batch).unwrap();
        let class = batch.get(0).and_then(|reply| reply.tos());
        class == Some(46 << 2)
    };
    for (options, by_echo, by_reflector) in
        [(&[][..], false, true), (&["--reflect-dscp"], true, true), (&["--reflect-dscp=no"], false, false)]
    {
        assert_eq!(is_reflected("udp://127.0.0.1:0", options), by_echo, "{options:?}");
        assert_eq!(is_reflected("stamp://127.0.0.1:0", options), by_reflector, "{options:?}");
    }
    let done = run(&["serve", "--reflect-dscp", "tcp://127.0.0.1:0"], b"");
    assert!(done.code == Some(2) && done.stderr.contains("requires an endpoint of UDP or STAMP"), "{done:?}");
}
