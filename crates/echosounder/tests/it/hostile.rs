//! Commands against servers that violate the protocol: each ends by itself, with bounded memory, a
//! truthful exit status, and readable output.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use echosounder_socket::Transport;
use echosounder_testkit::{LIES, Liar, Lie};
use serde_json::Value;

use crate::support::{Finished, Folder, Program, Serving, finish, may_run, python, run, sounder, unique};

/// The limit of the data segment of a command, in KiB: an allocation beyond it ends the command
/// with SIGABRT, and so without an exit status.
const DATA_MAX_KIB: u32 = 64 * 1024;

/// The commands, with time limits of their own.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("ping", &["ping", "-c", "4", "-i", "20ms", "-W", "300ms", "-w", "3s"]),
    ("talk", &["talk", "-w", "300ms", "--deadline", "1s"]),
    ("talk --lines", &["talk", "--lines", "-w", "300ms", "--deadline", "1s"]),
    // More connections than a request has bytes, so that one ends after each of them.
    ("load", &["load", "-c", "65", "-n", "260", "-d", "1s", "--warm-up", "0", "-w", "300ms"]),
];

/// The lies that make ping and load fail on every transport, with the word for that failure. No
/// command has another word for it.
const FAILURES: [(&str, &str); 12] = [
    ("silent", "TIMEOUT"),
    ("never reads", "TIMEOUT"),
    ("endless data", "TIMEOUT"),
    ("endless lines", "TIMEOUT"),
    ("endless greeting", "TIMEOUT"),
    ("replies to requests never sent", "TIMEOUT"),
    ("replies to the numbers around u64::MAX", "TIMEOUT"),
    ("drip below the timeout", "TIMEOUT"),
    ("closes within a reply", "CLOSED"),
    ("resets within a reply", "CLOSED"),
    ("closes at once", "CLOSED"),
    ("half-closes at once", "CLOSED"),
];

/// The words for failures of the peer.
const WORDS: [&str; 5] = ["REFUSED", "TIMEOUT", "UNREACHABLE", "CLOSED", "DNS"];

/// Returns the number of a key of an event.
fn number(event: &Value, key: &str) -> f64 {
    event[key].as_f64().unwrap_or_else(|| panic!("{key} in {event}"))
}

/// Returns why the figures of an event contradict each other, if they do.
fn wrong_figures(event: &Value) -> Option<String> {
    if event["event"] == "sample" && event["rtt_ns"].as_f64().is_some_and(|rtt| rtt < 0.0) {
        return Some(format!("a negative round-trip time: {event}"));
    }
    if event["event"] != "result" {
        return None;
    }
    let [sent, answered, late, lost] = ["sent", "answered", "late", "lost"].map(|key| number(event, key));
    let name = if event["rtt"].is_object() { "rtt" } else { "latency" };
    let times = &event[name];
    let ordered = ["min_ns", "mean_ns", "max_ns"].map(|key| times[key].as_f64());
    let is_ordered = match ordered {
        [Some(min), Some(mean), Some(max)] => 0.0 <= min && min <= mean + 1.0 && mean <= max + 1.0,
        all => all == [None; 3] && times["count"] == 0,
    };
    let is_wrong = sent != answered + late + lost
        || !(0.0..=100.0).contains(&event["loss_percent"].as_f64().unwrap_or(0.0))
        || !is_ordered;
    is_wrong.then(|| format!("wrong figures: {event}"))
}

/// Returns why a command does not tell the truth about a lie of [`FAILURES`].
fn wrong_verdict(done: &Finished, command: &str, lie: &Lie) -> Option<String> {
    let (_, word) = FAILURES.iter().find(|(name, _)| *name == lie.name)?;
    let output = format!("{}{}", String::from_utf8_lossy(&done.stdout), done.stderr);
    // On a busy machine the time may be over before the peer has failed.
    let is_wrong = |other: &&&str| **other != *word && **other != "TIMEOUT" && output.contains(**other);
    let other = WORDS.iter().find(is_wrong);
    if let (Some(other), false) = (other, command == "talk" || command == "talk --lines") {
        return Some(format!("{other} instead of {word}"));
    }
    let must_fail = matches!(command, "ping" | "load");
    (must_fail && done.code != Some(1)).then(|| format!("exit status {:?} instead of 1", done.code))
}

/// Returns `sounder` with a limit of its memory.
fn limited() -> Command {
    let mut command = Command::new("sh");
    let limit = format!("ulimit -d {DATA_MAX_KIB} && exec \"$0\" \"$@\"");
    command.args(["-c", &limit, env!("CARGO_BIN_EXE_sounder")]);
    command
}

/// Returns why the end of a command is wrong, if it is.
fn fault(done: &Finished, is_json: bool, is_talk: bool) -> Option<String> {
    if !matches!(done.code, Some(0 | 1)) {
        return Some(format!("exit status {:?}", done.code));
    }
    let texts = [("standard output", &done.stdout[..]), ("standard error", done.stderr.as_bytes())];
    for (name, text) in texts {
        // Without --json, `talk` writes the replies unchanged to a pipe.
        let is_raw = is_talk && !is_json && name == "standard output";
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
        if let Some(byte) = text.iter().find(|byte| !is_raw && is_control(byte)) {
            return Some(format!("control byte {byte:#04x} on {name}"));
        }
        // A slow reader may not have taken the whole last line when the time is over.
        let is_cut = is_talk && done.stderr.contains("(--deadline)");
        let end = text.iter().rposition(|byte| is_cut && *byte == b'\n').unwrap_or(text.len());
        for line in text[..end].split(|byte| *byte == b'\n').filter(|line| is_json && !line.is_empty()) {
            let wrong = match serde_json::from_slice::<Value>(line) {
                Ok(event) => wrong_figures(&event),
                Err(error) => Some(format!("invalid JSON on {name}: {error}")),
            };
            if wrong.is_some() {
                return wrong;
            }
        }
    }
    if done.stderr.contains("os error") || done.stderr.contains("panicked") {
        return Some("unclear words".to_owned());
    }
    (done.code == Some(1) && done.stderr.is_empty() && done.stdout.is_empty())
        .then(|| "a failure without a word".to_owned())
}

/// Runs every command against a lying server. Returns a line for each fault.
fn faults_of(lie: &Lie, transport: Transport) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, args) in COMMANDS {
        for json in [&[][..], &["--json"]] {
            let endpoint = match transport {
                Transport::Tcp | Transport::Udp => format!("{}://127.0.0.1:0", transport.scheme()),
                _ => format!("{}:@{}", transport.scheme(), unique()),
            };
            let liar = Liar::start(lie, &endpoint);
            let done = finish(limited().args(args).args(json).arg(liar.endpoint()), b"one\ntwo\n");
            let fault = fault(&done, !json.is_empty(), name.starts_with("talk"))
                .or_else(|| wrong_verdict(&done, name, lie));
            faults.extend(fault.map(|fault| {
                let output = String::from_utf8_lossy(&done.stdout);
                let short: String = output.chars().take(300).collect();
                let stderr: String = done.stderr.chars().take(300).collect();
                format!("{name} {json:?}, {}, {}: {fault}: {short} {stderr}", lie.name, transport.scheme())
            }));
        }
    }
    faults
}

/// Runs every lie that applies to a transport at the same time.
#[track_caller]
fn assert_survives(transport: Transport) {
    let lies: Vec<&Lie> = LIES.iter().filter(|lie| (lie.applies)(transport)).collect();
    let faults: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = lies.iter().map(|lie| scope.spawn(|| faults_of(lie, transport))).collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn lying_tcp_servers_are_survived() {
    assert_survives(Transport::Tcp);
}

#[test]
fn lying_udp_servers_are_survived() {
    assert_survives(Transport::Udp);
}

#[test]
fn lying_unix_stream_servers_are_survived() {
    assert_survives(Transport::UnixStream);
}

#[test]
fn lying_unix_seqpacket_servers_are_survived() {
    assert_survives(Transport::UnixSeqpacket);
}

#[test]
fn lying_unix_datagram_servers_are_survived() {
    assert_survives(Transport::UnixDatagram);
}

fn lie(name: &str) -> &'static Lie {
    LIES.iter().find(|lie| lie.name == name).unwrap()
}

#[test]
fn lying_target_does_not_change_the_figures_of_others() {
    let serving = Serving::at(&["tcp://127.0.0.1:0", "udp://127.0.0.1:0"]);
    let [tcp, udp] = [0, 1].map(|place| serving.endpoints()[place].as_str());
    let lies = [
        ("endless echo of the first request", "tcp"),
        ("endless data", "udp"),
        ("closes at once", "tcp"),
        ("a thousand duplicates", "udp"),
    ];
    for (name, scheme) in lies {
        let liar = Liar::start(lie(name), &format!("{scheme}://127.0.0.1:0"));
        let args = ["ping", "--json", "-q", "-c", "20", "-i", "10ms", "-W", "2s"];
        let done = run(&[&args[..], &[tcp, liar.endpoint(), udp]].concat(), b"");
        let events = done.objects();
        let results: Vec<&Value> = events.iter().filter(|event| event["event"] == "result").collect();
        assert_eq!(results.len(), 3, "{name}: {done:?}");
        for result in results.iter().filter(|result| result["endpoint"] != liar.endpoint()) {
            let in_time_or_late = number(result, "answered") + number(result, "late");
            assert_eq!(in_time_or_late, 20.0, "{name}: {result}");
            let others = ["lost", "duplicate", "unexpected"].map(|key| number(result, key));
            assert_eq!(others, [0.0; 3], "{name}: {result}");
        }
    }
}

#[test]
fn descriptors_from_the_peer_do_not_pile_up() {
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let liar = Liar::start(lie("descriptors"), &format!("{scheme}:@{}", unique()));
        let endpoint = liar.endpoint();
        let mut ping = sounder(["ping", "-i", "2ms", endpoint]);
        let mut load = sounder(["load", "--json", "-c", "2", "-d", "1h", "--warm-up", "0", endpoint]);
        let mut talk = sounder(["talk", "--lines", endpoint]);
        let (ping, load, mut talk) =
            (Program::start(&mut ping), Program::start(&mut load), Program::start(&mut talk));
        talk.write(&b"x\n".repeat(40));
        ping.wait_for_lines(40);
        load.wait_for_lines(2);
        talk.wait_for_bytes(40);
        for (name, program) in [("ping", &ping), ("load", &load), ("talk", &talk)] {
            let open = fs::read_dir(format!("/proc/{}/fd", program.pid())).unwrap().count();
            assert!(open < 40, "{name} {scheme} has {open} descriptors");
        }
    }
}

#[test]
fn server_that_never_accepts_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // A full queue of the listener ignores further requests for a connection.
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let waiting: Vec<TcpStream> = std::iter::from_fn(connect).collect();
    let endpoint = format!("tcp://{address}");
    for args in [
        &["ping", "-c", "1", "-W", "300ms"][..],
        &["ping", "-c", "3", "-i", "10ms", "-W", "300ms"],
        &["load", "-c", "2", "-n", "2", "-w", "300ms"],
        &["talk", "-w", "300ms"],
    ] {
        let done = run(&[args, &[&endpoint]].concat(), b"line\n");
        let output = format!("{}{}", done.text(), done.stderr);
        assert_eq!((done.code, output.contains("TIMEOUT")), (Some(1), true), "{args:?}: {done:?}");
    }
    drop(waiting);
}

/// Returns a command that runs its arguments where a hostile name server answers all queries, or
/// skips if this user may not create such namespaces.
fn hostile_names(resolv_conf: &str) -> Option<Command> {
    let mut unshare = Command::new("unshare");
    let (loopback, names) = (python("loopback.py", [] as [&str; 0])?, python("names.py", [] as [&str; 0])?);
    let mount = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    unshare.args(["--map-root-user", "--net", "--mount"]);
    unshare.arg(loopback.get_program()).args(loopback.get_args()).args(["sh", "-c", mount, resolv_conf]);
    unshare.arg(names.get_program()).args(names.get_args());
    may_run(unshare)
}

#[test]
fn hostile_name_servers_are_survived() {
    let folder = Folder::new();
    let resolv_conf = folder.join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
    if hostile_names(&resolv_conf).is_none() {
        return;
    }
    let answers = [
        ("silent", "TIMEOUT: cannot resolve "),
        ("garbage", "TIMEOUT: cannot resolve "),
        ("noise", "TIMEOUT: cannot resolve "),
        ("forged", "TIMEOUT: cannot resolve "),
        ("drip", "TIMEOUT: cannot resolve "),
        ("loop", "DNS: cannot resolve loop.test: "),
        ("empty", "DNS: cannot resolve empty.test: "),
        ("unknown", "DNS: cannot resolve unknown.test: "),
        ("thousands", "; and 13 more\n"),
    ];
    let commands = [&["ping", "-c", "1", "-W"][..], &["talk", "-w"], &["load", "-w"]];
    thread::scope(|scope| {
        for (name, words) in answers {
            let resolv_conf = &resolv_conf;
            scope.spawn(move || {
                // An answer is awaited for as long as a busy machine may need.
                let wait = if words.starts_with("TIMEOUT") { "300ms" } else { "25s" };
                for args in commands {
                    let Some(mut command) = hostile_names(resolv_conf) else { return };
                    command.arg(env!("CARGO_BIN_EXE_sounder")).args(args);
                    command.args([wait, &format!("tcp://{name}.test:9")]);
                    let done = finish(&mut command, b"line\n");
                    assert_eq!((done.code, done.text()), (Some(1), ""), "{name} {args:?}: {done:?}");
                    assert!(done.stderr.contains(words), "{name} {args:?}: {done:?}");
                    assert!(done.stderr.len() < 300, "{name} {args:?}: {done:?}");
                }
            });
        }
    });
}
