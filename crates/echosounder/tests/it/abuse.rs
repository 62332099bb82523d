//! Peers that mean no good, and machines that have run out of something.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;

use crate::serve::{connect, exchange};
use crate::support::{
    CTIME, Finished, Folder, PATIENCE, Program, Serving, finish, host_and_port, installed, json_lines,
    python, retry_interrupted, skip,
};

/// A server on UDP whose one worker takes datagrams in the order in which they come.
fn udp_server(stamp: &str) -> Serving {
    Serving::with(&["--workers", "1", "--stamp", stamp, "udp://127.0.0.1:0"], 1)
}

/// Sends a datagram to `to` that says it came from `from`; whether that can be done here.
fn forge(from: &str, to: &str, message: &str) -> bool {
    let Some(mut forger) = python("forge.py", [from, to, message]) else { return false };
    let done = finish(&mut forger, b"");
    if done.code != Some(0) {
        skip("raw sockets", done.stderr.lines().last().unwrap_or_default());
    }
    done.code == Some(0)
}

/// Asks each of the servers in turn, twice around: what one of them had to say to another before is said, and
/// what that one answers, and so on.
fn ask_around(addresses: &[&str]) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    for address in [addresses, addresses].concat() {
        port.send_to(b"honest", address).unwrap();
        let (len, _) = retry_interrupted(|| port.recv_from(&mut [0; 64])).unwrap();
        assert!(6 <= len);
    }
}

/// Datagrams answered, and dropped because they were answers, of a server that has ended.
fn answered_and_dropped(done: &Finished) -> (u64, u64) {
    let summary: serde_json::Value = serde_json::from_str(done.stderr.lines().last().unwrap()).unwrap();
    (summary["messages"].as_u64().unwrap(), summary["dropped"]["stamped"].as_u64().unwrap())
}

/// As [`udp_server`], with a summary that is easy to read.
fn counting_server(stamp: &str) -> Serving {
    Serving::with(&["--json", "--workers", "1", "--stamp", stamp, "udp://127.0.0.1:0"], 1)
}

#[test]
fn two_servers_of_ours_do_not_answer_each_other() {
    for (stamps, message) in [
        (["ctime", "ctime"], "x"),
        (["ctime", "none"], "x"),
        (["ns", "[{rfc3339}] {peer} "], ""),
        (["none", "unix"], "[0000000000000000000 0000000000000000000] "),
    ] {
        let [one, other] = stamps.map(counting_server);
        if !forge(other.address(), one.address(), message) {
            return;
        }
        ask_around(&[one.address(), other.address()]);
        let (answered_one, dropped_one) = answered_and_dropped(&one.stop());
        let (answered_other, dropped_other) = answered_and_dropped(&other.stop());
        // Two of each are the honest ones.
        assert_eq!(answered_one, 2 + 1, "{stamps:?}");
        assert!(answered_other <= 2 + 1, "{stamps:?}");
        let (answers, drops) = (answered_one + answered_other - 4, dropped_one + dropped_other);
        assert_eq!(drops, 1, "{stamps:?}: {answers} answers, of which the last is dropped");
    }
}

#[test]
fn a_server_of_ours_and_a_plain_echo_do_not_answer_each_other() {
    for from_ours in [true, false] {
        let ours = counting_server("ctime");
        let Some(mut echo) = python("udp_echo.py", [] as [&str; 0]) else { return };
        let echo = Program::start(&mut echo);
        let theirs = echo.wait_for_lines(1).remove(0);
        let (from, to) = if from_ours { (ours.address(), &*theirs) } else { (&*theirs, ours.address()) };
        if !forge(from, to, "x") {
            return;
        }
        ask_around(&[&theirs, ours.address(), &theirs, ours.address()]);
        assert_eq!(answered_and_dropped(&ours.stop()), (4 + 1, 1), "from ours: {from_ours}");
    }
}

#[test]
fn a_sender_without_a_name_is_counted_and_not_answered() {
    let folder = Folder::new();
    let path = folder.join("d");
    let serving = Serving::at(&[&format!("unix-dgram:{path}")]);
    let nameless = UnixDatagram::unbound().unwrap();
    nameless.send_to(b"hello", &path).unwrap();
    let named = UnixDatagram::bind(folder.join("client")).unwrap();
    named.set_read_timeout(Some(PATIENCE)).unwrap();
    named.send_to(b"hello", &path).unwrap();
    assert_eq!(retry_interrupted(|| named.recv(&mut [0; 64])).unwrap(), CTIME + 5);
    let done = serving.stop();
    assert!(
        done.stderr.ends_with("0 connections, 1 message, 5 bytes, 1 dropped (1 nameless)\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn an_answer_that_is_sent_to_us_is_counted_and_not_answered() {
    let serving = udp_server("ctime");
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    port.send_to(b"[Sun Nov 22 12:19:36 2026] hello", serving.address()).unwrap();
    port.send_to(b"hello", serving.address()).unwrap();
    assert_eq!(retry_interrupted(|| port.recv(&mut [0; 64])).unwrap(), CTIME + 5);
    let done = serving.stop();
    assert!(
        done.stderr.ends_with("0 connections, 1 message, 5 bytes, 1 dropped (1 stamped)\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_broadcast_is_counted_once_however_many_workers_get_it() {
    let serving = Serving::with(&["--json", "--workers", "3", "udp://0.0.0.0:0"], 1);
    let (_, port) = host_and_port(serving.endpoint());
    let port = port.parse().unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_broadcast(true).unwrap();
    client.send_to(b"hello", (Ipv4Addr::new(127, 255, 255, 255), port)).unwrap();
    client.send_to(b"hello", (Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(retry_interrupted(|| client.recv(&mut [0; 64])).unwrap(), CTIME + 5);
    let summary = json_lines(&serving.stop().stderr).pop().unwrap();
    assert_eq!((&summary["messages"], &summary["dropped"]["group"]), (&1.into(), &1.into()), "{summary}");
}

/// Says as much as goes without hearing anything, at most so much.
fn shout(stream: &mut TcpStream, most: usize) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut said = 0;
    while said < most {
        match stream.write(&[b'x'; 16 * 1024]) {
            Ok(len) => said += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    said
}

/// Kilobytes of memory that a process has.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Processor time of a process, in hundredths of a second.
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The second field is a name in brackets, which may hold anything; time of the user and of the system are 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn whoever_does_not_read_or_breaks_off_harms_nobody_else() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let before = resident(serving.program().pid());
    let mut honest = connect(&serving);
    let mut deaf: Vec<TcpStream> = (0..20).map(|_| connect(&serving)).collect();
    for number in 0..200 {
        match number % 4 {
            0 => {
                shout(&mut deaf[number / 4 % 20], 1 << 20);
            }
            1 => {
                let mut half_closed = connect(&serving);
                half_closed.write_all(b"in the middle of").unwrap();
                half_closed.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                half_closed.read_to_end(&mut answer).unwrap();
                assert_eq!(&answer[CTIME..], b"in the middle of");
            }
            2 => {
                let mut reset = connect(&serving);
                reset.write_all(b"gone before the answer is read").unwrap();
                retry_interrupted(|| reset.peek(&mut [0])).unwrap();
            }
            _ => drop(connect(&serving)),
        }
        assert_eq!(&exchange(&mut honest, b"hello", CTIME + 5)[CTIME..], b"hello");
    }
    let more = resident(serving.program().pid()).saturating_sub(before);
    assert!(more < 32 * 1024, "{more} KiB more for 20 peers that do not read");
    drop(deaf);
    drop(honest);
    let done = serving.stop();
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.contains("171 connections, "), "{}", done.stderr);
}

#[test]
fn a_peer_that_reads_late_hears_everything() {
    let serving = Serving::with(&["--stamp", "none", "tcp://127.0.0.1:0"], 1);
    let mut late = connect(&serving);
    let mut said = 0;
    // Everything is full when nothing goes any more although the server has had its turns.
    for _ in 0..3 {
        said += shout(&mut late, 64 << 20);
        exchange(&mut connect(&serving), b"hello", 5);
    }
    late.shutdown(Shutdown::Write).unwrap();
    let mut heard = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match retry_interrupted(|| late.read(&mut buffer)).unwrap() {
            0 => break,
            len => heard += len,
        }
    }
    assert_eq!(heard, said);
}

#[test]
fn out_of_descriptors_it_is_quiet_and_comes_back() {
    let Some(mut prlimit) = installed("prlimit") else { return };
    prlimit.args(["--nofile=64", env!("CARGO_BIN_EXE_sounder"), "serve", "tcp://127.0.0.1:0"]);
    let serving = Serving::start(&mut prlimit, 1);
    let pid = serving.program().pid();
    let held: Vec<TcpStream> = (0..200).map(|_| connect(&serving)).collect();
    let mut late = connect(&serving);
    late.write_all(b"hello").unwrap();

    let (time, memory) = (ticks(pid), resident(pid));
    late.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let unheard = retry_interrupted(|| late.read(&mut [0])).unwrap_err();
    assert_eq!(unheard.kind(), io::ErrorKind::WouldBlock, "nothing is left for it");
    let (time, memory) = (ticks(pid) - time, resident(pid).saturating_sub(memory));
    assert!(time < 20, "{time} hundredths of a second for nothing");
    assert!(memory < 4096, "{memory} KiB for nothing");

    drop(held);
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(&exchange(&mut late, b"", CTIME + 5)[CTIME..], b"hello", "there is room again");
    exchange(&mut connect(&serving), b"hello", CTIME + 5);
    let done = serving.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn thirty_clients_at_once_each_hear_their_own() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    thread::scope(|scope| {
        for client in 0..30 {
            let mut stream = connect(&serving);
            scope.spawn(move || {
                for number in 0..100 {
                    let message = format!("{client:03} {number:03}");
                    let answer = exchange(&mut stream, message.as_bytes(), CTIME + 7);
                    assert_eq!(&answer[CTIME..], message.as_bytes());
                }
            });
        }
    });
    let done = serving.stop();
    assert!(
        done.stderr.ends_with("30 connections, 3000 messages, 21000 bytes, 0 dropped\n"),
        "{}",
        done.stderr
    );
}
