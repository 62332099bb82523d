//! Clients of a UNIX datagram server that do not read their replies.

use echosounder_proto::DropReason;
use echosounder_server::{Running, Totals};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Endpoint, IpVersion, Side, Socket, Transport};
use echosounder_testkit::wait_until;

use crate::harness::{receive, send};
use crate::{Folder, PATIENCE, config, dropped, start, stop, unique};

/// The honest clients of each server, and the most that never read.
const HONEST: usize = 20;
const HOSTILE: usize = 8;

/// A server with honest clients.
struct Server {
    running: Running,
    folder: Folder,
    endpoint: Endpoint,
    /// Whether its clients have paths, or else abstract names.
    has_paths: bool,
    clients: usize,
}

impl Server {
    fn start(has_paths: bool) -> Self {
        let (running, mut endpoints) = start(config(&[&format!("unix-dgram:@{}", unique())]));
        Self { running, folder: Folder::new(), endpoint: endpoints.remove(0), has_paths, clients: 0 }
    }

    fn address(&self) -> Address {
        self.endpoint.resolve(Side::Client, IpVersion::Any).unwrap().remove(0)
    }

    /// Connects a client with a name of its own.
    fn connect(&mut self) -> Socket {
        self.clients += 1;
        let name = match self.has_paths {
            true => UnixName::path(self.folder.path().join(self.clients.to_string())),
            false => UnixName::Unnamed,
        };
        let socket = Transport::UnixDatagram.socket(&self.address()).unwrap();
        socket.bind(name).unwrap();
        socket.connect(self.address()).unwrap();
        socket.set_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn totals(&self) -> Totals {
        self.running.totals()
    }

    /// Connects a client that sends requests of `len` bytes and reads no reply, until the server
    /// drops one. Returns the client.
    fn connect_hostile(&mut self, len: usize) -> Socket {
        let client = self.connect();
        let (request, before) = (vec![b'x'; len], self.totals());
        while self.totals().dropped() == before.dropped() {
            client.send(&request).unwrap();
        }
        client
    }

    /// Counts the honest clients that get a reply.
    fn served(clients: &[Socket]) -> usize {
        let echo = |client: &&Socket| {
            client.send(b"hello").unwrap();
            client.recv(&mut [0; 100]).is_ok_and(|len| 5 <= len)
        };
        clients.iter().filter(echo).count()
    }

    /// Connects clients that never read, one after the other, and counts honest clients that get a
    /// reply meanwhile and afterwards.
    fn attack(&mut self, len: usize) {
        let honest: Vec<Socket> = (0..HONEST).map(|_| self.connect()).collect();
        assert_eq!(Self::served(&honest), HONEST);
        let mut hostile = Vec::new();
        for number in 1..=HOSTILE {
            hostile.push(self.connect_hostile(len));
            assert_eq!(Self::served(&honest), HONEST, "{number} clients do not read {len} bytes");
        }
        drop(hostile);
        let before = self.totals();
        assert_eq!(Self::served(&honest), HONEST);
        assert_eq!(self.totals().dropped(), before.dropped());
    }
}

#[test]
fn clients_that_never_read_do_not_silence_others() {
    for has_paths in [false, true] {
        for len in [72, 64 * 1024] {
            let mut server = Server::start(has_paths);
            server.attack(len);
            let totals = stop(server.running);
            let unread = dropped(&totals, DropReason::Unread);
            assert!(HOSTILE as u64 <= unread && unread == totals.dropped(), "{totals:?}");
        }
    }
}

/// The kernel itself holds 11 replies at most for a client that is not connected:
/// net.unix.max_dgram_qlen.
#[test]
fn an_unconnected_client_that_never_reads_does_not_silence_others() {
    let mut server = Server::start(false);
    let honest = [server.connect()];
    let hostile = Transport::UnixDatagram.socket(&server.address()).unwrap();
    hostile.bind(UnixName::Unnamed).unwrap();
    for len in [72, 64 * 1024] {
        for _ in 0..50 {
            hostile.send_to(&vec![b'x'; len], server.address()).unwrap();
        }
        assert_eq!(Server::served(&honest), 1);
    }
    assert!(0 < stop(server.running).dropped());
}

#[test]
fn a_busy_client_beside_one_that_never_reads_gets_its_share_back() {
    // Several times what one share holds.
    const REPLIES: usize = 3_000;
    for has_paths in [false, true] {
        let mut server = Server::start(has_paths);
        let busy = server.connect();
        let _hostile = server.connect_hostile(1000);
        busy.set_nonblocking(true).unwrap();
        let mut replies = 0;
        while replies < REPLIES {
            let before = dropped(&server.totals(), DropReason::Unread);
            wait_until("a request is sent", || send(&busy, b"hello") == 5);
            wait_until("a reply arrives or is dropped", || {
                let has_arrived = receive(&busy, 100).is_some();
                replies += usize::from(has_arrived);
                has_arrived || before < dropped(&server.totals(), DropReason::Unread)
            });
        }
        stop(server.running);
    }
}
