//! Connections of a worker over socket pairs.

use std::thread;

use echosounder_proto::{DropReason, EchoReader};
use echosounder_socket::{Shutdown, Transport};

use crate::harness::{TestWorker, receive, receive_all, send};
use crate::{CTIME, Client, Event, Reason, dropped, line, size};

const BACKLOG_MAX: usize = 1 << 20;

#[test]
fn a_half_close_within_a_line_loses_nothing() {
    for (framing, lines) in [(line(60_000), 2001), (size(1000), 0)] {
        let mut server = TestWorker::new("ctime", framing, BACKLOG_MAX);
        let client = server.connect(Transport::UnixStream, "a", 1);
        let input = ["a line\n".repeat(2000), "its end is missing".into()].concat();
        let mut sent = 0;
        let mut received = Vec::new();
        while sent < input.len() {
            let taken = send(&client, &input.as_bytes()[sent..]);
            sent += taken;
            if taken == 0 {
                // All buffers are full, because the client has not received any replies. It
                // receives some now.
                assert!(received.len() < 10 * input.len());
                server.settle();
                received.extend(receive(&client, 3000).unwrap_or_default());
            }
        }
        client.shutdown(Shutdown::Write).unwrap();
        while server.worker.connections() != 0 {
            server.settle();
            received.extend(receive_all(&client));
        }
        received.extend(receive_all(&client));
        assert_eq!(receive(&client, 1), Some(Vec::new()));
        let mut reader = EchoReader::new();
        reader.sent(input.as_bytes());
        reader.receive(&received, |_| {}).unwrap();
        assert_eq!(reader.pending(), 0);
        if lines != 0 {
            assert_eq!(received.len(), input.len() + lines * CTIME);
        }
    }
}

#[test]
fn a_stop_sends_the_backlog_and_the_unfinished_line() {
    let mut server = TestWorker::new("none", line(60_000), BACKLOG_MAX);
    let client = server.connect(Transport::UnixStream, "a", 1);
    let mut input = vec![b'x'; 20_000];
    let mut sent = 0;
    while sent < input.len() {
        sent += send(&client, &input[sent..]);
        server.settle();
    }
    // The end of the line and the next line arrive in one read, and the reply is too long to be
    // sent at once.
    assert_eq!(send(&client, b"\nunfinished"), 11);
    input.extend(b"\nunfinished");
    server.settle();
    let kind = Transport::UnixStream.kind();
    let received = thread::spawn(move || Client { socket: client, kind, half_closes: true }.recv_all());
    server.stop();
    assert!(received.join().unwrap() == input);
}

#[test]
fn a_turn_receives_once() {
    let mut server = TestWorker::new("none", size(1024), BACKLOG_MAX);
    let busy = server.connect(Transport::UnixStream, "busy", 200_000);
    let other = server.connect(Transport::UnixStream, "other", 4096);
    let sent = send(&busy, &[b'b'; 300_000]);
    assert!(150_000 < sent);
    assert_eq!(send(&other, b"hello"), 5);
    server.turn();
    assert_eq!(receive_all(&other), b"hello");
    let first = receive_all(&busy).len();
    assert!(0 < first && first <= 64 * 1024, "{first}");
    server.settle();
    assert_eq!(first + receive_all(&busy).len(), sent);

    let messages = server.connect(Transport::UnixSeqpacket, "messages", 200_000);
    assert_eq!((send(&messages, b"one"), send(&messages, b"two")), (3, 3));
    server.turn();
    assert_eq!((receive(&messages, 9), receive(&messages, 9)), (Some(b"one".to_vec()), None));
}

#[test]
fn a_message_that_is_too_long_is_dropped_and_counted() {
    let mut server = TestWorker::new("ctime", size(1024), BACKLOG_MAX);
    let client = server.connect(Transport::UnixSeqpacket, "a", 200_000);
    assert_eq!(send(&client, &[b'x'; 256 * 1024 + 1]), 256 * 1024 + 1);
    assert_eq!(send(&client, b"short"), 5);
    server.settle();
    assert_eq!(dropped(&server.totals(), DropReason::Truncated), 1);
    assert_eq!(receive(&client, 100).unwrap()[CTIME..], *b"short");
    assert_eq!(receive(&client, 100), None);
    assert_eq!((server.totals().messages, server.totals().bytes), (1, 5));
}

#[test]
fn an_empty_message_is_distinguished_from_the_end() {
    let mut server = TestWorker::new("ctime", size(1024), BACKLOG_MAX);
    let client = server.connect(Transport::UnixSeqpacket, "a", 4096);
    assert_eq!((send(&client, b"one"), client.send(b"").unwrap(), send(&client, b"last")), (3, 0, 4));
    assert_eq!(server.settle().last(), Some(&Event::Message("@a".into(), b"last".to_vec())));
    for reply in [&b"one"[..], b"", b"last"] {
        assert_eq!(receive(&client, 100).unwrap()[CTIME..], *reply);
    }
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.settle().last(), Some(&Event::Closed("@a".into(), 3, Reason::Finished)));
    assert_eq!(receive(&client, 100), Some(Vec::new()));
}

#[test]
fn a_client_that_closes_with_replies_unread_is_reported_as_failed() {
    let mut server = TestWorker::new("none", size(1024), BACKLOG_MAX);
    let client = server.connect(Transport::UnixStream, "a", 1);
    while send(&client, &[b'x'; 1000]) != 0 {
        server.settle();
    }
    drop(client);
    let events = server.settle();
    assert!(matches!(events[..], [.., Event::Closed(_, _, Reason::Failed(_))]), "{events:?}");
    assert_eq!((server.worker.connections(), server.totals().errors), (0, 1));
}

#[test]
fn a_template_shows_addresses_host_and_message_number() {
    let mut server = TestWorker::new("{seq} {peer} at {local} on {host}: ", size(1024), BACKLOG_MAX);
    let client = server.connect(Transport::UnixStream, "a name", 4096);
    for expected in ["1 @a%20name at unnamed on here: x", "2 @a%20name at unnamed on here: x"] {
        send(&client, b"x");
        server.turn();
        assert_eq!(String::from_utf8(receive_all(&client)).unwrap(), expected);
    }
}
