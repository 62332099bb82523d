use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use echosounder_socket::{
    ControlSpace, Event, Events, Interest, Kind, MessageFlags, Poll, PollFd, Readiness, Shutdown, Socket,
    Transport, Waker, option, poll, ready,
};

use crate::{Folder, LOOPBACK, PATIENCE, UNNAMED, bound, connected, everywhere, read, wait_readable};

const NOTHING: Readiness = Readiness::empty();
const READ: Readiness = Readiness::READABLE;
const WRITE: Readiness = Readiness::WRITABLE;
const BOTH: Readiness = READ.union(WRITE);

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
    assert_eq!((events.is_empty(), events.len()), (list.is_empty(), list.len()));
    assert_eq!(events.iter().len(), list.len());
    assert!(events.into_iter().eq(list.iter().copied()));
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
    poll.add(&one, u64::MAX, Interest::READ).unwrap();
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
    poll.add(&one, 1, Interest::WRITE).unwrap();
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
    poll.add(&one, 1, Interest::READ).unwrap();
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }]);
    poll.modify(&one, 2, Interest::WRITE).unwrap();
    assert_eq!(now(&poll), [Event { token: 2, ready: WRITE }]);
    poll.modify(&one, 3, Interest::READ | Interest::WRITE).unwrap();
    assert_eq!(now(&poll), [Event { token: 3, ready: BOTH }]);
    poll.remove(&one).unwrap();
    assert_eq!(now(&poll), []);
    assert_eq!(poll.remove(&one).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(poll.modify(&one, 4, Interest::READ).unwrap_err().kind(), ErrorKind::NotFound);
    poll.add(&one, 5, Interest::READ).unwrap();
    assert_eq!(poll.add(&one, 6, Interest::READ).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(now(&poll), [Event { token: 5, ready: READ }]);
}

#[test]
fn closed_descriptor_leaves_the_set() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    let again = one.try_clone().unwrap();
    other.send(b"call").unwrap();
    poll.add(&one, 1, Interest::READ).unwrap();
    drop(one);
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }]);
    drop(again);
    assert_eq!(now(&poll), []);
}

#[test]
fn closed_peer_is_a_hang_up() {
    let cases = [(Interest::empty(), NOTHING), (Interest::READ, READ), (Interest::WRITE, WRITE)];
    for (interest, requested) in cases.into_iter().chain([(Interest::READ | Interest::WRITE, BOTH)]) {
        let poll = Poll::new().unwrap();
        let (one, other) = stream_pair();
        poll.add(&one, 1, interest).unwrap();
        drop(other);
        let found = requested | Readiness::HANG_UP;
        assert_eq!(now(&poll), [Event { token: 1, ready: found }]);
        assert_eq!(ready([(one.as_fd(), interest)], Some(PATIENCE)).unwrap(), [found]);
        assert!(found.can_read() && found.can_write() && found.is_hang_up());
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
        poll.add(&server, 1, Interest::READ).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: READ }]);
        poll.modify(&server, 1, Interest::WRITE).unwrap();
        assert_eq!(now(&poll), [Event { token: 1, ready: WRITE }]);
    }
}

#[test]
fn error_is_reported_without_being_requested() {
    for interest in [Interest::empty(), Interest::READ] {
        let (silent, name) = bound(Transport::Udp, &LOOPBACK[0]);
        let client = connected(Transport::Udp, &name);
        let poll = Poll::new().unwrap();
        poll.add(&client, 1, interest).unwrap();
        drop(silent);
        client.send(b"anybody?").unwrap();
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: Readiness::ERROR }]);
        assert!(Readiness::ERROR.can_read() && Readiness::ERROR.can_write());
        assert!(!Readiness::ERROR.is_readable() && !Readiness::ERROR.is_writable());
        assert_eq!(client.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(now(&poll), []);
    }
}

#[test]
fn error_queue_is_told_apart_from_data() {
    let (server, name) = bound(Transport::Udp, &LOOPBACK[0]);
    let client = connected(Transport::Udp, &name);
    let flags = option::TimestampingFlags::SOFTWARE | option::TimestampingFlags::TX_SOFTWARE;
    client.set_option(option::SO_TIMESTAMPING, flags).unwrap();
    let (errors, all) = (Poll::new().unwrap(), Poll::new().unwrap());
    errors.add(&client, 1, Interest::empty()).unwrap();
    all.add(&client, 2, Interest::READ).unwrap();

    server.send_to(b"data", client.local_addr().unwrap()).unwrap();
    assert_eq!(wait(&all, Some(PATIENCE)), [Event { token: 2, ready: READ }]);
    assert_eq!(now(&errors), [], "data does not wake who waits for errors alone");
    read(&client);

    client.send(b"timestamped").unwrap();
    assert_eq!(wait(&errors, Some(PATIENCE)), [Event { token: 1, ready: Readiness::ERROR }]);
    assert_eq!(now(&all), [Event { token: 2, ready: Readiness::ERROR }]);
    let mut buffer = [0; 64];
    let mut buffers = [IoSliceMut::new(&mut buffer)];
    client.recv_msg(&mut buffers, ControlSpace::ALL, MessageFlags::ERRQUEUE).unwrap();
    assert_eq!((now(&errors), now(&all)), (vec![], vec![]), "an empty queue is no error");
}

#[test]
fn edge_triggered_event_is_reported_once() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    poll.add(&one, 1, Interest::READ | Interest::EDGE).unwrap();
    other.send(b"first").unwrap();
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }]);
    assert_eq!(now(&poll), []);
    other.send(b"second").unwrap();
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }], "more data is another edge");
    poll.modify(&one, 2, Interest::READ | Interest::EDGE).unwrap();
    assert_eq!(now(&poll), [Event { token: 2, ready: READ }], "a modified entry is reported again");
    assert_eq!(now(&poll), []);
    assert_eq!(read(&one), b"firstsecond");
}

#[test]
fn one_shot_event_disables_the_entry() {
    let poll = Poll::new().unwrap();
    let (one, other) = stream_pair();
    poll.add(&one, 1, Interest::READ | Interest::ONE_SHOT).unwrap();
    other.send(b"first").unwrap();
    assert_eq!(now(&poll), [Event { token: 1, ready: READ }]);
    other.send(b"second").unwrap();
    drop(other);
    assert_eq!(now(&poll), [], "neither data nor a hang-up is reported");
    poll.modify(&one, 1, Interest::READ | Interest::ONE_SHOT).unwrap();
    assert_eq!(now(&poll), [Event { token: 1, ready: READ | Readiness::HANG_UP }]);
    assert_eq!(now(&poll), []);
}

#[test]
fn finished_peer_is_told_apart_from_data() {
    for (transport, address) in everywhere(Kind::Stream) {
        let (listener, name) = bound(transport, &address);
        listener.listen().unwrap();
        let client = connected(transport, &name);
        wait_readable(&listener);
        let (server, _) = listener.accept_nonblocking().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&server, 1, Interest::PEER_CLOSED).unwrap();
        client.send(b"last words").unwrap();
        wait_readable(&server);
        assert_eq!(now(&poll), []);
        client.shutdown(Shutdown::Write).unwrap();
        let closed = Readiness::PEER_CLOSED;
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: closed }]);
        let interest = Interest::READ | Interest::PEER_CLOSED;
        assert_eq!(ready([(server.as_fd(), interest)], None).unwrap(), [READ | closed]);
        assert!(closed.is_peer_closed() && !closed.can_read());
    }
}

#[test]
fn urgent_data_has_priority() {
    for address in LOOPBACK.iter() {
        let (listener, name) = bound(Transport::Tcp, address);
        listener.listen().unwrap();
        let client = connected(Transport::Tcp, &name);
        wait_readable(&listener);
        let (server, _) = listener.accept_nonblocking().unwrap();
        let poll = Poll::new().unwrap();
        poll.add(&server, 1, Interest::PRIORITY).unwrap();
        client.send(b"data").unwrap();
        wait_readable(&server);
        assert_eq!(now(&poll), []);
        client.send_msg(&[IoSlice::new(b"!")], &[], None, MessageFlags::OOB).unwrap();
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: Readiness::PRIORITY }]);
        let interest = Interest::READ | Interest::PRIORITY;
        let [found] = ready([(server.as_fd(), interest)], None).unwrap();
        assert!(found.is_readable() && found.is_priority());
        let mut byte = [0; 1];
        server.recv_msg(&mut [IoSliceMut::new(&mut byte)], ControlSpace::NONE, MessageFlags::OOB).unwrap();
        assert_eq!((&byte, now(&poll)), (b"!", vec![]));
    }
}

#[test]
fn pipe_without_a_reader_has_an_error() {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let writer = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let [found] = ready([(writer.as_fd(), Interest::empty())], Some(PATIENCE)).unwrap();
    assert_eq!(found, Readiness::ERROR);
}

#[test]
#[cfg_attr(target_env = "musl", ignore = "the standard library ignores O_PATH with musl")]
fn descriptor_that_cannot_be_polled_is_invalid() {
    let path = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open("/").unwrap();
    assert_eq!(ready([(path.as_fd(), Interest::READ)], None).unwrap(), [Readiness::INVALID]);
}

#[test]
fn poll_accepts_a_list() {
    let pairs: Vec<(Socket, Socket)> = (0..5).map(|_| stream_pair()).collect();
    for index in [1, 3] {
        pairs[index].1.send(b"call").unwrap();
    }
    let every_flag = Interest::all() - Interest::WRITE;
    let mut fds: Vec<PollFd<'_>> = pairs.iter().map(|(one, _)| PollFd::new(one, every_flag)).collect();
    assert!(fds.iter().all(|fd| fd.ready().is_empty()));
    assert_eq!(poll(&mut fds, Some(Duration::ZERO)).unwrap(), 2);
    let found: Vec<Readiness> = fds.iter().map(PollFd::ready).collect();
    assert_eq!(found, [NOTHING, READ, NOTHING, READ, NOTHING]);
    let requested = Interest::READ | Interest::PRIORITY | Interest::PEER_CLOSED;
    assert_eq!(fds[0].interest(), requested, "poll(2) knows no other flag");

    fds[0].set_interest(Interest::WRITE);
    assert_eq!(poll(&mut fds[..1], None).unwrap(), 1);
    assert_eq!((fds[0].ready(), fds[0].interest()), (WRITE, Interest::WRITE));
    assert_eq!(fds[0].as_fd().as_raw_fd(), pairs[0].0.as_raw_fd());
    let shown = format!("{:?}", fds[0]);
    assert!(shown.ends_with("interest: Interest(WRITE), ready: Readiness(WRITABLE) }"), "{shown}");
    assert_eq!(poll(&mut [], Some(Duration::ZERO)).unwrap(), 0);
}

#[test]
fn set_is_readable_while_a_descriptor_is_ready() {
    let (outer, inner) = (Poll::new().unwrap(), Poll::new().unwrap());
    let (one, other) = stream_pair();
    inner.add(&one, 1, Interest::READ).unwrap();
    outer.add(&inner, 2, Interest::READ).unwrap();
    assert_eq!(now(&outer), []);
    other.send(b"call").unwrap();
    assert_eq!(now(&outer), [Event { token: 2, ready: READ }]);
    assert_eq!(inner.as_raw_fd(), inner.as_fd().as_raw_fd());
    read(&one);
    assert_eq!(now(&outer), []);
}

#[test]
fn excess_events_are_returned_by_the_next_wait() {
    let poll = Poll::new().unwrap();
    let pairs = [(); 3].map(|()| stream_pair());
    for (token, (one, _)) in (0..).zip(&pairs) {
        poll.add(one, token, Interest::WRITE).unwrap();
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
    poll.add(&one, 1, Interest::WRITE).unwrap();
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
            poll.add(&listener, 1, Interest::READ | Interest::EXCLUSIVE).unwrap();
            assert_eq!(
                poll.modify(&listener, 1, Interest::READ).unwrap_err().kind(),
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
    poll.add(&one, 1, Interest::READ).unwrap();
    for timeout in [0, 1, 1_000, 1_000_001, 1_500_000, 2_999_999].map(Duration::from_nanos) {
        let begin = Instant::now();
        assert_eq!(wait(&poll, Some(timeout)), []);
        assert!(timeout <= begin.elapsed());
        let begin = Instant::now();
        assert_eq!(ready([(one.as_fd(), Interest::READ)], Some(timeout)).unwrap(), [NOTHING]);
        assert!(timeout <= begin.elapsed());
    }
}

#[test]
fn unlimited_wait_ends_with_an_event() {
    let poll = Poll::new().unwrap();
    let (one, _other) = stream_pair();
    poll.add(&one, 1, Interest::WRITE).unwrap();
    for timeout in [None, Some(Duration::MAX), Some(Duration::from_secs(u32::MAX.into()))] {
        assert_eq!(wait(&poll, timeout), [Event { token: 1, ready: WRITE }]);
        assert_eq!(ready([(one.as_fd(), Interest::WRITE)], timeout).unwrap(), [WRITE]);
    }
}

#[test]
fn ready_reports_each_descriptor() {
    let ((quiet, _peer), (full, client_socket)) = (stream_pair(), stream_pair());
    fill(&full);
    let (read, write, both) = (Interest::READ, Interest::WRITE, Interest::READ | Interest::WRITE);
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
    let exclusive = [(full.as_fd(), Interest::READ | Interest::EXCLUSIVE)];
    assert_eq!(ready(exclusive, Some(Duration::ZERO)).unwrap(), [READ]);
    assert_eq!(ready([], Some(Duration::ZERO)).unwrap(), []);
}

#[test]
fn regular_file_is_always_ready() {
    let folder = Folder::new();
    let path = folder.path_of_len(100);
    File::create(&path).unwrap().write_all(b"line\n").unwrap();
    let file = File::open(&path).unwrap();
    for (interest, readiness) in
        [(Interest::READ, READ), (Interest::WRITE, WRITE), (Interest::READ | Interest::WRITE, BOTH)]
    {
        assert_eq!(ready([(file.as_fd(), interest)], Some(Duration::ZERO)).unwrap(), [readiness]);
    }
    assert!(Poll::new().unwrap().add(&file, 1, Interest::READ).is_err(), "epoll takes no files");
}

#[test]
fn waker_wakes_from_another_thread_until_reset() {
    let poll = Poll::new().unwrap();
    let waker = Waker::new().unwrap();
    poll.add(&waker, 7, Interest::READ).unwrap();
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
    polls.iter().for_each(|poll| poll.add(&waker, 7, Interest::READ).unwrap());
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
        poll.add(&server, 1, Interest::READ).unwrap();
        assert_eq!(now(&poll), []);
        connected(transport, &name).send(b"").unwrap();
        assert_eq!(wait(&poll, Some(PATIENCE)), [Event { token: 1, ready: READ }]);
    }
    let (nameless, _) = bound(Transport::UnixDatagram, &UNNAMED);
    assert_eq!(
        ready([(nameless.as_fd(), Interest::READ | Interest::WRITE)], Some(Duration::ZERO)).unwrap(),
        [WRITE]
    );
}
