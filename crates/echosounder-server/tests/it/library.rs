//! The server inside another program: its doors, and what it leaves unchanged in the process.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use echosounder_server::{BindError, Config, Note, Server, ServerEvent, StartError, Totals};
use echosounder_socket::{Endpoint, Socket};

use crate::{Client, Folder, PATIENCE, config, stop};

const ALONE: &str = "ECHOSOUNDER_TEST_ALONE";

/// Runs one test again in a process of its own with a soft limit of 256 descriptors. Returns
/// whether this is that process.
fn is_alone_with_256_descriptors(test: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let script = "ulimit -S -n 256 && exec \"$0\" \"$@\"";
    let status = Command::new("sh")
        .args(["-c", script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test])
        .env(ALONE, "1")
        .status();
    assert!(status.unwrap().success());
    false
}

/// Returns the soft limit of open descriptors.
fn soft_limit() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_descriptor_limit_stays_unless_the_configuration_raises_it() {
    let test = "library::the_descriptor_limit_stays_unless_the_configuration_raises_it";
    if !is_alone_with_256_descriptors(test) {
        return;
    }
    let server = Server::bind(["tcp://127.0.0.1:0"]).unwrap().start().unwrap();
    assert_eq!(soft_limit(), 256);
    Client::of(server.endpoints().next().unwrap()).echo(b"hello");
    stop(server);
    assert_eq!(soft_limit(), 256);

    let greedy = Config::new().connections_max(300).bind(["tcp://127.0.0.1:0"]).unwrap().start();
    assert!(matches!(greedy, Err(StartError::Descriptors { wanted: 300, .. })), "{greedy:?}");

    stop(Config::new().raise_fd_limit(true).bind(["tcp://127.0.0.1:0"]).unwrap().start().unwrap());
    assert!(256 < soft_limit());
}

#[test]
fn endpoints_are_text_or_endpoints() {
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    assert_eq!(Server::bind([&endpoint, &endpoint]).unwrap().endpoints().count(), 2);
    assert_eq!(Server::bind(vec!["udp://127.0.0.1:0".to_owned()]).unwrap().addresses().count(), 1);
    let error = Server::bind(["tcp:/127.0.0.1"]).unwrap_err();
    assert!(matches!(error, BindError::Endpoint(_)));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn errors_keep_their_kind_as_errors_of_io() {
    fn bind(endpoint: &str) -> io::Result<Server> {
        Ok(Server::bind([endpoint])?)
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = bind(&format!("tcp://{}", taken.local_addr().unwrap())).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.get_ref().unwrap().is::<BindError>());
    fn start() -> io::Result<Totals> {
        Config::new().connections_max(usize::MAX).bind(["tcp://127.0.0.1:0"])?.start()?.stop()
    }
    assert_eq!(start().unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
}

/// Returns an error and its sources, as a program prints them.
fn chain(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(" <= ")
}

#[test]
fn an_error_of_io_displays_the_reason_that_the_own_error_has_as_its_source() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp://{}", taken.local_addr().unwrap());
    for (endpoint, operation) in [
        (&*taken, &*format!("cannot bind {taken}")),
        ("", "cannot use the endpoint"),
        ("tcp://nothing.invalid", "cannot resolve nothing.invalid"),
    ] {
        let bind = || Server::bind([endpoint]).map(drop);
        let error = bind().unwrap_err();
        assert_eq!(error.to_string(), operation);
        let reason = error.source().unwrap().to_string();
        let error = io::Error::from(bind().unwrap_err());
        assert_eq!(chain(&error), format!("{operation}: {reason}"));
    }
}

#[test]
fn a_server_without_endpoints_does_not_start() {
    let servers =
        [Server::bind(Vec::<&str>::new()).unwrap(), Server::from_sockets(Vec::<Socket>::new()).unwrap()];
    for server in servers {
        let error = server.start().unwrap_err();
        assert!(matches!(error, StartError::NoEndpoint), "{error}");
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(chain(&error), "cannot start a server without endpoints");
    }
    let mut server = Server::bind(Vec::<&str>::new()).unwrap();
    server.add_socket(socket(UdpSocket::bind("127.0.0.1:0").unwrap())).unwrap();
    stop(server.start().unwrap());
}

#[test]
fn a_server_of_datagrams_needs_no_descriptors_for_connections() {
    if !is_alone_with_256_descriptors("library::a_server_of_datagrams_needs_no_descriptors_for_connections") {
        return;
    }
    let few = |config: Config| config.connections_max(100_000).workers(2);
    let server = few(Config::new()).bind(["udp://127.0.0.1:0"]).unwrap().start().unwrap();
    Client::of(server.endpoints().next().unwrap()).echo(b"hello");
    stop(server);
    let both = few(Config::new()).bind(["udp://127.0.0.1:0", "tcp://127.0.0.1:0"]).unwrap().start();
    assert!(matches!(both, Err(StartError::Descriptors { wanted: 100_000, .. })), "{both:?}");
}

#[test]
fn settings_without_bounds_are_bounded() {
    let folder = Folder::new();
    let path = folder.path().join("datagrams");
    let config =
        || Config::new().workers(usize::MAX).idle_timeout(Duration::MAX).stall_timeout(Duration::MAX);
    let server = config().bind([format!("unix-dgram:{}", path.display())]).unwrap().start().unwrap();
    Client::of(server.endpoints().next().unwrap()).echo(b"hello");
    stop(server);
    let config = config().workers(1).connections_per_peer_max(u32::MAX);
    let server = config.bind(["tcp://127.0.0.1:0"]).unwrap().start().unwrap();
    Client::of(server.endpoints().next().unwrap()).echo(b"hello");
    stop(server);
}

#[test]
fn notes_outlive_the_server_that_has_not_started() {
    let bound = Server::bind(["tcp://127.0.0.1:0"]).unwrap();
    let notes: Vec<Note> = bound.notes().to_vec();
    stop(bound.start().unwrap());
    assert!(notes.is_empty());
}

#[test]
fn a_closure_receives_events() {
    let (sender, events) = mpsc::channel();
    let observer = move |event: ServerEvent<'_>| drop(sender.send(format!("{event:?}")));
    let server = config(&["tcp://127.0.0.1:0"]).bind().unwrap().start_with(observer).unwrap();
    let client = Client::of(server.endpoints().next().unwrap());
    client.echo(b"hello");
    let next = || events.recv_timeout(PATIENCE).unwrap();
    assert!(next().starts_with("Connected"));
    assert!(next().starts_with("Message"));
    client.finish();
    assert!(next().starts_with("Closed"));
    stop(server);
}

#[test]
fn waiting_ends_when_the_token_stops() {
    let server = Server::bind(["tcp://127.0.0.1:0"]).unwrap().start().unwrap();
    Client::of(server.endpoints().next().unwrap()).echo(b"hello");
    let (token, (sender, ended)) = (server.stop_token(), mpsc::channel());
    thread::spawn(move || drop(sender.send(server.wait())));
    assert!(matches!(ended.try_recv(), Err(mpsc::TryRecvError::Empty)));
    token.stop();
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap().unwrap().messages, 1);
}

/// Returns the socket of another crate's type.
fn socket(foreign: impl Into<OwnedFd>) -> Socket {
    Socket::try_from(foreign.into()).unwrap()
}

#[test]
fn bound_sockets_are_served_by_several_workers() {
    let folder = Folder::new();
    let [stream, datagrams] = ["stream", "datagrams"].map(|name| folder.path().join(name));
    let sockets = [
        socket(TcpListener::bind("127.0.0.1:0").unwrap()),
        socket(UdpSocket::bind("127.0.0.1:0").unwrap()),
        socket(UdpSocket::bind("0.0.0.0:0").unwrap()),
        socket(UnixListener::bind(&stream).unwrap()),
        socket(UnixDatagram::bind(&datagrams).unwrap()),
    ];
    let server = Config::new().host("here").workers(3).from_sockets(sockets).unwrap().start().unwrap();
    let endpoints: Vec<_> = server.endpoints().cloned().collect();
    assert_eq!(endpoints[3].to_string(), format!("unix:{}", stream.display()));
    for endpoint in &endpoints {
        let clients: Vec<_> = (0..8).map(|_| Client::of(endpoint)).collect();
        clients.iter().for_each(|client| client.echo(b"hello"));
    }
    assert_eq!(stop(server).messages, 40);
    // The program that has bound a path removes it.
    assert!(stream.exists() && datagrams.exists());
}

#[test]
fn a_bound_socket_that_does_not_listen_begins_to() {
    let socket = Socket::new(
        echosounder_socket::Family::INET,
        echosounder_socket::Type::STREAM,
        echosounder_socket::Protocol::DEFAULT,
    );
    let socket = socket.unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = Server::from_sockets([socket]).unwrap().start().unwrap();
    Client::of(server.endpoints().next().unwrap()).echo(b"hello");
    assert_eq!(stop(server).messages, 1);
}

#[test]
fn a_connected_socket_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let error = Server::from_sockets([socket(client)]).unwrap_err();
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
}
