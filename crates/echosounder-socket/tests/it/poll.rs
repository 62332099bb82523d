use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use echosounder_socket::{Event, Events, Interest, Kind, Poll, Readiness, Socket, Transport, Waker, ready};

use crate::{Folder, LOOPBACK, PATIENCE, UNNAMED, bound, connected, everywhere, read, wait_readable};

const NOTHING: Readiness = Readiness { readable: false, writable: false };
const READ: Readiness = Readiness { readable: true, writable: false };
const WRITE: Readiness = Readiness { readable: false, writable: true };
const BOTH: Readiness = Readiness { readable: true, writable: true };

fn stream_pair() -> (Socket, Socket) {
    Transport::UnixStream.pair().unwrap()
}

/// Returns the descriptors that are ready now.
fn now(poll: &Poll) -> Vec<Event> {
    wait(poll, Some(Duration::ZERO))
}

fn wait(poll: &Poll, timeout: Option<Duration>) -> Vec<Event> {
    let mut events = Events::with_capacity(8);
    poll.wait(&mut events, timeout).unwrap();
    let list: Vec<Event> = (0..8).map_while(|index| events.get(index)).collect();
    assert_eq!(events.is_empty(), list.is_empty());
    list
}

/// Fills the send buffer of a stream.
fn fill(socket: &Socket) {
    socket.set_nonblocking(true).unwrap();
    let error = (0..10_000).find_map(|_| socket.send(&[0; 4096]).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn socket_is_readable_until_read() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    poll.add(&one, u64::MAX, Interest::Read).unwrap();
    assert_eq!(now(&poll), []);
    other.send(b"call").unwrap();
    for _ in 0..3 {
        assert_eq!(now(&poll), [Event { token: u64::MAX, ready: READ }]);
    }
    one.recv(&mut [0]).unwrap();
    assert_eq!(now(&poll), [Event { token: u64::MAX, ready: READ }]);
    read(&one);
    assert_eq!(now(&poll), []);
}

#[test]
fn socket_is_writable_until_full() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    poll.add(&one, 1, Interest::Write).unwrap();
    for _ in 0..3 {
        assert_eq!(now(&poll), [Event { token: 1, ready: WRITE }]);
    }
    fill(&one);
    assert_eq!(now(&poll), []);
    while now(&poll).is_empty() {
        read(&other);
    }
    assert_eq!(now(&poll), [Event { token: 1, ready: WRITE }]);
}

#[test]
fn only_requested_events_are_reported() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    other.send(b"call").unwrap();
    poll.add(&one, 1, Interest::Read).unwrap();
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }]);
    poll.modify(&one, 2, Interest::Write).unwrap();
    assert_eq!(now(&poll), [Event { token: 2, ready: WRITE }]);
    poll.modify(&one, 3, Interest::Both).unwrap();
    assert_eq!(now(&poll), [Event { token: 3, ready: BOTH }]);
    poll.remove(&one).unwrap();
    assert_eq!(now(&poll), []);
    assert_eq!(poll.remove(&one).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(poll.modify(&one, 4, Interest::Read).unwrap_err().kind(), ErrorKind::NotFound);
    poll.add(&one, 5, Interest::Read).unwrap();
    assert_eq!(poll.add(&one, 6, Interest::Read).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(now(&poll), [Event { token: 5, ready: READ }]);
}

#[test]
fn closed_descriptor_leaves_the_set() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    let again = one.try_clone().unwrap();
    other.send(b"call").unwrap();
    poll.add(&one, 1, Interest::Read).unwrap();
    drop(one);
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }]);
    drop(again);
    assert_eq!(now(&poll), []);
}

#[test]
fn closed_peer_makes_readable_and_writable() {
    for interest in [Interest::Read, Interest::Write, Interest::Both] {
        let poll = Poll::new().unwrap();
        let (one, other) = stream_pair();
        poll.add(&one, 1, interest).unwrap();
        drop(other);
        assert_eq!(now(&poll), [Event { token: 1, ready: BOTH }]);
        assert_eq!(ready([(one.as_fd(), interest)], Some(PATIENCE)).unwrap(), [BOTH]);
    }
}

#[test]
fn finished_peer_makes_readable_only() {
    for (transport, address) in everywhere(Kind::Stream) {
        let (listener, name) = bound(transport, &address);
        listener.listen().unwrap();
        let client = connected(transport, &name);
        wait_readable(&listener);
        let (server, _) = listener.accept_nonblocking().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&server, 1, Interest::Read).unwrap();
        client.shutdown(echosounder_socket::Shutdown::Write).unwrap();
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: READ }]);
        poll.modify(&server, 1, Interest::Write).unwrap();
        assert_eq!(now(&poll), [Event { token: 1, ready: WRITE }]);
    }
}

#[test]
fn error_makes_readable_and_writable() {
    let (silent, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let client = connected(Transport::Udp, &name);
    let poll = Poll::new().unwrap();
    poll.add(&client, 1, Interest::Read).unwrap();
    drop(silent);
    client.send(b"anybody?").unwrap();
    assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: BOTH }]);
}

#[test]
fn excess_events_are_returned_by_the_next_wait() {
    let poll = Poll::new().unwrap();
    let pairs = [(); 3].map(|()| stream_pair());
    for (token, (one, _)) in (0..).zip(&pairs) {
        poll.add(one, token, Interest::Write).unwrap();
    }
    let mut events = Events::with_capacity(0);
    let mut reported = [0, 1, 2].map(|_| {
        poll.wait(&mut events, Some(PATIENCE)).unwrap();
        assert_eq!(events.get(1), None);
        events.get(0).unwrap().token
    });
    reported.sort_unstable();
    assert_eq!(reported, [0, 1, 2]);
}

#[test]
fn wait_replaces_earlier_events() {
    let poll = Poll::new().unwrap();
    let (one, _other) = stream_pair();
    poll.add(&one, 1, Interest::Write).unwrap();
    let mut events = Events::with_capacity(8);
    poll.wait(&mut events, None).unwrap();
    assert_eq!((events.get(0).unwrap().token, events.get(1)), (1, None));
    poll.remove(&one).unwrap();
    poll.wait(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.is_empty() && events.get(0).is_none());
}

#[test]
fn exclusive_listener_reports_every_connection() {
    for (transport, address) in everywhere(Kind::Stream).into_iter().chain(everywhere(Kind::Messages)) {
        let (listener, name) = bound(transport, &address);
        listener.listen().unwrap();
        let polls = [Poll::new().unwrap(), Poll::new().unwrap()];
        for poll in &polls {
            poll.add(&listener, 1, Interest::ReadExclusive).unwrap();
            assert_eq!(
                poll.modify(&listener, 1, Interest::Read).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
            assert_eq!(now(poll), []);
        }
        let _client = connected(transport, &name);
        wait_readable(&listener);
        let reported = polls.iter().filter(|poll| now(poll) == [Event { token: 1, ready: READ }]).count();
        assert!(1 <= reported);
        for poll in &polls {
            poll.remove(&listener).unwrap();
            assert_eq!(now(poll), []);
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a wait takes is what is tested")]
fn wait_never_ends_early() {
    let poll = Poll::new().unwrap();
    let (one, _other) = stream_pair();
    poll.add(&one, 1, Interest::Read).unwrap();
    for timeout in [0, 1, 1_000, 1_000_001, 1_500_000, 2_999_999].map(Duration::from_nanos) {
        let begin = Instant::now();
        assert_eq!(wait(&poll, Some(timeout)), []);
        assert!(timeout <= begin.elapsed());
        let begin = Instant::now();
        assert_eq!(ready([(one.as_fd(), Interest::Read)], Some(timeout)).unwrap(), [NOTHING]);
        assert!(timeout <= begin.elapsed());
    }
}

#[test]
fn unlimited_wait_ends_with_an_event() {
    let poll = Poll::new().unwrap();
    let (one, _other) = stream_pair();
    poll.add(&one, 1, Interest::Write).unwrap();
    for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(u32::MAX.into()))] {
        assert_eq!(wait(&poll, timeout), [Event { token: 1, ready: WRITE }]);
        assert_eq!(ready([(one.as_fd(), Interest::Write)], timeout).unwrap(), [WRITE]);
    }
}

#[test]
fn ready_reports_each_descriptor() {
    let ((quiet, _peer), (full, client_socket)) = (stream_pair(), stream_pair());
    fill(&full);
    let (read, write, both) = (Interest::Read, Interest::Write, Interest::Both);
    let check = |called: bool| {
        let list =
            [(&quiet, read), (&quiet, write), (&quiet, both), (&full, read), (&full, write), (&full, both)];
        let of_full = if called { READ } else { NOTHING };
        let expected = [NOTHING, WRITE, WRITE, of_full, NOTHING, of_full];
        let list = list.map(|(socket, interest)| (socket.as_fd(), interest));
        assert_eq!(ready(list, Some(Duration::ZERO)).unwrap(), expected);
    };
    check(false);
    client_socket.send(b"call").unwrap();
    check(true);
    let exclusive = [(full.as_fd(), Interest::ReadExclusive)];
    assert_eq!(ready(exclusive, Some(Duration::ZERO)).unwrap(), [READ]);
    assert_eq!(ready([], Some(Duration::ZERO)).unwrap(), []);
}

#[test]
fn regular_file_is_always_ready() {
    let folder = Folder::new();
    let path = folder.path_of_len(100);
    File::create(&path).unwrap().write_all(b"line\n").unwrap();
    let file = File::open(&path).unwrap();
    for (interest, readiness) in [(Interest::Read, READ), (Interest::Write, WRITE), (Interest::Both, BOTH)] {
        assert_eq!(ready([(file.as_fd(), interest)], Some(Duration::ZERO)).unwrap(), [readiness]);
    }
    assert!(Poll::new().unwrap().add(&file, 1, Interest::Read).is_err(), "epoll takes no files");
}

#[test]
fn waker_wakes_from_another_thread_until_reset() {
    let poll = Poll::new().unwrap();
    let waker = Waker::new().unwrap();
    poll.add(&waker, 7, Interest::Read).unwrap();
    assert_eq!(now(&poll), []);
    thread::scope(|scope| {
        scope.spawn(|| waker.wake().unwrap());
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 7, ready: READ }]);
    });
    for _ in 0..3 {
        waker.wake().unwrap();
        assert_eq!(now(&poll), [Event { token: 7, ready: READ }]);
    }
}

#[test]
fn one_waker_wakes_several_polls() {
    let waker = Waker::new().unwrap();
    let polls = [Poll::new().unwrap(), Poll::new().unwrap()];
    polls.iter().for_each(|poll| poll.add(&waker, 7, Interest::Read).unwrap());
    thread::scope(|scope| {
        let woken = polls.each_ref().map(|poll| scope.spawn(|| wait(poll, Some(Duration::MAX))));
        waker.wake().unwrap();
        for poll in woken {
            assert_eq!(poll.join().unwrap(), [Event { token: 7, ready: READ }]);
        }
    });
}

#[test]
fn datagram_makes_readable() {
    for (transport, address) in everywhere(Kind::Datagrams) {
        let (server, name) = bound(transport, &address);
        let poll = Poll::new().unwrap();
        poll.add(&server, 1, Interest::Read).unwrap();
        assert_eq!(now(&poll), []);
        connected(transport, &name).send(b"").unwrap();
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: READ }]);
    }
    let (nameless, _) = bound(Transport::UnixDatagram, &UNNAMED);
    assert_eq!(ready([(nameless.as_fd(), Interest::Both)], Some(Duration::ZERO)).unwrap(), [WRITE]);
}
