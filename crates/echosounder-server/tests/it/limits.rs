//! Timeouts of connections, limits of their number, and evictions.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use echosounder_proto::{FRAME_MAX, Framing};
use echosounder_server::internal::{BACKLOG_MAX, Limits, Timeouts, WorkerLimits};
use echosounder_server::{Config, DisconnectReason, Totals};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::option::BufferLocks;
use echosounder_socket::{
    Endpoint, Interest, IpVersion, Kind, ServerOptions, Side, Socket, Transport, create_server, option, ready,
};
use echosounder_testkit::{flush_loopback, skip, wait_until};

use crate::harness::{TestWorker, receive, send};
use crate::{Client, Event, Folder, Reason, all_endpoints, config, line, start, stop, unique};

const SECOND: i64 = 1_000_000_000;

/// Bytes of buffer that hold several reads.
const BUFFER: i32 = 128 * 1024;

fn worker(limits: Limits, idle: Option<u64>, stall: u64) -> TestWorker {
    let timeouts = Timeouts { idle: idle.map(Duration::from_secs), stall: Duration::from_secs(stall) };
    TestWorker::with_limits("none", Framing::default(), BACKLOG_MAX, limits, timeouts)
}

fn disconnects(totals: &Totals, reason: DisconnectReason) -> u64 {
    totals.disconnected_for(reason)
}

/// Returns whether the connection has ended or has been reset.
fn is_connection_lost(socket: &Socket) -> bool {
    loop {
        match socket.recv(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// Returns a listener with a unique name.
fn listen() -> (Socket, Endpoint) {
    let endpoint: Endpoint = format!("unix:@{}", unique()).parse().unwrap();
    (listen_at(&endpoint), endpoint)
}

fn listen_at(endpoint: &Endpoint) -> Socket {
    let address = endpoint.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
    let listener = endpoint.transport().socket(&address).unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.bind(&address).unwrap();
    listener.listen().unwrap();
    listener
}

/// Connects a client, which may still be in the listener's queue.
fn connect(endpoint: &Endpoint) -> Socket {
    let socket = Client::of(endpoint).socket;
    socket.set_nonblocking(true).unwrap();
    socket
}

#[test]
fn a_client_that_sends_nothing_is_disconnected_after_the_idle_timeout() {
    let mut server = worker(Limits::new(10, None), Some(30), 60);
    let idle_client = server.connect(Transport::UnixStream, "idle", 4096);
    server.clock.step(20 * SECOND, 20 * SECOND);
    let active = server.connect(Transport::UnixStream, "active", 4096);
    server.turn();
    server.clock.step(9 * SECOND, 9 * SECOND);
    send(&active, b"here");
    server.turn();
    assert_eq!(receive(&active, 100), Some(b"here".into()));
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Idle), 0);

    server.clock.step(-3600 * SECOND, 2 * SECOND);
    let reason = Reason::Disconnected(DisconnectReason::Idle);
    assert_eq!(server.turn(), [Event::Closed("@idle".into(), 0, reason)]);
    assert_eq!((disconnects(&server.totals(), DisconnectReason::Idle), server.worker.connections()), (1, 1));
    assert_eq!(receive(&idle_client, 100), Some(Vec::new()));
    assert_eq!(receive(&active, 100), None);
}

#[test]
fn a_client_that_receives_too_little_is_disconnected_after_the_stall_timeout() {
    let mut server = worker(Limits::new(10, None), None, 30);
    let stalled = server.connect(Transport::UnixStream, "stalled", BUFFER);
    let drip = server.connect(Transport::UnixStream, "drip", BUFFER);
    let slow = server.connect(Transport::UnixStream, "slow", BUFFER);
    let fill = |server: &mut TestWorker, client| {
        while send(client, &[b'x'; 65_536]) != 0 {
            server.turn();
        }
    };
    for client in [&stalled, &drip, &slow] {
        fill(&mut server, client);
    }
    for second in 1..=120 {
        server.clock.step(SECOND, SECOND);
        if second < 30 {
            assert!(receive(&drip, 1024).is_some_and(|bytes| bytes.len() == 1024));
        }
        // The kernel reports buffer space when three quarters of it are free: unix_writable of
        // net/unix/af_unix.c.
        assert!(receive(&slow, 10_000).is_some_and(|bytes| bytes.len() == 10_000));
        fill(&mut server, &slow);
        server.turn();
        let is_overdue = 30 <= second;
        assert_eq!(disconnects(&server.totals(), DisconnectReason::Stalled), 2 * u64::from(is_overdue));
    }
    assert!(is_connection_lost(&stalled) && is_connection_lost(&drip));
    assert_eq!(server.worker.connections(), 1);
}

#[test]
fn a_line_must_end_within_the_stall_timeout() {
    let timeouts = Timeouts { idle: None, stall: Duration::from_secs(30) };
    let limits = Limits::new(10, None);
    let mut server = TestWorker::with_limits("none", line(FRAME_MAX), BACKLOG_MAX, limits, timeouts);
    let endless = server.connect(Transport::UnixStream, "endless", 4096);
    let slow = server.connect(Transport::UnixStream, "slow", 4096);
    let idle = server.connect(Transport::UnixStream, "idle", 4096);
    for second in 0..100 {
        if second <= 30 {
            send(&endless, b"x");
        }
        // Lines that overlap the turns: each ends in time.
        send(&slow, if second % 20 == 0 { b"\nx" } else { b"x" });
        let closed = server.turn();
        server.clock.step(SECOND, SECOND);
        match second {
            30 => {
                let reason = Reason::Disconnected(DisconnectReason::Unfinished);
                assert_eq!(closed, [Event::Closed("@endless".into(), 0, reason)]);
            }
            _ => assert!(!closed.iter().any(|event| matches!(event, Event::Closed(..))), "{closed:?}"),
        }
    }
    assert_eq!(receive(&endless, 100), Some(Vec::new()));
    assert_eq!(receive(&idle, 100), None);
    assert_eq!(server.totals().disconnected(), 1);
}

#[test]
fn when_memory_is_short_the_oldest_unfinished_lines_are_cut_not_the_new_ones() {
    let mut server = TestWorker::new("none", line(FRAME_MAX), 1 << 20);
    let silent: Vec<Socket> = (0..40)
        .map(|number| {
            let client = server.connect(Transport::UnixStream, &format!("silent{number}"), 1 << 18);
            assert_eq!(send(&client, &[b'x'; 60_000]), 60_000);
            server.settle();
            client
        })
        .collect();
    let honest = server.connect(Transport::UnixStream, "honest", 1 << 18);
    for _ in 0..20 {
        send(&honest, &[b'a'; 20_000]);
        server.settle();
        assert_eq!(receive(&honest, 1), None, "the line has no end yet");
        send(&honest, b"b\n");
        server.settle();
        assert_eq!(receive(&honest, 1 << 16).map(|line| line.len()), Some(20_002));
    }
    let replied = silent.iter().map(|client| receive(client, 1 << 16).is_some()).collect::<Vec<_>>();
    let cut = replied.iter().filter(|&&cut| cut).count();
    assert!((20..40).contains(&cut) && replied[..cut].iter().all(|&cut| cut), "{replied:?}");
}

/// Connects over TCP and returns both ends; the server has its own descriptor of the first.
fn connect_tcp(server: &mut TestWorker) -> (Socket, Socket) {
    connect_tcp_with(server, |_| {})
}

/// Connects a TCP client whose socket `set_up` changes before. Returns both ends.
fn connect_tcp_with(server: &mut TestWorker, set_up: impl FnOnce(&Socket)) -> (Socket, Socket) {
    let listener = create_server(("127.0.0.1", 0), ServerOptions::default()).unwrap();
    listener.set_option(option::TCP_NOTSENT_LOWAT, 65_536).unwrap();
    let address = listener.local_addr().unwrap();
    let client = Transport::Tcp.socket(&address).unwrap();
    set_up(&client);
    client.connect(&address).unwrap();
    let (near, peer) = listener.accept().unwrap();
    for end in [&near, &client] {
        end.set_nonblocking(true).unwrap();
    }
    server.worker.adopt(near.try_clone().unwrap(), peer, Transport::Tcp).unwrap();
    (near, client)
}

#[test]
fn the_kernel_holds_little_for_a_client_that_never_reads() {
    let mut server = worker(Limits::new(10, None), None, 60);
    for _ in 0..5 {
        let (near, client) = connect_tcp(&mut server);
        stall(&mut server, &client);
        let memory = near.option(option::SO_MEMINFO).unwrap();
        let held = memory.rmem_alloc + memory.wmem_queued;
        assert!(held <= 160 * 1024, "{memory:?}");
    }
}

/// Connects over a UNIX stream and returns both ends.
fn connect_unix(server: &mut TestWorker) -> (Socket, Socket) {
    let (near, client) = UnixStream::pair().unwrap();
    let [near, client] = [near, client].map(|end| Socket::from_fd(end.into()).unwrap());
    for end in [&near, &client] {
        end.set_nonblocking(true).unwrap();
    }
    let peer = UnixName::Unnamed.into();
    server.worker.adopt(near.try_clone().unwrap(), peer, Transport::UnixStream).unwrap();
    (near, client)
}

#[test]
fn the_kernel_holds_little_for_a_unix_client_that_never_reads() {
    for len in [100, 65_536] {
        let mut server = worker(Limits::new(10, None), None, 60);
        let (near, client) = connect_unix(&mut server);
        stall_with(&mut server, &client, len);
        let memory = near.option(option::SO_MEMINFO).unwrap();
        assert!((64 << 10..=160 << 10).contains(&memory.wmem_alloc), "{len}: {memory:?}");
    }
}

#[test]
fn a_unix_client_that_reads_gets_a_large_buffer() {
    let mut server = worker(Limits::new(10, None), None, 60);
    let (near, client) = connect_unix(&mut server);
    let limited = near.option(option::SO_SNDBUF).unwrap();
    let mut received = 0;
    while received < 1 << 20 {
        send(&client, &[b'x'; 65_536]);
        server.turn();
        received += receive(&client, 1 << 20).map_or(0, |reply| reply.len());
    }
    let size = near.option(option::SO_SNDBUF).unwrap();
    assert!(limited <= 96 * 1024 && limited < size, "{limited} {size}");
}

#[test]
fn a_client_that_reads_gets_the_kernels_own_buffer_sizes_back() {
    let mut server = worker(Limits::new(10, None), None, 60);
    let (near, client) = connect_tcp(&mut server);
    let Ok(unlocked) = near.option(option::SO_BUF_LOCK) else {
        return skip("SO_BUF_LOCK", "the kernel has no such option");
    };
    let (mut received, mut was_limited) = (0, false);
    while received < 4 << 20 {
        send(&client, &[b'x'; 65_536]);
        server.turn();
        was_limited |= near.option(option::SO_BUF_LOCK).unwrap().contains(BufferLocks::RECEIVE);
        let Some(reply) = receive(&client, 1 << 16) else {
            // Some kernels acknowledge late.
            ready([(client.as_fd(), Interest::READ)], Some(Duration::from_millis(10))).unwrap();
            continue;
        };
        received += reply.len();
    }
    assert!(was_limited);
    assert_eq!(near.option(option::SO_BUF_LOCK).unwrap(), unlocked);
    assert_eq!(near.option(option::TCP_NOTSENT_LOWAT).unwrap(), 65_536);
}

/// Sends from a client that does not read, until neither side takes more.
fn stall(server: &mut TestWorker, client: &Socket) {
    stall_with(server, client, 65_536);
}

/// Sends `len` bytes at a time from a client that does not read, until neither side takes more.
fn stall_with(server: &mut TestWorker, client: &Socket, len: usize) {
    let mut unchanged = 0;
    while unchanged < 1000 {
        let before = server.totals().bytes;
        let sent = send(client, &vec![b'x'; len]);
        server.turn();
        unchanged = if sent == 0 && before == server.totals().bytes { unchanged + 1 } else { 0 };
    }
}

/// Limit of the kernel's memory for the stalled clients of [`ShortOfMemory`].
///
/// A kernel holds 50 to 140 KiB for each of the greedy ones, so the last of them does not exceed twice
/// the limit, beyond which no client is spared.
const MEMORY_MAX: u64 = 300 * 1024;

/// A worker with a stalled client for which the kernel holds little, and others, not stalled yet.
struct ShortOfMemory {
    server: TestWorker,
    frugal: (Socket, Socket),
    greedy: Vec<(Socket, Socket)>,
}

impl ShortOfMemory {
    fn new() -> Self {
        let limits = WorkerLimits {
            shared: Arc::new(Limits::new(100, None)),
            access: Arc::default(),
            timeouts: Timeouts { idle: None, stall: Duration::from_secs(60) },
            backlog_max: BACKLOG_MAX,
            socket_memory_max: MEMORY_MAX,
        };
        let mut server = TestWorker::with_worker_limits("none", Framing::default(), limits);
        let small_buffer = |client: &Socket| client.set_option(option::SO_RCVBUF, 4096).unwrap();
        let frugal = connect_tcp_with(&mut server, small_buffer);
        frugal.0.set_option(option::SO_SNDBUF, 4096).unwrap();
        send(&frugal.1, &[b'x'; 65_536]);
        server.settle();
        Self { server, frugal, greedy: Vec::new() }
    }

    /// Connects greedy clients that send without reading, until the kernel holds more than the limit.
    /// Returns what it holds for each.
    fn stall_all(&mut self) -> Vec<u64> {
        while self.greedy.iter().map(|(near, _)| held(near)).sum::<u64>() <= MEMORY_MAX {
            let greedy = connect_tcp(&mut self.server);
            stall(&mut self.server, &greedy.1);
            self.greedy.push(greedy);
        }
        let (all, frugal): (Vec<u64>, u64) =
            (self.greedy.iter().map(|(near, _)| held(near)).collect(), held(&self.frugal.0));
        assert!(all.iter().all(|&bytes| frugal < bytes), "{all:?}");
        all
    }
}

/// Returns the bytes that the kernel holds in the queues of a TCP socket.
fn held(near: &Socket) -> u64 {
    let memory = near.option(option::SO_MEMINFO).unwrap();
    u64::from(memory.rmem_alloc + memory.wmem_queued)
}

#[test]
fn stalled_clients_that_hold_most_kernel_memory_are_disconnected_when_it_is_short() {
    let mut short = ShortOfMemory::new();
    let (_, honest) = connect_tcp(&mut short.server);
    // The clock stands still, so the worker checked once, when the first client stalled.
    let all = short.stall_all();
    let ShortOfMemory { mut server, frugal, greedy } = short;
    let frugal_bytes = held(&frugal.0);
    // A reset needs the last descriptor of the server's end.
    let greedy: Vec<Socket> = greedy.into_iter().map(|(_, client)| client).collect();
    server.clock.step(0, SECOND);
    server.turn();
    let lost = disconnects(&server.totals(), DisconnectReason::Memory);
    let cut: Vec<bool> = greedy.iter().map(is_connection_lost).collect();
    assert_eq!(cut.iter().filter(|&&cut| cut).count() as u64, lost, "{all:?}");
    let rest: u64 = all.iter().zip(&cut).filter(|&(_, &cut)| !cut).map(|(bytes, _)| bytes).sum();
    assert!(lost != 0 && lost < greedy.len() as u64 && rest + frugal_bytes <= MEMORY_MAX, "{all:?} {cut:?}");
    assert!(!is_connection_lost(&frugal.1));
    send(&honest, b"hello");
    let reply = std::iter::repeat_with(|| {
        server.turn();
        receive(&honest, 100)
    });
    assert_eq!(reply.flatten().next().unwrap(), b"hello");
}

#[test]
fn clients_that_received_just_now_are_spared_when_kernel_memory_is_short() {
    let mut short = ShortOfMemory::new();
    short.server.clock.step(0, SECOND);
    short.stall_all();
    let ShortOfMemory { mut server, frugal: (near, client), .. } = short;
    drop(near);
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Memory), 0);
    server.clock.step(0, SECOND / 10);
    server.turn();
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Memory), 1);
    assert!(is_connection_lost(&client), "it stalled a second before the others");
}

#[test]
fn the_kernel_gives_up_a_client_whose_host_is_gone_within_a_minute() {
    let socket = Endpoint::from_str("tcp://127.0.0.1:0").unwrap();
    let address = socket.resolve(Side::Server, IpVersion::Any).unwrap().remove(0);
    for (stall_s, user_timeout_ms) in [(1, 50_000), (45, 50_000), (100, 105_000)] {
        let listener = Transport::Tcp.socket(&address).unwrap();
        listener.bind(&address).unwrap();
        let shared = listener.try_clone().unwrap();
        let server = Config::new().stall_timeout(Duration::from_secs(stall_s)).from_sockets([listener]);
        let get = |option| shared.option(option).unwrap();
        let (idle_s, interval_s) = (get(option::TCP_KEEPIDLE), get(option::TCP_KEEPINTVL));
        assert_eq!(get(option::TCP_USER_TIMEOUT), user_timeout_ms);
        // The kernel looks at the timeout when it asks: at these seconds after the last packet.
        let asks = (0..).map(|time| idle_s + time * interval_s);
        let ends_at = asks.into_iter().find(|&second| user_timeout_ms <= 1000 * second).unwrap();
        assert!(ends_at < 60 || 45 < stall_s, "{ends_at}");
        drop(server.unwrap());
    }
}

#[test]
fn the_connection_that_is_idle_longest_is_evicted() {
    let mut server = worker(Limits::new(2, None), None, 60);
    let (listener, endpoint) = listen();
    server.worker.serve(listener, endpoint.transport()).unwrap();
    let (first, second) = (connect(&endpoint), connect(&endpoint));
    server.turn();
    server.clock.step(SECOND / 2, SECOND / 2);
    send(&first, b"active");
    server.turn();
    assert_eq!(receive(&first, 100), Some(b"active".into()));

    // No connection has been idle long enough, so the third client waits in the queue.
    let third = connect(&endpoint);
    send(&third, b"hello");
    server.turn();
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Evicted), 0);
    server.clock.step(SECOND * 7 / 10, SECOND * 7 / 10);
    for _ in 0..3 {
        server.turn();
    }
    assert_eq!(disconnects(&server.totals(), DisconnectReason::Evicted), 1);
    assert_eq!(receive(&third, 100), Some(b"hello".into()));
    assert_eq!(receive(&second, 100), Some(Vec::new()));
    assert_eq!(receive(&first, 100), None);
}

#[test]
fn no_connection_is_evicted_unless_a_client_waits() {
    let mut server = worker(Limits::new(2, None), None, 60);
    let (listener, endpoint) = listen();
    server.worker.serve(listener, endpoint.transport()).unwrap();
    let first = connect(&endpoint);
    server.turn();
    server.clock.step(5 * SECOND, 5 * SECOND);
    let second = connect(&endpoint);
    server.turn();
    assert_eq!((server.worker.connections(), server.totals().disconnected()), (2, 0));
    drop((first, second));
}

#[test]
fn an_ending_worker_accepts_nothing_from_a_shared_listener() {
    let (mut one, mut other) =
        (worker(Limits::new(9, None), None, 60), worker(Limits::new(9, None), None, 60));
    let (listener, endpoint) = listen();
    for server in [&mut one, &mut other] {
        server.worker.serve(listener.try_clone().unwrap(), endpoint.transport()).unwrap();
    }
    let lingering = Client {
        socket: one.connect(Transport::UnixStream, "lingering", 4096),
        kind: Kind::Stream,
        half_closes: true,
    };
    // The ending worker waits until this client closes. By then another one has connected, so if
    // the worker still polled the listener, it would know.
    let client = std::thread::spawn(move || {
        assert_eq!(lingering.recv(), b"");
        connect(&endpoint)
    });
    one.stop();
    let _client = client.join().unwrap();
    other.turn();
    other.turn();
    assert_eq!(other.worker.connections(), 1);
}

/// Takes turns until the client has received a reply to `hello`.
fn await_hello(server: &mut TestWorker, client: &Socket) {
    wait_until("a reply arrives", || {
        server.turn();
        receive(client, 100).is_some_and(|reply| reply == b"hello")
    });
}

/// The clock stands still: after half a second, waiting clients of one host would be refused.
#[test]
fn clients_beyond_the_maximum_wait_until_a_connection_ends() {
    let folder = Folder::new();
    let endpoints = all_endpoints(&folder).into_iter().map(|name| name.parse::<Endpoint>().unwrap());
    // A TIPC client is not connected before the server accepts it, so it cannot wait connected.
    let can_wait = |at: &Endpoint| at.transport().has_connections() && !at.to_string().starts_with("tipc");
    for endpoint in endpoints.filter(can_wait) {
        let transport = endpoint.transport();
        let listener = listen_at(&endpoint);
        let address = listener.local_addr().unwrap();
        let mut server = worker(Limits::new(2, None), None, 60);
        server.worker.serve(listener, transport).unwrap();
        let connect = || {
            let client = transport.socket(&address).unwrap();
            client.connect(&address).unwrap();
            client.set_nonblocking(true).unwrap();
            assert_eq!(send(&client, b"hello"), 5);
            client
        };
        let mut served = vec![connect(), connect()];
        served.iter().for_each(|client| await_hello(&mut server, client));
        let waiting = [(); 3].map(|()| connect());
        flush_loopback();
        for client in [&served; 10].into_iter().flatten() {
            send(client, b"hello");
            await_hello(&mut server, client);
        }
        assert!(waiting.iter().all(|client| receive(client, 100).is_none()), "{endpoint}");
        assert_eq!((server.worker.connections(), server.totals().connections), (2, 2), "{endpoint}");
        served.pop();
        for client in waiting {
            await_hello(&mut server, &client);
        }
        drop(served);
        wait_until("all connections end", || {
            server.turn();
            server.worker.connections() == 0
        });
        let totals = server.totals();
        assert_eq!((totals.connections, totals.errors, totals.disconnected()), (5, 0, 0), "{endpoint}");
    }
}

#[test]
fn a_host_has_its_maximum_of_connections_and_gets_permits_back() {
    let (running, endpoints) =
        start(config(&["tcp://127.0.0.1:0"]).with(|config| config.connections_per_peer_max = Some(2)));
    let (first, second) = (Client::of(&endpoints[0]), Client::of(&endpoints[0]));
    first.echo(b"one");
    second.echo(b"two");
    assert_eq!(Client::of(&endpoints[0]).recv(), b"");
    first.finish();
    assert_eq!(first.recv(), b"");
    Client::of(&endpoints[0]).echo(b"three");
    let totals = stop(running);
    assert_eq!((totals.connections, disconnects(&totals, DisconnectReason::Refused)), (3, 1));
}

/// Closing the connection of a stalled client may block in the kernel.
#[test]
fn disconnecting_a_stalled_client_does_not_delay_the_others() {
    let folder = Folder::new();
    for name in all_endpoints(&folder) {
        let mut config = config(&[&name, &format!("unix:@{}", unique())]);
        config.stall_timeout = Duration::from_millis(200);
        let (running, endpoints) = start(config);
        if endpoints[0].transport().kind() == Kind::Datagrams {
            continue;
        }
        let stalled: Vec<Socket> = (0..3).map(|_| connect(&endpoints[0])).collect();
        // Three closes that block for 8 seconds each would take longer than a client waits for its
        // reply.
        let other = Client::of(&endpoints[1]);
        let ended = || disconnects(&running.totals(), DisconnectReason::Stalled) + running.totals().errors;
        for _ in 0..200_000 {
            if ended() == 3 {
                break;
            }
            stalled.iter().for_each(|socket| drop(socket.send(&[b'x'; 10_000])));
            other.echo(b"hello");
        }
        assert_eq!(ended(), 3, "{name}");
        drop(other);
        drop(stalled);
        stop(running);
    }
}

#[test]
fn timeouts_of_zero_are_refused_at_the_start() {
    let idle = config(&["tcp://127.0.0.1:0"]).with(|config| config.idle_timeout = Some(Duration::ZERO));
    let stall = config(&["tcp://127.0.0.1:0"]).with(|config| config.stall_timeout = Duration::ZERO);
    for (plan, name) in [(idle, "an idle"), (stall, "a stall")] {
        let error = plan.bind().unwrap().start().unwrap_err();
        assert_eq!(error.to_string(), format!("cannot serve connections with {name} timeout of zero"));
    }
}
