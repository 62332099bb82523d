//! Signals concern the whole process, so each test runs in a process of its own.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;

use echosounder_socket::{
    Batch, Event, Events, Interest, Poll, Readiness, Shutdown, Signal, Signals, Transport,
};

use crate::alone::{Process, is_alone, send_line};
use crate::{LOOPBACK, PATIENCE, bound, connected, field, skip};

/// Starts the process with default signal dispositions: a shell starts background jobs with SIGINT
/// ignored, which would be inherited. The signals are blocked, since the thread that runs the test
/// is not the first one.
fn start_receiving(test: &str) -> Process {
    let by = ["env", "--default-signal=INT,TERM", "--block-signal=INT,TERM"];
    Process::start(&by, test).unwrap()
}

#[test]
fn received_signal_does_not_end_the_process() {
    if is_alone() {
        let signals = Signals::receive(&[Signal::Interrupt, Signal::Terminate]).unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&signals, 1, Interest::READ).unwrap();
        send_line(&format!("{:?}", signals.next().unwrap()));
        let mut events = Events::with_capacity(8);
        for _ in 0..3 {
            poll.wait(&mut events, Some(PATIENCE)).unwrap();
            assert_eq!(events.get(0), Some(Event { token: 1, ready: Readiness::READABLE }));
            send_line(&format!("{:?}", signals.next().unwrap()));
        }
        return send_line(&format!("{:?}", signals.next().unwrap()));
    }
    let mut process = start_receiving("signal::received_signal_does_not_end_the_process");
    assert_eq!(process.next_line(), "None");
    for (name, signal) in
        [("TERM", "Some(Terminate)"), ("INT", "Some(Interrupt)"), ("TERM", "Some(Terminate)")]
    {
        process.signal(name);
        assert_eq!(process.next_line(), signal);
    }
    assert_eq!(process.next_line(), "None");
    let (status, rest) = process.end();
    assert!(status.success(), "{rest}");
}

#[test]
fn dropped_signals_restore_the_default() {
    if is_alone() {
        let signals = Signals::receive(&[Signal::Interrupt, Signal::Terminate]).unwrap();
        send_line("receives");
        io::stdin().read_exact(&mut [0]).unwrap();
        assert!(signals.next().unwrap().is_some());
        drop(signals);
        send_line("dropped");
        // The signal ends the process before its input ends.
        return io::stdin().read_to_end(&mut Vec::new()).map(drop).unwrap();
    }
    for (name, number) in [("TERM", libc::SIGTERM), ("INT", libc::SIGINT)] {
        let mut process = start_receiving("signal::dropped_signals_restore_the_default");
        assert_eq!(process.next_line(), "receives");
        process.signal(name);
        process.write(b".");
        assert_eq!(process.next_line(), "dropped");
        process.signal(name);
        let (status, rest) = process.end();
        assert_eq!(status.signal(), Some(number), "{rest}");
    }
}

/// Returns whether SIGTERM is blocked in this thread.
fn blocks_sigterm() -> bool {
    let mask = field("/proc/thread-self/status", "SigBlk:");
    u64::from_str_radix(&mask, 16).unwrap() & 1 << (libc::SIGTERM - 1) != 0
}

#[test]
fn failed_creation_blocks_no_signal() {
    if is_alone() {
        let before = blocks_sigterm();
        let (socket, _other) = Transport::UnixStream.pair().unwrap();
        let mut all = Vec::new();
        let full = loop {
            match socket.try_clone() {
                Ok(another) => all.push(another),
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
        assert_eq!(Signals::receive(&[Signal::Terminate]).unwrap_err().raw_os_error(), Some(libc::EMFILE));
        drop(all);
        return send_line(&format!("{before} {}", blocks_sigterm()));
    }
    let by = ["prlimit", "--nofile=64", "env", "--default-signal=TERM"];
    let test = "signal::failed_creation_blocks_no_signal";
    let mut process = Process::start(&by, test).unwrap();
    assert_eq!(process.next_line(), "false false");
    let (status, rest) = process.end();
    assert!(status.success(), "{rest}");
}

#[test]
fn ignored_signal_is_received() {
    if is_alone() {
        send_line(&format!(
            "{:?} {:?}",
            Signal::Hangup.is_ignored().unwrap(),
            Signal::Terminate.is_ignored().unwrap()
        ));
        let signals = Signals::receive(&[Signal::Hangup]).unwrap();
        send_line("receives");
        io::stdin().read_exact(&mut [0]).unwrap();
        return send_line(&format!("{:?}", signals.next().unwrap()));
    }
    for (by, ignored) in [("--ignore-signal=HUP", true), ("--default-signal=HUP", false)] {
        // `--default-signal` also unblocks the signal, so the option to block it comes last.
        let by = ["env", "--default-signal=TERM", by, "--block-signal=HUP"];
        let test = "signal::ignored_signal_is_received";
        let mut process = Process::start(&by, test).unwrap();
        assert_eq!(process.next_line(), format!("{ignored} false"));
        assert_eq!(process.next_line(), "receives");
        process.signal("HUP");
        process.write(b".");
        assert_eq!(process.next_line(), "Some(Hangup)");
        let (status, rest) = process.end();
        assert!(status.success(), "{rest}");
    }
}

/// Returns whether SIGPIPE is in a signal set of this thread.
fn has_sigpipe(set: &str) -> bool {
    let bits = u64::from_str_radix(&field("/proc/thread-self/status", set), 16).unwrap();
    bits & 1 << (libc::SIGPIPE - 1) != 0
}

/// A blocked signal stays pending, although std makes the process ignore SIGPIPE.
#[test]
fn write_to_a_closed_peer_raises_no_signal() {
    if is_alone() {
        if !has_sigpipe("SigBlk:") {
            return send_line("it is not blocked");
        }
        send_line("blocked");
        let (gone, other) = Transport::UnixStream.pair().unwrap();
        drop(other);
        assert_eq!(gone.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
        listener.listen().unwrap();
        let ended = connected(Transport::Tcp, &name);
        ended.shutdown(Shutdown::Write).unwrap();
        assert_eq!(ended.send_to(b"x", &name).unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (left, other) = Transport::UnixStream.pair().unwrap();
        other.send(b"call").unwrap();
        let mut batch = Batch::new(1, 8);
        assert_eq!(left.recv_many(&mut batch).unwrap(), 1);
        batch.reply(0, b"", None, None).unwrap();
        drop(other);
        let mut failed = Vec::new();
        batch.send(&left, false, |_, error| failed.push(error.kind()));
        assert_eq!(failed, [ErrorKind::BrokenPipe]);

        assert!(!has_sigpipe("SigPnd:"));
        File::from(OwnedFd::from(gone)).write_all(b"x").unwrap_err();
        assert!(has_sigpipe("SigPnd:"), "a plain write raises it");
        return;
    }
    let test = "signal::write_to_a_closed_peer_raises_no_signal";
    match Process::start(&["env", "--block-signal=PIPE"], test) {
        Ok(mut process) => match process.next_line() {
            line if line == "blocked" => {
                let (status, rest) = process.end();
                assert!(status.success(), "{rest}");
            }
            line => skip("sigpipe", &line),
        },
        Err(error) => skip("sigpipe", error),
    }
}
