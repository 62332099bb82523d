//! Whose connections make room when the server is full, and who may connect at all.
//!
//! Every address of 127.0.0.0/8 is a peer of its own. The workers' clock stands still while the
//! kernel delivers, so that times are exact on a busy machine.

use std::env;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use echosounder_proto::{DropReason, Framing};
use echosounder_server::DisconnectReason;
use echosounder_server::internal::{BACKLOG_MAX, Limits, Timeouts};
use echosounder_socket::{Address, Endpoint, Interest, IpVersion, Side, Socket, Transport, option, ready};
use echosounder_testkit::{PATIENCE, finish, installed, may_run, wait_until};

use crate::harness::{TestWorker, receive, send};
use crate::{Client, config, dropped, start, stop, unique};

const MILLISECOND: i64 = 1_000_000;

/// The places of a server in these tests, and the connections that one address opens.
const PLACES: usize = 50;
const CROWD: usize = 120;

/// A worker with a TCP listener.
struct Full {
    server: TestWorker,
    address: Address,
}

impl Full {
    fn new(places: usize) -> Self {
        let timeouts = Timeouts { idle: None, stall: Duration::from_secs(60) };
        let limits = Limits::new(places, None);
        let mut server = TestWorker::with_limits("none", Framing::default(), BACKLOG_MAX, limits, timeouts);
        let listener = Transport::Tcp.socket(&any_port([127, 0, 0, 1])).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener.set_option(option::SO_SNDBUF, 4096).unwrap();
        listener.bind(any_port([127, 0, 0, 1])).unwrap();
        listener.listen().unwrap();
        let address = listener.local_addr().unwrap();
        server.worker.serve(listener, Transport::Tcp).unwrap();
        Self { server, address }
    }

    /// Connects a client from an address of its own. It may still be in the listener's queue.
    fn connect(&self, ip: [u8; 4]) -> Socket {
        let socket = connect_from(any_port(ip), &self.address).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    /// Lets `millis` pass.
    fn pass(&mut self, millis: i64) {
        self.server.clock.step(millis * MILLISECOND, millis * MILLISECOND);
        self.server.settle();
    }

    /// Sends a message of each client and waits for its reply. The clock stands still.
    fn echo(&mut self, clients: &[&Socket]) {
        for client in clients {
            assert_eq!(send(client, b"hello"), 5);
        }
        for client in clients {
            wait_until("a reply arrives", || {
                self.server.turn();
                receive(client, 100).is_some_and(|bytes| bytes == b"hello")
            });
        }
    }

    /// Waits until this many connections are open.
    fn wait_for_connections(&mut self, count: usize) {
        wait_until("clients are connected", || {
            self.server.turn();
            self.server.worker.connections() == count
        });
    }

    fn disconnects(&self, reason: DisconnectReason) -> u64 {
        self.server.totals().disconnected_for(reason)
    }
}

fn any_port(ip: [u8; 4]) -> Address {
    (Ipv4Addr::from(ip), 0).into()
}

fn connect_from(source: Address, server: &Address) -> io::Result<Socket> {
    let socket = Transport::Tcp.socket(server).unwrap();
    socket.set_option(option::SO_RCVBUF, 4096).unwrap();
    socket.set_timeout(Some(PATIENCE)).unwrap();
    socket.bind(&source).unwrap();
    socket.connect(server)?;
    Ok(socket)
}

#[test]
fn a_newcomer_replaces_an_idle_connection_of_the_address_that_has_all() {
    let mut full = Full::new(PLACES);
    let _crowd: Vec<Socket> = (0..CROWD).map(|_| full.connect([127, 0, 0, 2])).collect();
    full.wait_for_connections(PLACES);
    full.pass(2_000);
    let newcomer = full.connect([127, 0, 0, 3]);
    // Those that came before it replace connections of their own address first.
    full.pass(0);
    full.pass(600);
    full.echo(&[&newcomer]);
    full.pass(10_000);
    full.echo(&[&newcomer]);
    assert_eq!(full.server.worker.connections(), PLACES);
}

#[test]
fn a_newcomer_replaces_an_active_connection_of_the_address_that_has_all() {
    let mut full = Full::new(PLACES);
    let crowd: Vec<Socket> = (0..PLACES).map(|_| full.connect([127, 0, 0, 2])).collect();
    full.wait_for_connections(PLACES);
    let _waiting: Vec<Socket> = (PLACES..CROWD).map(|_| full.connect([127, 0, 0, 2])).collect();
    let all: Vec<&Socket> = crowd.iter().collect();
    full.pass(400);
    full.echo(&all);
    let newcomer = full.connect([127, 0, 0, 3]);
    full.pass(0);
    full.pass(300);
    full.echo(&all);
    // The newcomer has waited for 700 ms and no other connection for more than 400.
    full.pass(400);
    full.echo(&[&newcomer]);
    assert_eq!(full.disconnects(DisconnectReason::Evicted), 1);
    // Those that came before the newcomer, from the address that has most, are refused.
    assert_eq!(full.disconnects(DisconnectReason::Refused), (CROWD - PLACES) as u64);
}

#[test]
fn a_newcomer_replaces_a_stalled_connection_of_the_address_that_has_all() {
    const STALLED: usize = 8;
    let mut full = Full::new(STALLED);
    let crowd: Vec<Socket> = (0..STALLED).map(|_| full.connect([127, 0, 0, 2])).collect();
    full.wait_for_connections(STALLED);
    for client in &crowd {
        let mut refusals = 0;
        // The kernel may deliver a while after the send.
        while refusals < 5 {
            refusals = if send(client, &[b'x'; 16 * 1024]) == 0 { refusals + 1 } else { 0 };
            full.server.settle();
            let _ = ready([(client.as_fd(), Interest::WRITE)], Some(Duration::from_millis(5)));
        }
    }
    full.pass(1_500);
    let newcomer = full.connect([127, 0, 0, 3]);
    full.echo(&[&newcomer]);
    assert_eq!(full.disconnects(DisconnectReason::Evicted), 1);
    assert_eq!(crowd.iter().filter(|client| is_lost(client)).count(), 1);
}

/// Receives what has arrived, and returns whether the connection has ended.
fn is_lost(socket: &Socket) -> bool {
    loop {
        match socket.recv(&mut [0; 64 * 1024]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn idle_connections_of_others_stay_when_one_address_opens_many() {
    let mut full = Full::new(PLACES);
    let honest: Vec<Socket> = (1..=10).map(|host| full.connect([127, 0, 1, host])).collect();
    let honest: Vec<&Socket> = honest.iter().collect();
    full.wait_for_connections(honest.len());
    full.echo(&honest);
    full.pass(3_000);
    let _crowd: Vec<Socket> = (0..CROWD).map(|_| full.connect([127, 0, 0, 2])).collect();
    full.wait_for_connections(PLACES);
    for _ in 0..20 {
        full.pass(500);
    }
    full.echo(&honest);
    assert_eq!(full.server.worker.connections(), PLACES);
    assert_eq!(full.server.totals().connections, 10 + full.disconnects(DisconnectReason::Evicted) + 40);
}

/// Runs the rest of the test `name` in a network namespace in which the host has all addresses of
/// 2001:db8::/32. Returns whether this is that run.
fn is_in_namespace(name: &str) -> bool {
    const MARK: &str = "SOUNDER_TEST_IN_NAMESPACE";
    if env::var_os(MARK).is_some() {
        return true;
    }
    let setup = "ip link set lo up && ip -6 route add local 2001:db8::/32 dev lo \
                 && echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind && exec \"$@\"";
    let (Some(mut unshare), Some(_)) = (installed("unshare"), installed("ip")) else { return false };
    unshare.args(["--map-root-user", "--net", "sh", "-c", setup, "sh"]);
    let Some(mut command) = may_run(unshare) else { return false };
    command.arg(env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]).env(MARK, "1");
    let done = finish(&mut command, b"");
    assert_eq!(done.code, Some(0), "{}{}", String::from_utf8_lossy(&done.stdout), done.stderr);
    false
}

#[test]
fn three_hundred_networks_of_one_site_have_a_quarter_of_all_connections() {
    if !is_in_namespace("fairness::three_hundred_networks_of_one_site_have_a_quarter_of_all_connections") {
        return;
    }
    let plan = config(&["tcp://[2001:db8:1::1]:0"]).with(|config| config.connections_max = Some(400));
    let (running, endpoints) = start(plan);
    let server = endpoints[0].resolve(Side::Client, IpVersion::Any).unwrap().remove(0);
    let connect = |network: u128, site: u128| {
        let ip: IpAddr = IpAddr::V6(((0x2001_0db8 << 96) | (site << 80) | (network << 64) | 1).into());
        let client = connect_from((ip, 0).into(), &server).unwrap();
        // A refused client may have been disconnected already.
        let _ = client.send(b"hello");
        let is_served = client.recv(&mut [0; 100]).is_ok_and(|len| len != 0);
        is_served.then_some(client)
    };
    let of_one_site: Vec<Socket> = (0..300).filter_map(|network| connect(network, 7)).collect();
    assert_eq!(of_one_site.len(), 100);
    assert!(connect(0, 8).is_some());
    assert_eq!(stop(running).disconnected_for(DisconnectReason::Refused), 200);
}

#[test]
fn the_connections_of_a_unix_user_are_counted() {
    let name = format!("unix:@{}", unique());
    let (running, endpoints) =
        start(config(&[&name]).with(|config| config.connections_per_peer_max = Some(2)));
    let clients = [Client::of(&endpoints[0]), Client::of(&endpoints[0])];
    clients.iter().for_each(|client| client.echo(b"hello"));
    assert_eq!(Client::of(&endpoints[0]).recv(), b"");
    assert_eq!(stop(running).disconnected_for(DisconnectReason::Refused), 1);
}

#[test]
fn clients_in_a_denied_network_get_a_reset_and_no_bytes() {
    let plan = config(&["tcp://127.0.0.1:0"]).with(|config| {
        config.denied_networks = vec!["127.0.0.2".parse().unwrap()];
    });
    let (running, endpoints) = start(plan);
    let server = endpoints[0].resolve(Side::Client, IpVersion::Any).unwrap().remove(0);
    // The reset may arrive before the connect returns.
    let denied = connect_from(any_port([127, 0, 0, 2]), &server);
    let error = denied.and_then(|socket| socket.recv(&mut [0; 10])).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    Client::of(&endpoints[0]).echo(b"hello");
    let totals = stop(running);
    assert_eq!((totals.connections, totals.disconnected_for(DisconnectReason::Denied)), (1, 1));
}

#[test]
fn datagrams_from_outside_the_allowed_network_are_dropped() {
    let plan = config(&["udp://127.0.0.1:0"]).with(|config| {
        config.allowed_networks = vec!["127.0.0.1".parse().unwrap()];
    });
    let (running, endpoints) = start(plan);
    let server = endpoints[0].resolve(Side::Client, IpVersion::Any).unwrap().remove(0);
    let other = Transport::Udp.socket(&server).unwrap();
    other.bind(any_port([127, 0, 0, 2])).unwrap();
    other.connect(&server).unwrap();
    other.send(b"hello").unwrap();
    Client::of(&endpoints[0]).echo(b"hello");
    let totals = stop(running);
    assert_eq!((totals.messages, dropped(&totals, DropReason::Denied)), (1, 1));
}

#[test]
fn only_allowed_users_are_served_on_unix_sockets() {
    let own = std::fs::metadata("/proc/self").unwrap().uid();
    for (user, is_served) in [(own, true), (own + 1, false)] {
        let names = ["unix", "unix-dgram"].map(|scheme| format!("{scheme}:@{}", unique()));
        let plan = config(&[&names[0], &names[1]]).with(|config| config.allowed_users = vec![user]);
        let (running, endpoints) = start(plan);
        let [connection, datagrams] =
            [&endpoints[0], &endpoints[1]].map(|endpoint: &Endpoint| Client::of(endpoint));
        if is_served {
            connection.echo(b"hello");
            datagrams.echo(b"hello");
        } else {
            assert!(connection.socket.recv(&mut [0; 10]).map_or(true, |len| len == 0));
            datagrams.send(b"hello");
        }
        let totals = stop(running);
        let denied =
            (totals.disconnected_for(DisconnectReason::Denied), dropped(&totals, DropReason::Denied));
        assert_eq!(denied, if is_served { (0, 0) } else { (1, 1) });
    }
}
