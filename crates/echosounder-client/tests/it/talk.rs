//! Conversations: which reply belongs to which request, and what ends a wait.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use echosounder_client::{
    ClientError, Eol, FailureKind, LineFailure, Lines, Peer, Received, ReceivedKind, RequestOutcome, Talk,
    TalkEnd, TalkEvent, TalkMode, TalkSummary,
};
use echosounder_socket::Shutdown;

use crate::pair::{Pair, WAIT, pair, pair_within, real_time_pair};

/// Data that a peer has received, as text, and what it is.
type Data = (String, ReceivedKind);

const MS: Duration = Duration::from_millis(1);
const MESSAGE_SCHEMES: [&str; 2] = ["unix-dgram", "unix-seqpacket"];

/// Sends a request and returns its outcome and the data that arrived meanwhile.
fn request(peer: &mut Peer, message: &[u8]) -> (RequestOutcome, Vec<Data>) {
    let mut all = Vec::new();
    let mut on_received = |received: Received<'_>| {
        all.push((String::from_utf8(received.bytes.to_vec()).unwrap(), received.kind));
        Ok::<(), ClientError>(())
    };
    let outcome = peer.request(message, &mut on_received).unwrap();
    (outcome, all)
}

fn data(text: &str, kind: ReceivedKind) -> Data {
    (text.to_owned(), kind)
}

/// Runs the server's side on a thread of its own, and gives the pair back when it has ended.
fn serve(pair: Pair, serve: impl FnOnce(&Pair) + Send + 'static) -> thread::JoinHandle<Pair> {
    thread::spawn(move || {
        serve(&pair);
        pair
    })
}

#[test]
fn round_trip_time_is_measured_by_the_clock() {
    for scheme in ["unix", "unix-dgram", "unix-seqpacket"] {
        let (mut peer, pair) = pair(scheme);
        let server = serve(pair, |pair| {
            let message = pair.receive();
            pair.clock.advance(7 * MS);
            pair.send(&message);
        });
        let expected = (RequestOutcome::Replied, vec![data("hello", ReceivedKind::Reply(7 * MS))]);
        assert_eq!(request(&mut peer, b"hello"), expected, "{scheme}");
        server.join().unwrap();
    }
}

#[test]
fn reply_after_the_timeout_is_late() {
    for scheme in MESSAGE_SCHEMES {
        let (mut peer, pair) = pair(scheme);
        let server = serve(pair, |pair| {
            assert_eq!(pair.receive(), b"one");
            pair.clock.advance(WAIT);
        });
        assert_eq!(request(&mut peer, b"one"), (RequestOutcome::TimedOut, Vec::new()), "{scheme}");
        let server = serve(server.join().unwrap(), |pair| {
            assert_eq!(pair.receive(), b"two");
            pair.clock.advance(MS);
            pair.send(b"[now] one");
            pair.send(b"[now] two");
        });
        let late = data("[now] one", ReceivedKind::LateReply(WAIT + MS));
        let in_time = data("[now] two", ReceivedKind::Reply(MS));
        let expected = (RequestOutcome::Replied, vec![late, in_time]);
        assert_eq!(request(&mut peer, b"two"), expected, "{scheme}");
        server.join().unwrap();
    }
}

#[test]
fn second_copy_of_a_reply_is_unexpected() {
    for scheme in MESSAGE_SCHEMES {
        let (mut peer, pair) = pair(scheme);
        let server = serve(pair, |pair| {
            assert_eq!(pair.receive(), b"one");
            pair.send(b"one");
            pair.send(b"one");
            assert_eq!(pair.receive(), b"two");
            pair.send(b"two");
        });
        let expected = (RequestOutcome::Replied, vec![data("one", ReceivedKind::Reply(Duration::ZERO))]);
        assert_eq!(request(&mut peer, b"one"), expected, "{scheme}");
        let duplicate = data("one", ReceivedKind::Unexpected);
        let reply = data("two", ReceivedKind::Reply(Duration::ZERO));
        assert_eq!(request(&mut peer, b"two"), (RequestOutcome::Replied, vec![duplicate, reply]), "{scheme}");
        server.join().unwrap();
    }
}

#[test]
fn data_before_the_first_request_is_unexpected() {
    let (mut peer, pair) = pair("unix-seqpacket");
    pair.send(b"welcome");
    let mut kinds = Vec::new();
    let mut on_received = |received: Received<'_>| {
        kinds.push(received.kind);
        Ok::<(), ClientError>(())
    };
    assert!(peer.receive(&mut on_received).unwrap());
    assert_eq!(kinds, [ReceivedKind::Unexpected]);
}

/// The length of a chunk that makes a stream flow, in bytes.
const CHUNK: usize = 64 * 1024;

/// Sends chunks of an echo. Before each, time passes; two of these spans are longer than the wait
/// for a reply, one is not. The next chunk is sent when the client has received the one before.
/// Returns early when the client gives up.
fn send_slowly(pair: &Pair, chunks: usize, len: usize, received: &mpsc::Receiver<usize>) {
    for _ in 0..chunks {
        pair.clock.advance(3 * WAIT / 4);
        pair.send(&vec![b'x'; len]);
        let mut arrived = 0;
        while arrived < len {
            let Ok(len) = received.recv() else { return };
            arrived += len;
        }
    }
}

#[test]
fn echo_that_flows_prolongs_the_wait_and_one_that_drips_does_not() {
    for (len, expected) in [(CHUNK, RequestOutcome::Replied), (1, RequestOutcome::TimedOut)] {
        let (mut peer, pair) = pair("unix");
        let (sender, received) = mpsc::channel();
        let message = vec![b'x'; 3 * CHUNK];
        let server = serve(pair, move |pair| {
            let mut missing = 3 * CHUNK;
            while missing != 0 {
                missing -= pair.receive().len();
            }
            send_slowly(pair, 3, len, &received);
        });
        let mut on_received = |received: Received<'_>| {
            // It fails when the server has sent everything.
            let _ = sender.send(received.bytes.len());
            Ok::<(), ClientError>(())
        };
        let outcome = peer.request(&message, &mut on_received).unwrap();
        drop(sender);
        assert_eq!(outcome, expected, "chunks of {len} bytes");
        server.join().unwrap();
    }
}

#[test]
fn reply_that_flows_beyond_the_wait_times_out_and_is_received_to_its_end() {
    let (mut peer, pair) = pair("unix");
    let (sender, received) = mpsc::channel();
    let server = serve(pair, move |pair| {
        assert_eq!(pair.receive(), b"one");
        send_slowly(pair, 8, CHUNK, &received);
    });
    let closing = thread::spawn(move || drop(server.join().unwrap()));
    let mut total = 0;
    let mut on_received = |received: Received<'_>| {
        total += received.bytes.len();
        let _ = sender.send(received.bytes.len());
        Ok::<(), ClientError>(())
    };
    assert_eq!(peer.request(b"one", &mut on_received).unwrap(), RequestOutcome::TimedOut);
    assert_eq!(peer.drain(&mut on_received).unwrap(), RequestOutcome::Closed);
    assert_eq!(total, 8 * CHUNK);
    closing.join().unwrap();
}

#[test]
fn stop_ends_the_wait_for_a_reply() {
    let (mut peer, pair) = pair("unix");
    let server = serve(pair, |pair| {
        pair.receive();
        pair.stop.stop();
    });
    assert_eq!(request(&mut peer, b"hello"), (RequestOutcome::Stopped, Vec::new()));
    server.join().unwrap();
}

#[test]
fn connection_that_closes_ends_the_request() {
    let (mut peer, pair) = pair("unix");
    let server = serve(pair, |pair| {
        pair.receive();
        pair.send(b"bye");
    });
    let (outcome, received) = {
        let server = thread::spawn(move || drop(server.join().unwrap()));
        let result = request(&mut peer, b"hello");
        server.join().unwrap();
        result
    };
    let fragment = data("bye", ReceivedKind::Fragment);
    let reply = data("", ReceivedKind::Reply(Duration::ZERO));
    assert_eq!((outcome, received), (RequestOutcome::Replied, vec![fragment, reply]));
    assert_eq!(request(&mut peer, b"again"), (RequestOutcome::Closed, Vec::new()));
}

/// Runs a conversation with these lines, and returns its summary and its events as text.
fn talk(peer: Peer, input: &[u8], eol: Eol, mode: TalkMode) -> (TalkSummary, Vec<String>) {
    let (mut writer, reader) = UnixStream::pair().unwrap();
    writer.write_all(input).unwrap();
    drop(writer);
    let mut events = Vec::new();
    let on_event = |event: TalkEvent<'_>| {
        events.extend(match event {
            TalkEvent::Prompt | TalkEvent::Sending | TalkEvent::Reached(_) => None,
            TalkEvent::Received(received) => {
                let text = String::from_utf8_lossy(received.bytes).into_owned();
                Some(match received.kind {
                    ReceivedKind::Fragment => text,
                    ReceivedKind::Reply(_) => format!("{text} reply"),
                    ReceivedKind::LateReply(_) => format!("{text} late"),
                    ReceivedKind::Unexpected => format!("{text} unexpected"),
                })
            }
            TalkEvent::LineFailed { line, reason, .. } => Some(match reason {
                LineFailure::TimedOut => format!("line {line} timed out"),
                LineFailure::TooLong => format!("line {line} too long"),
                LineFailure::NotSent(error) | LineFailure::Failed(error) => format!("line {line}: {error}"),
            }),
        });
        Ok(())
    };
    let summary = Talk::new(peer, Lines::new(reader, 1024), eol, mode).run(on_event).unwrap();
    (summary, events)
}

/// The summary of a conversation in which every line has a reply.
fn complete(lines: u64, close_reason: TalkEnd) -> TalkSummary {
    TalkSummary { sent: lines, replied: lines, unsent: 0, more_unsent: false, failure: None, close_reason }
}

#[test]
fn lines_are_sent_in_lockstep_and_the_end_of_input_half_closes() {
    let (peer, pair) = real_time_pair("unix");
    let server = serve(pair, |pair| {
        for _ in 0..2 {
            let message = pair.receive();
            pair.send(&message);
        }
        assert_eq!(pair.receive_all(), b"");
        pair.send(b"bye\n");
    });
    let closing = thread::spawn(move || drop(server.join().unwrap()));
    let (summary, events) = talk(peer, b"one\ntwo\n", Eol::None, TalkMode::Scripted);
    closing.join().unwrap();
    assert_eq!(summary, complete(2, TalkEnd::EndOfInput));
    assert_eq!(events, ["one reply", "two reply", "bye\n", " unexpected"]);
}

#[test]
fn greeting_belongs_to_no_line() {
    let (peer, pair) = real_time_pair("unix");
    pair.send(b"220 ready\r\n");
    let server = serve(pair, |pair| {
        assert_eq!(pair.receive(), b"HELO me\r\n");
        pair.send(b"250 hello\r\n");
        assert_eq!(pair.receive_all(), b"");
    });
    let closing = thread::spawn(move || drop(server.join().unwrap()));
    let (summary, events) = talk(peer, b"HELO me\n", Eol::CrLf, TalkMode::Scripted);
    closing.join().unwrap();
    assert_eq!(summary, complete(1, TalkEnd::EndOfInput));
    assert_eq!(events, ["220 ready\r\n", " unexpected", "250 hello\r\n", " reply"]);
}

#[test]
fn line_without_a_reply_is_reported_and_the_next_one_sent() {
    let (peer, pair) = pair("unix-dgram");
    let server = serve(pair, |pair| {
        assert_eq!(pair.receive(), b"one");
        pair.clock.advance(WAIT);
        assert_eq!(pair.receive(), b"two");
        pair.send(b"one");
        pair.send(b"two");
    });
    let (summary, events) = talk(peer, b"one\ntwo\n", Eol::None, TalkMode::Scripted);
    server.join().unwrap();
    assert_eq!((summary.sent, summary.replied), (2, 1));
    assert_eq!((summary.failure, summary.close_reason), (Some(FailureKind::Timeout), TalkEnd::EndOfInput));
    assert_eq!(events, ["line 1 timed out", "one late", "two reply"]);
}

#[test]
fn line_that_is_too_long_is_reported_and_the_next_one_sent() {
    let (peer, pair) = pair("unix-dgram");
    let server = serve(pair, |pair| {
        let message = pair.receive();
        pair.send(&message);
    });
    let input = [&[b'x'; 2000][..], b"\nshort\n"].concat();
    let (summary, events) = talk(peer, &input, Eol::None, TalkMode::Scripted);
    server.join().unwrap();
    assert_eq!(summary, TalkSummary { unsent: 1, ..complete(1, TalkEnd::EndOfInput) });
    assert_eq!(events, ["line 1 too long", "short reply"]);
}

#[test]
fn lines_after_the_peer_has_closed_count_as_unsent() {
    let (peer, pair) = real_time_pair("unix-seqpacket");
    let server = serve(pair, |pair| {
        let message = pair.receive();
        pair.send(&message);
        pair.server.shutdown(Shutdown::Write).unwrap();
        pair.receive_all();
    });
    let (summary, events) = talk(peer, b"one\ntwo\nthree\n", Eol::None, TalkMode::Scripted);
    server.join().unwrap();
    assert_eq!((events, summary.close_reason), (vec!["one reply".to_owned()], TalkEnd::Peer));
    // The peer may close before the second line is sent or after that.
    assert_eq!((summary.replied, summary.sent + summary.unsent, summary.more_unsent), (1, 3, false));
    assert_eq!(summary.failure, Some(FailureKind::Closed));
}

#[test]
fn empty_line_ends_an_interactive_conversation() {
    let (peer, pair) = pair("unix");
    let server = serve(pair, |pair| {
        let message = pair.receive();
        pair.send(&message);
        assert_eq!(pair.receive_all(), b"");
    });
    let (summary, events) = talk(peer, b"one\n\ntwo\n", Eol::None, TalkMode::Interactive);
    server.join().unwrap();
    assert_eq!((summary, events), (complete(1, TalkEnd::EmptyLine), vec!["one reply".to_owned()]));
}

#[test]
fn end_of_the_time_limit_ends_a_conversation() {
    let (peer, pair) = pair_within("unix-dgram", WAIT / 2);
    let server = serve(pair, |pair| {
        pair.receive();
        pair.clock.advance(WAIT / 2);
    });
    let (summary, events) = talk(peer, b"one\n", Eol::None, TalkMode::Scripted);
    server.join().unwrap();
    assert_eq!((summary.close_reason, events), (TalkEnd::TimeLimit, Vec::new()));
}

#[test]
fn interrupted_output_stops_a_conversation() {
    let (peer, pair) = pair("unix-dgram");
    let (_writer, reader) = UnixStream::pair().unwrap();
    pair.send(b"unexpected");
    let on_event = |event: TalkEvent<'_>| match event {
        TalkEvent::Received(_) => Err(io::ErrorKind::Interrupted.into()),
        _ => Ok(()),
    };
    let talk = Talk::new(peer, Lines::new(reader, 1024), Eol::None, TalkMode::Scripted);
    assert_eq!(talk.run(on_event).unwrap(), complete(0, TalkEnd::Stopped));
}
