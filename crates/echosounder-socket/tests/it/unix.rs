//! Behaviour of AF_UNIX only: pinned sockets.

use std::fs;
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use echosounder_socket::family::unix::UnixName;
use echosounder_socket::internal::effective_user_id;
use echosounder_socket::internal::{PathIdentity, PinnedSocket};
use echosounder_socket::{
    Address, Batch, EndpointError, MessageFlags, Outgoing, ServerOptions, Socket, Transport, create_server,
};

use crate::{Folder, PATIENCE, UNNAMED, bound, read};

fn at(path: &Path) -> Address {
    UnixName::Path(path.as_os_str().as_bytes().into()).into()
}

fn hold(path: &Path) -> Result<PinnedSocket, ErrorKind> {
    PinnedSocket::open(path.as_os_str().as_bytes()).map_err(|error| error.kind())
}

fn is_silent(socket: &Socket) -> bool {
    socket.set_nonblocking(true).unwrap();
    socket.recv(&mut [0; 8]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn pinned_socket_receives_after_its_path_is_replaced() {
    let folder = Folder::new();
    let (path, aside) = (folder.path_of_len(90), folder.path_of_len(91));
    let (looked_at, _) = bound(Transport::UnixDatagram, &at(&path));
    let pinned = hold(&path).unwrap();
    assert_eq!(pinned.identity().owner(), effective_user_id());

    let sender = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
    fs::rename(&path, &aside).unwrap();
    let (other, _) = bound(Transport::UnixDatagram, &at(&path));
    let leads_to_held =
        |path: &Path| PathIdentity::at(path.as_os_str().as_bytes()).unwrap() == pinned.identity();
    assert!(leads_to_held(&aside) && !leads_to_held(&path));
    sender.send_to(b"answer", pinned.name().clone()).unwrap();
    assert_eq!(read(&looked_at), b"answer");
    assert!(is_silent(&other));
    // Even after the path was removed.
    fs::remove_file(&aside).unwrap();
    sender.send_to(b"answer", pinned.name().clone()).unwrap();
    assert_eq!(read(&looked_at), b"answer");
    drop(looked_at);
    let gone = sender.send_to(b"answer", pinned.name().clone()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
    let name = pinned.name().clone();
    drop(pinned);
    assert!(sender.send_to(b"answer", name).is_err());
    assert!(is_silent(&other));
}

#[test]
fn only_sockets_can_be_pinned() {
    let folder = Folder::new();
    let (socket, link, file) = (folder.path_of_len(90), folder.path_of_len(91), folder.path_of_len(92));
    let _bound = bound(Transport::UnixDatagram, &at(&socket));
    symlink(&socket, &link).unwrap();
    fs::write(&file, b"").unwrap();
    assert!(hold(&socket).is_ok());
    for (path, kind) in [
        (&link, ErrorKind::InvalidInput),
        (&file, ErrorKind::InvalidInput),
        (&folder.path().to_owned(), ErrorKind::InvalidInput),
        (&folder.path_of_len(93), ErrorKind::NotFound),
    ] {
        assert_eq!(hold(path).unwrap_err(), kind, "{path:?}");
    }
    // Pinning opens one close-on-exec descriptor and closes it again.
    assert_eq!(PinnedSocket::open(b"a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn pinned_listener_accepts_connections() {
    let folder = Folder::new();
    let path = folder.path_of_len(90);
    let (listener, _) = bound(Transport::UnixStream, &at(&path));
    listener.listen().unwrap();
    let pinned = hold(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let client = Transport::UnixStream.socket(&UNNAMED).unwrap();
    client.connect(pinned.name().clone()).unwrap();
    listener.accept().unwrap();
}

/// The kernel ends a path at its first NUL, and takes an empty path for an abstract name.
#[test]
fn truncated_paths_are_refused_by_every_call() {
    let folder = Folder::new();
    let cut = folder.path_of_len(90);
    let whole = [cut.as_os_str().as_bytes(), b"\0and more"].concat();
    let (listener, name) = bound(Transport::UnixDatagram, &at(&cut));
    assert_eq!(name, at(&cut));
    for path in [&whole[..], b"", b"\0", &[b'a'; 109]] {
        let refused = Address::from(UnixName::Path(path.into()));
        let socket = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
        let pieces = [IoSlice::new(b"ahoy")];
        let check = |result: io::Result<()>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.downcast::<EndpointError>().is_ok());
        };
        check(socket.bind(&refused));
        check(socket.connect(&refused));
        check(socket.connect_ex(&refused).map(drop));
        check(socket.send_to(b"ahoy", &refused).map(drop));
        check(socket.send_msg(&pieces, &[], Some(&refused), MessageFlags::NONE).map(drop));
        let good = Outgoing::new(&pieces).to(&name);
        check(socket.send_many(&[good.to(&refused), good]).map(drop));
        for transport in [Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket] {
            let error = create_server((transport, &refused), ServerOptions::default()).unwrap_err();
            check(Err(error.into_cause()));
        }
        assert_eq!(socket.local_addr().unwrap(), UNNAMED);

        listener.set_timeout(Some(PATIENCE)).unwrap();
        let asking = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
        asking.bind(&UNNAMED).unwrap();
        asking.send_to(b"ask", &name).unwrap();
        let mut batch = Batch::new(1, 8);
        listener.recv_many(&mut batch).unwrap();
        check(batch.reply(0, b"", None, Some(&refused)));
        // The datagram can still be replied to at another address.
        batch.reply(0, b"> ", None, None).unwrap();
        batch.send(&listener, false, |index, error| panic!("{index}: {error}"));
        assert_eq!(read(&asking), b"> ask");
        assert!(is_silent(&listener));
    }
    assert_eq!(fs::read_dir(cut.parent().unwrap()).unwrap().count(), 1, "nothing else was bound");
}
