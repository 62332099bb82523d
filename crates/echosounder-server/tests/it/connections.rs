//! Connections of a worker over socket pairs.

use std::thread;

use echosounder_proto::{DropReason, EchoReader};
use echosounder_socket::{Shutdown, Transport};

use crate::harness::{TestWorker, receive, receive_all, send};
use crate::{CTIME, Client, Event, Reason, dropped, line, size};

const BACKLOG_MAX: usize = 1 << 20;

#[test]
fn a_half_close_in_mid_message_loses_nothing() {
    for (framing, stamps) in [(line(60_000), 2001), (size(1000), 0)] {
        let mut table = TestWorker::new("ctime", framing, BACKLOG_MAX);
        let peer = table.connect(Transport::UnixStream, "a", 1);
        let call = ["a line\n".repeat(2000), "its end is missing".into()].concat();
        let mut said = 0;
        let mut heard = Vec::new();
        while said < call.len() {
            let taken = send(&peer, &call.as_bytes()[said..]);
            said += taken;
            if taken == 0 {
                // Nothing goes any more: the peer has not read one answer yet. It reads a little.
                assert!(heard.len() < 10 * call.len());
                table.settle();
                heard.extend(receive(&peer, 3000).unwrap_or_default());
            }
        }
        peer.shutdown(Shutdown::Write).unwrap();
        while table.worker.connections() != 0 {
            table.settle();
            heard.extend(receive_all(&peer));
        }
        heard.extend(receive_all(&peer));
        assert_eq!(receive(&peer, 1), Some(Vec::new()));
        let mut reader = EchoReader::new();
        reader.sent(call.as_bytes());
        reader.receive(&heard, |_| {}).unwrap();
        assert_eq!(reader.pending(), 0);
        if stamps != 0 {
            assert_eq!(heard.len(), call.len() + stamps * CTIME);
        }
    }
}

#[test]
fn a_stop_sends_what_is_kept_and_the_unfinished_line() {
    let mut table = TestWorker::new("none", line(60_000), BACKLOG_MAX);
    let peer = table.connect(Transport::UnixStream, "a", 1);
    let mut call = vec![b'x'; 20_000];
    let mut said = 0;
    while said < call.len() {
        said += send(&peer, &call[said..]);
        table.settle();
    }
    // The line's end and what follows come in one read, and the line's answer is too long to leave at once.
    assert_eq!(send(&peer, b"\nno end"), 7);
    call.extend(b"\nno end");
    table.settle();
    let kind = Transport::UnixStream.kind();
    let heard = thread::spawn(move || Client { socket: peer, kind, half_closes: true }.recv_all());
    table.stop();
    assert!(heard.join().unwrap() == call);
}

#[test]
fn a_turn_reads_once() {
    let mut table = TestWorker::new("none", size(1024), BACKLOG_MAX);
    let busy = table.connect(Transport::UnixStream, "busy", 200_000);
    let patient = table.connect(Transport::UnixStream, "patient", 4096);
    let said = send(&busy, &[b'b'; 300_000]);
    assert!(150_000 < said);
    assert_eq!(send(&patient, b"hello"), 5);
    table.turn();
    assert_eq!(receive_all(&patient), b"hello");
    let first = receive_all(&busy).len();
    assert!(0 < first && first <= 64 * 1024, "{first}");
    table.settle();
    assert_eq!(first + receive_all(&busy).len(), said);

    let messages = table.connect(Transport::UnixSeqpacket, "messages", 200_000);
    assert_eq!((send(&messages, b"one"), send(&messages, b"two")), (3, 3));
    table.turn();
    assert_eq!((receive(&messages, 9), receive(&messages, 9)), (Some(b"one".to_vec()), None));
}

#[test]
fn a_message_too_long_is_dropped_and_counted() {
    let mut table = TestWorker::new("ctime", size(1024), BACKLOG_MAX);
    let peer = table.connect(Transport::UnixSeqpacket, "a", 200_000);
    assert_eq!(send(&peer, &[b'x'; 256 * 1024 + 1]), 256 * 1024 + 1);
    assert_eq!(send(&peer, b"short"), 5);
    table.settle();
    assert_eq!(dropped(&table.totals(), DropReason::Truncated), 1);
    assert_eq!(receive(&peer, 100).unwrap()[CTIME..], *b"short");
    assert_eq!(receive(&peer, 100), None);
    assert_eq!((table.totals().messages, table.totals().bytes), (1, 5));
}

#[test]
fn an_empty_message_is_a_message_and_the_end_is_the_end() {
    let mut table = TestWorker::new("ctime", size(1024), BACKLOG_MAX);
    let peer = table.connect(Transport::UnixSeqpacket, "a", 4096);
    assert_eq!((send(&peer, b"one"), peer.send(b"").unwrap(), send(&peer, b"last")), (3, 0, 4));
    assert_eq!(table.settle().last(), Some(&Event::Message("@a".into(), b"last".to_vec())));
    for reply in [&b"one"[..], b"", b"last"] {
        assert_eq!(receive(&peer, 100).unwrap()[CTIME..], *reply);
    }
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(table.settle().last(), Some(&Event::Closed("@a".into(), 3, Reason::Finished)));
    assert_eq!(receive(&peer, 100), Some(Vec::new()));
}

#[test]
fn a_peer_that_goes_with_answers_unread_is_told_as_an_error() {
    let mut table = TestWorker::new("none", size(1024), BACKLOG_MAX);
    let peer = table.connect(Transport::UnixStream, "a", 1);
    while send(&peer, &[b'x'; 1000]) != 0 {
        table.settle();
    }
    drop(peer);
    let told = table.settle();
    assert!(matches!(told[..], [.., Event::Closed(_, _, Reason::Failed(_))]), "{told:?}");
    assert_eq!((table.worker.connections(), table.totals().errors), (0, 1));
}

#[test]
fn a_stamp_shows_who_talks_and_how_often() {
    let mut table = TestWorker::new("{seq} {peer} at {local} on {host}: ", size(1024), BACKLOG_MAX);
    let peer = table.connect(Transport::UnixStream, "a name", 4096);
    for expected in ["1 @a%20name at unnamed on here: x", "2 @a%20name at unnamed on here: x"] {
        send(&peer, b"x");
        table.turn();
        assert_eq!(String::from_utf8(receive_all(&peer)).unwrap(), expected);
    }
}
