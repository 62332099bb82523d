//! Python's socket module as an independent peer, which checks addresses and bytes.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::thread;

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{Address, Family, Kind};

use crate::family::{Fixture, pattern};
use crate::{skip, wait_readable};

const PEER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peer.py");

/// The path of Python, and the families that its socket module lacks.
static PYTHON: LazyLock<Result<String, String>> = LazyLock::new(|| {
    let families = "('AF_TIPC', 'AF_VSOCK', 'AF_NETLINK')";
    let question = format!(
        "import socket, sys; print(sys.executable, *(f for f in {families} if not hasattr(socket, f)))"
    );
    match Command::new("python3").args(["-c", &question]).output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8(output.stdout).unwrap().trim_end().into())
        }
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into()),
        Err(error) => Err(error.to_string()),
    }
});

/// A process that runs Python.
struct Python {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Python {
    /// Starts a Python peer for a fixture, if its Python supports the family.
    fn start(fixture: &Fixture, role: &str, address: &Address, lengths: &[usize]) -> Option<Self> {
        let found = match &*PYTHON {
            Err(why) => return skip_python(why),
            Ok(found) => found,
        };
        let (program, lacks) = found.split_once(' ').unwrap_or((found, ""));
        if lacks.split(' ').any(|family| family == fixture.family.to_string()) {
            return skip_python(&format!("it has no {}", fixture.family));
        }
        let version = if fixture.family == Family::INET6 { "6" } else { "4" };
        let mut command = Command::new(program);
        command.args(["-I", "-S", PEER, role, fixture.transport.scheme(), version]);
        command.args(words(address).split(' '));
        if role == "client" {
            command.arg("--").args(lengths.iter().map(ToString::to_string));
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Some(Self { child, lines })
    }

    /// Returns the next line that the process prints.
    fn next_line(&mut self) -> String {
        if self.lines.buffer().is_empty() {
            wait_readable(self.lines.get_ref());
        }
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().into()
    }
}

fn skip_python<T>(why: &str) -> Option<T> {
    skip("python3", why);
    None
}

impl Drop for Python {
    fn drop(&mut self) {
        // A process that has ended cannot be killed, which is fine.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Writes an address as the Python peer expects it.
fn words(address: &Address) -> String {
    let hex = |name: &[u8]| name.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match address {
        Address::Inet(address) => format!("{} {}", address.ip(), address.port()),
        Address::Inet6(address) => format!("{} {}", address.ip(), address.port()),
        Address::Unix(UnixName::Unnamed) => "-".into(),
        Address::Unix(UnixName::Abstract(name)) => format!("00{}", hex(name)),
        Address::Unix(UnixName::Path(path)) => hex(path),
        Address::Netlink(address) => format!("{} {}", address.port_id, address.groups),
        Address::Vsock(address) => format!("{} {}", address.cid, address.port),
        Address::Tipc(TipcAddress::Socket { node, reference }) => format!("3 {node} {reference}"),
        Address::Tipc(TipcAddress::Service { service, instance, .. }) => format!("2 {service} {instance}"),
        other => panic!("the peer does not know {other}"),
    }
}

/// Parses an address that the Python peer has printed.
fn address(fixture: &Fixture, output: &str) -> Address {
    let words: Vec<&str> = output.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    match fixture.family {
        Family::INET | Family::INET6 => {
            let ip: std::net::IpAddr = words[0].parse().unwrap();
            (ip, words[1].parse().unwrap()).into()
        }
        Family::UNIX => {
            let digits = words[0].as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
            let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
            assert_eq!(bytes[0], 0, "it has been given an abstract name");
            UnixName::Abstract(bytes[1..].into()).into()
        }
        Family::NETLINK => NetlinkAddress { port_id: number(0), groups: number(1) }.into(),
        Family::VSOCK => VsockAddress { cid: number(0), port: number(1) }.into(),
        Family::TIPC => {
            assert_eq!(words[0], "2");
            TipcAddress::service(number(1), number(2)).into()
        }
        other => panic!("the peer does not know {other}"),
    }
}

/// Returns lengths that fit the buffers of a stream in both directions, and the maximum message
/// length.
fn lengths(fixture: &Fixture) -> Vec<usize> {
    let longest = fixture.message_max().filter(|_| fixture.transport.kind() != Kind::Stream);
    [1, 1000, 65_483].into_iter().chain(longest).collect()
}

pub(crate) fn python_server_echoes(fixture: &Fixture) {
    let Some(mut python) = Python::start(fixture, "server", &fixture.address(), &[]) else { return };
    let name = address(fixture, &python.next_line());
    let client = fixture.client_socket();
    client.connect(&name).unwrap();
    let connection = fixture.transport.has_connections();
    if connection {
        let us = python.next_line();
        if fixture.family == Family::VSOCK {
            // The peer sees our context id; our own socket reports "any".
            assert_eq!(us.split(' ').nth(1), words(&client.local_addr().unwrap()).split(' ').nth(1));
        } else {
            assert_eq!(us, words(&client.local_addr().unwrap()));
        }
        assert_eq!(python.next_line(), words(&client.peer_addr().unwrap()));
    }
    let lengths = lengths(fixture);
    for &len in &lengths {
        thread::scope(|scope| {
            scope.spawn(|| client.send_all(&pattern(len)).unwrap());
            assert!(fixture.receive_all(&client, len) == pattern(len), "{len} bytes have changed");
        });
        if !connection {
            assert_eq!(python.next_line(), words(&client.local_addr().unwrap()));
        }
    }
    if connection {
        drop(client);
        assert_eq!(python.next_line(), format!("received {}", lengths.iter().sum::<usize>()));
    } else {
        client.send(b"stop").unwrap();
        assert_eq!(fixture.receive_one(&client), b"stop");
        assert_eq!(python.next_line(), words(&client.local_addr().unwrap()));
    }
    assert!(python.child.wait().unwrap().success());
}

pub(crate) fn python_client_gets_echoes(fixture: &Fixture) {
    let (server, name) = fixture.server();
    let lengths = lengths(fixture);
    let Some(mut python) = Python::start(fixture, "client", &name, &lengths) else { return };
    if fixture.transport.has_connections() {
        let (connection, peer) = server.accept().unwrap();
        let them = python.next_line();
        if fixture.family == Family::VSOCK {
            assert_eq!(them.split(' ').nth(1), words(&peer).split(' ').nth(1));
        } else {
            assert_eq!(them, words(&peer));
        }
        assert_eq!(python.next_line(), words(&connection.local_addr().unwrap()));
        for &len in &lengths {
            let received = fixture.receive_all(&connection, len);
            assert!(received == pattern(len), "{len} bytes have changed");
            connection.send_all(&received).unwrap();
            assert_eq!(python.next_line(), format!("{len} same"));
        }
        assert_eq!(python.next_line(), "done");
        assert_eq!(fixture.receive_one(&connection), b"");
    } else {
        let them = python.next_line();
        let mut buffer = vec![0; 1 << 18];
        for &len in &lengths {
            let (received, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(words(&from), them);
            assert!(buffer[..received] == pattern(len), "{len} bytes have changed");
            assert_eq!(server.send_to(&buffer[..received], &from).unwrap(), len);
            assert_eq!(python.next_line(), format!("{len} same"));
        }
        assert_eq!(python.next_line(), "done");
    }
    assert!(python.child.wait().unwrap().success());
}
