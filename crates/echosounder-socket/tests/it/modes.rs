//! Timeouts hold although duplicates change the blocking mode, which they share.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use echosounder_socket::{Address, Batch, ControlSpace, MessageFlags, Outgoing, Socket, Transport};

use crate::{Folder, LOOPBACK, PATIENCE, UNNAMED, bound, connected};

/// Makes the descriptor blocking through a duplicate, and returns the duplicate.
fn made_blocking(socket: &Socket) -> Socket {
    let duplicate = socket.try_clone().unwrap();
    duplicate.set_timeout(None).unwrap();
    duplicate
}

/// Runs a call that cannot complete, and returns its error. Fails if the call does not return.
fn ends<T: Send + 'static>(name: &str, call: impl FnOnce() -> io::Result<T> + Send + 'static) -> ErrorKind {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(call().map(drop)));
    let result = receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} waits for ever"));
    result.expect_err(name).kind()
}

/// A call that may have to wait.
type Call = fn(&Socket) -> io::Result<usize>;

const SOON: Duration = Duration::from_millis(20);

#[test]
fn receive_times_out_although_a_duplicate_blocks() {
    for (timeout, expected) in [(SOON, ErrorKind::TimedOut), (Duration::ZERO, ErrorKind::WouldBlock)] {
        let calls: [(&str, Call); 6] = [
            ("recv", |socket| socket.recv(&mut [0; 8])),
            ("recv_from", |socket| socket.recv_from(&mut [0; 8]).map(|(len, _)| len)),
            ("recv_append", |socket| socket.recv_append(&mut Vec::with_capacity(8))),
            ("recv_message", |socket| socket.recv_message(&mut [0; 8]).map(|message| message.len)),
            ("recv_msg", |socket| {
                let mut buffer = [0; 8];
                let into = &mut [IoSliceMut::new(&mut buffer)];
                socket.recv_msg(into, ControlSpace::ALL, MessageFlags::NONE).map(|message| message.len)
            }),
            ("recv_many", |socket| socket.recv_many(&mut Batch::new(2, 8))),
        ];
        for (name, call) in calls {
            let (one, other) = Transport::UnixDatagram.pair().unwrap();
            one.set_timeout(Some(timeout)).unwrap();
            let duplicate = made_blocking(&one);
            let again = one.try_clone().unwrap();
            assert_eq!(ends(name, move || call(&again)), expected, "{name}");
            // Receiving still works, and the duplicate's mode is unchanged.
            other.send(b"ahoy").unwrap();
            assert_eq!(call(&one).unwrap().max(1), if name == "recv_many" { 1 } else { 4 });
            assert!(!duplicate.nonblocking() && blocks(&duplicate), "{name}");
        }
    }
}

#[test]
fn send_times_out_although_a_duplicate_blocks() {
    for (timeout, expected) in [(SOON, ErrorKind::TimedOut), (Duration::ZERO, ErrorKind::WouldBlock)] {
        let calls: [(&str, Call); 4] = [
            ("send", |socket| socket.send(&[0; 4096])),
            ("send_all", |socket| Ok(socket.send_all(&[0; 4096]).map(|()| 4096)?)),
            ("send_msg", |socket| {
                socket.send_msg(&[IoSlice::new(&[0; 4096])], &[], None, MessageFlags::NONE)
            }),
            ("send_many", |socket| {
                let pieces = [IoSlice::new(&[0; 4096])];
                socket.send_many(&[Outgoing::new(&pieces)])
            }),
        ];
        for (name, call) in calls {
            let (one, _other) = Transport::UnixStream.pair().unwrap();
            one.set_timeout(Some(timeout)).unwrap();
            let duplicate = made_blocking(&one);
            let error = ends(name, move || -> io::Result<()> {
                loop {
                    call(&one)?;
                }
            });
            assert_eq!(error, expected, "{name}");
            assert!(blocks(&duplicate), "{name}");
        }
    }
    let (_reader, name) = bound(Transport::UnixDatagram, &UNNAMED);
    let writer = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
    writer.set_timeout(Some(SOON)).unwrap();
    let _duplicate = made_blocking(&writer);
    let error = ends("send_to", move || -> io::Result<()> {
        loop {
            writer.send_to(b"and more", &name)?;
        }
    });
    assert_eq!(error, ErrorKind::TimedOut);
}

#[test]
fn accept_connect_and_send_file_time_out_although_a_duplicate_blocks() {
    for transport in [Transport::Tcp, Transport::UnixStream] {
        let address = if transport == Transport::Tcp { &LOOPBACK[0] } else { &UNNAMED };
        let (listener, name) = bound(transport, address);
        listener.listen_with(0).unwrap();
        listener.set_timeout(Some(SOON)).unwrap();
        let duplicate = made_blocking(&listener);
        let again = listener.try_clone().unwrap();
        assert_eq!(ends("accept", move || again.accept()), ErrorKind::TimedOut);
        assert!(blocks(&duplicate));
        let _client = connected(transport, &name);
        listener.set_timeout(Some(PATIENCE)).unwrap();
        let _duplicate = made_blocking(&listener);
        listener.accept().unwrap();
    }
    a_connect_ends();
    let (one, _other) = Transport::UnixStream.pair().unwrap();
    one.set_timeout(Some(SOON)).unwrap();
    let duplicate = made_blocking(&one);
    let folder = Folder::new();
    let path = folder.path_of_len(90);
    std::fs::write(&path, vec![7; 4_000_000]).unwrap();
    let file = File::open(&path).unwrap();
    let error = ends("send_file", move || Ok(one.send_file(&file, 0, None)?));
    assert_eq!(error, ErrorKind::TimedOut);
    assert!(blocks(&duplicate));
}

/// Connects to a UNIX listener whose queue is full, and to a TCP listener that no longer replies.
fn a_connect_ends() {
    let connect = |transport: Transport, name: &Address| {
        let client = transport.socket(name).unwrap();
        client.set_timeout(Some(SOON)).unwrap();
        let duplicate = made_blocking(&client);
        let name = name.clone();
        let error = ends("connect", move || client.connect(&name));
        (error, duplicate)
    };
    let (listener, name) = bound(Transport::UnixStream, &UNNAMED);
    listener.listen_with(0).unwrap();
    let _first = connected(Transport::UnixStream, &name);
    let (error, duplicate) = connect(Transport::UnixStream, &name);
    assert_eq!(error, ErrorKind::TimedOut);
    assert!(blocks(&duplicate));

    let (listener, name) = bound(Transport::Tcp, &LOOPBACK[0]);
    listener.listen_with(0).unwrap();
    let _first = connected(Transport::Tcp, &name);
    let (error, duplicate) = connect(Transport::Tcp, &name);
    assert_eq!(error, ErrorKind::TimedOut);
    assert!(blocks(&duplicate));
}

/// Returns whether the descriptor is blocking.
fn blocks(socket: &Socket) -> bool {
    Socket::from_fd(socket.as_fd().try_clone_to_owned().unwrap()).unwrap().timeout().is_none()
}
