//! Malicious and broken peers, and machines that lack a resource.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;

use crate::serve::{connect, exchange};
use crate::support::{
    CTIME, Finished, Folder, PATIENCE, Program, Serving, finish, host_and_port, installed, json_lines,
    python, retry_interrupted, skip, wait_until,
};

/// Starts a UDP server with one worker, which replies in the order of the requests.
fn udp_server(stamp: &str) -> Serving {
    Serving::with(&["--workers", "1", "--stamp", stamp, "udp://127.0.0.1:0"], 1)
}

/// Sends a datagram to `to` with the forged source address `from`. Returns whether this machine
/// allows it.
fn forge(from: &str, to: &str, message: &str) -> bool {
    let Some(mut forger) = python("forge.py", [from, to, message]) else { return false };
    let done = finish(&mut forger, b"");
    if done.code != Some(0) {
        skip("raw sockets", done.stderr.lines().last().unwrap_or_default());
    }
    done.code == Some(0)
}

/// Sends a request to each server in turn, twice. When the last reply has arrived, the servers have
/// exchanged everything that they had to send to each other.
fn send_to_all_twice(addresses: &[&str]) {
    let port = UdpSocket::bind("127.0.0.1:0").unwrap();
    port.set_read_timeout(Some(PATIENCE)).unwrap();
    for address in [addresses, addresses].concat() {
        port.send_to(b"hello", address).unwrap();
        let (len, _) = retry_interrupted(|| port.recv_from(&mut [0; 64])).unwrap();
        assert!(5 <= len);
    }
}

/// Returns how many datagrams a server replied to, and how many it dropped because they were
/// replies themselves.
fn replies_and_drops(done: &Finished) -> (u64, u64) {
    let summary: serde_json::Value = serde_json::from_str(done.stderr.lines().last().unwrap()).unwrap();
    (summary["messages"].as_u64().unwrap(), summary["dropped"]["stamped"].as_u64().unwrap())
}

/// Starts a UDP server as [`udp_server`] does, with a summary in JSON.
fn counting_server(stamp: &str) -> Serving {
    Serving::with(&["--json", "--workers", "1", "--stamp", stamp, "udp://127.0.0.1:0"], 1)
}

#[test]
fn two_servers_do_not_reply_to_each_other() {
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
        send_to_all_twice(&[one.address(), other.address()]);
        let (replies_one, dropped_one) = replies_and_drops(&one.stop());
        let (replies_other, dropped_other) = replies_and_drops(&other.stop());
        // Each server replied to two requests of the client.
        assert_eq!(replies_one, 2 + 1, "{stamps:?}");
        assert!(replies_other <= 2 + 1, "{stamps:?}");
        let (loop_replies, drops) = (replies_one + replies_other - 4, dropped_one + dropped_other);
        assert_eq!(drops, 1, "{stamps:?}: the last of {loop_replies} replies between the servers is dropped");
    }
}

#[test]
fn a_server_and_a_plain_echo_server_do_not_reply_to_each_other() {
    for from_ours in [true, false] {
        let ours = counting_server("ctime");
        let Some(mut echo) = python("udp_echo.py", [] as [&str; 0]) else { return };
        let echo = Program::start(&mut echo);
        let echo_address = echo.wait_for_lines(1).remove(0);
        let (from, to) =
            if from_ours { (ours.address(), &*echo_address) } else { (&*echo_address, ours.address()) };
        if !forge(from, to, "x") {
            return;
        }
        send_to_all_twice(&[&echo_address, ours.address(), &echo_address, ours.address()]);
        assert_eq!(replies_and_drops(&ours.stop()), (4 + 1, 1), "from ours: {from_ours}");
    }
}

#[test]
fn a_sender_without_a_name_is_counted_and_gets_no_reply() {
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
fn a_reply_sent_to_a_server_is_counted_and_gets_no_reply() {
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
fn a_broadcast_is_counted_once_if_several_workers_receive_it() {
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

/// Sends until the socket takes no more, at most `most` bytes, and returns the number of bytes.
fn send_without_receiving(stream: &mut TcpStream, most: usize) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < most {
        match stream.write(&[b'x'; 16 * 1024]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).unwrap();
    sent
}

/// Returns the resident memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Returns the CPU time of a process in hundredths of a second.
pub(crate) fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // proc_pid_stat(5): the second field is a name in parentheses, which may contain any character.
    // Fields 14 and 15 are the user and system time.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn clients_that_stall_or_reset_do_not_disturb_others() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let before = resident(serving.program().pid());
    let mut other = connect(&serving);
    let mut stalled: Vec<TcpStream> = (0..20).map(|_| connect(&serving)).collect();
    for number in 0..200 {
        match number % 4 {
            0 => {
                send_without_receiving(&mut stalled[number / 4 % 20], 1 << 20);
            }
            1 => {
                let mut half_closed = connect(&serving);
                half_closed.write_all(b"without a newline").unwrap();
                half_closed.shutdown(Shutdown::Write).unwrap();
                let mut reply = Vec::new();
                half_closed.read_to_end(&mut reply).unwrap();
                assert_eq!(&reply[CTIME..], b"without a newline");
            }
            2 => {
                let mut reset = connect(&serving);
                reset.write_all(b"the reply is not read").unwrap();
                retry_interrupted(|| reset.peek(&mut [0])).unwrap();
            }
            _ => drop(connect(&serving)),
        }
        assert_eq!(&exchange(&mut other, b"hello", CTIME + 5)[CTIME..], b"hello");
    }
    let more = resident(serving.program().pid()).saturating_sub(before);
    assert!(more < 32 * 1024, "{more} KiB more for 20 clients that do not receive");
    drop(stalled);
    drop(other);
    let done = serving.stop();
    assert_eq!(done.code, Some(0));
    assert!(done.stderr.contains("171 connections, "), "{}", done.stderr);
}

#[test]
fn a_client_that_receives_late_receives_everything() {
    let serving = Serving::with(&["--stamp", "none", "tcp://127.0.0.1:0"], 1);
    let mut late = connect(&serving);
    let mut sent = 0;
    // All buffers are full when the socket takes nothing more after the server has had its turns.
    for _ in 0..3 {
        sent += send_without_receiving(&mut late, 64 << 20);
        exchange(&mut connect(&serving), b"hello", 5);
    }
    late.shutdown(Shutdown::Write).unwrap();
    let mut received = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match retry_interrupted(|| late.read(&mut buffer)).unwrap() {
            0 => break,
            len => received += len,
        }
    }
    assert_eq!(received, sent);
}

#[test]
fn a_server_without_descriptors_is_idle_and_recovers() {
    let Some(mut prlimit) = installed("prlimit") else { return };
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    let pid = serving.program().pid();
    // The server has computed how many connections it can keep before.
    let limited = finish(prlimit.args(["--nofile=64:64", "--pid", &pid.to_string()]), b"");
    assert_eq!(limited.code, Some(0), "{limited:?}");
    let held_connections: Vec<TcpStream> = (0..200).map(|_| connect(&serving)).collect();
    let mut late = connect(&serving);
    late.write_all(b"hello").unwrap();

    let (time, memory) = (ticks(pid), resident(pid));
    late.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let no_reply = retry_interrupted(|| late.read(&mut [0])).unwrap_err();
    assert_eq!(no_reply.kind(), io::ErrorKind::WouldBlock, "there is no descriptor for it");
    let (time, memory) = (ticks(pid) - time, resident(pid).saturating_sub(memory));
    assert!(time < 20, "{time} hundredths of a second of CPU time while idle");
    assert!(memory < 4096, "{memory} KiB more while idle");

    drop(held_connections);
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(&exchange(&mut late, b"", CTIME + 5)[CTIME..], b"hello", "there are descriptors again");
    exchange(&mut connect(&serving), b"hello", CTIME + 5);
    let done = serving.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[test]
fn a_server_with_few_descriptors_refuses_what_it_cannot_keep() {
    let Some(mut prlimit) = installed("prlimit") else { return };
    prlimit.args(["--nofile=64", env!("CARGO_BIN_EXE_sounder"), "serve", "tcp://127.0.0.1:0"]);
    let serving = Serving::start(&mut prlimit, 1);
    let connections: Vec<TcpStream> = (0..200).map(|_| connect(&serving)).collect();
    let is_served = |mut stream: &TcpStream| {
        let _ = stream.write_all(b"hello");
        matches!(retry_interrupted(|| stream.read(&mut [0])), Ok(1))
    };
    let served = connections.iter().filter(|stream| is_served(stream)).count();
    assert!((32..64).contains(&served), "{served} connections are served");
    drop(connections);
    wait_until("a place for a connection", || is_served(&connect(&serving)));
    let done = serving.stop();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains(" refused)"), "{}", done.stderr);
}

#[test]
fn thirty_clients_at_once_receive_their_own_replies() {
    let serving = Serving::at(&["tcp://127.0.0.1:0"]);
    thread::scope(|scope| {
        for client in 0..30 {
            let mut stream = connect(&serving);
            scope.spawn(move || {
                for number in 0..100 {
                    let message = format!("{client:03} {number:03}");
                    let reply = exchange(&mut stream, message.as_bytes(), CTIME + 7);
                    assert_eq!(&reply[CTIME..], message.as_bytes());
                }
            });
        }
    });
    let done = serving.stop();
    assert!(
        done.stderr.ends_with("30 connections, 3,000 messages, 21,000 bytes, 0 dropped\n"),
        "{}",
        done.stderr
    );
}
