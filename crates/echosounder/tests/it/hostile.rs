//! Commands against servers that violate the protocol: each ends by itself, with bounded memory, a
//! truthful exit status, and readable output.

use std::process::Command;
use std::thread;

use echosounder_socket::Transport;
use echosounder_testkit::{LIES, Liar, Lie};

use crate::support::{Finished, finish, unique};

/// The limit of the data segment of a command, in KiB: an allocation beyond it ends the command
/// with SIGABRT, and so without an exit status.
const DATA_MAX_KIB: u32 = 64 * 1024;

/// The commands, with time limits of their own.
const COMMANDS: [(&str, &[&str]); 4] = [
    ("ping", &["ping", "-c", "4", "-i", "20ms", "-W", "300ms", "-w", "3s"]),
    ("talk", &["talk", "-w", "300ms", "--deadline", "3s"]),
    ("talk --lines", &["talk", "--lines", "-w", "300ms", "--deadline", "3s"]),
    ("load", &["load", "-c", "2", "-n", "50", "-d", "1s", "--warm-up", "0", "-w", "300ms"]),
];

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
        for line in text.split(|byte| *byte == b'\n').filter(|line| is_json && !line.is_empty()) {
            if let Err(error) = serde_json::from_slice::<serde_json::Value>(line) {
                return Some(format!("invalid JSON on {name}: {error}"));
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
            let fault = fault(&done, !json.is_empty(), name.starts_with("talk"));
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
