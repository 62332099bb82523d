//! What only AF_UNIX has: sockets that are held.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use echosounder_socket::family::unix::{HeldSocket, SocketFile, UnixName};
use echosounder_socket::{Address, Socket, Transport, effective_user};

use crate::{Folder, UNNAMED, bound, read};

fn at(path: &Path) -> Address {
    UnixName::Path(path.as_os_str().as_bytes().into()).into()
}

fn hold(path: &Path) -> Result<HeldSocket, ErrorKind> {
    HeldSocket::open(path.as_os_str().as_bytes()).map_err(|error| error.kind())
}

fn is_silent(socket: &Socket) -> bool {
    socket.set_blocking(false).unwrap();
    socket.recv(&mut [0; 8]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn what_is_sent_to_a_held_socket_reaches_it_whatever_its_path_leads_to() {
    let folder = Folder::new();
    let (path, aside) = (folder.path(90), folder.path(91));
    let (looked_at, _) = bound(Transport::UnixDatagram, &at(&path));
    let held = hold(&path).unwrap();
    assert_eq!(held.about().owner(), effective_user());

    let sender = Transport::UnixDatagram.socket(&UNNAMED).unwrap();
    fs::rename(&path, &aside).unwrap();
    let (other, _) = bound(Transport::UnixDatagram, &at(&path));
    let leads_to_held = |path: &Path| SocketFile::at(path.as_os_str().as_bytes()).unwrap() == held.about();
    assert!(leads_to_held(&aside) && !leads_to_held(&path));
    sender.send_to(b"answer", &held.name().clone().into()).unwrap();
    assert_eq!(read(&looked_at), b"answer");
    assert!(is_silent(&other));
    // Also where nothing leads to it any more.
    fs::remove_file(&aside).unwrap();
    sender.send_to(b"answer", &held.name().clone().into()).unwrap();
    assert_eq!(read(&looked_at), b"answer");
    drop(looked_at);
    let gone = sender.send_to(b"answer", &held.name().clone().into()).unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
    let name = held.name().clone();
    drop(held);
    assert!(sender.send_to(b"answer", &name.into()).is_err());
    assert!(is_silent(&other));
}

#[test]
fn only_a_socket_is_held() {
    let folder = Folder::new();
    let (socket, link, file) = (folder.path(90), folder.path(91), folder.path(92));
    let _bound = bound(Transport::UnixDatagram, &at(&socket));
    symlink(&socket, &link).unwrap();
    fs::write(&file, b"").unwrap();
    assert!(hold(&socket).is_ok());
    for (path, kind) in [
        (&link, ErrorKind::InvalidInput),
        (&file, ErrorKind::InvalidInput),
        (&folder.0, ErrorKind::InvalidInput),
        (&folder.path(93), ErrorKind::NotFound),
    ] {
        assert_eq!(hold(path).unwrap_err(), kind, "{path:?}");
    }
    // A descriptor is held, not inherited, and given back.
    assert_eq!(HeldSocket::open(b"a\0b").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_held_listener_is_connected_to() {
    let folder = Folder::new();
    let path = folder.path(90);
    let (listener, _) = bound(Transport::UnixStream, &at(&path));
    listener.listen().unwrap();
    let held = hold(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let client = Transport::UnixStream.socket(&UNNAMED).unwrap();
    client.connect(&held.name().clone().into()).unwrap();
    listener.accept().unwrap();
}
