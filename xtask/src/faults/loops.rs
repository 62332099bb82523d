//! Loops and reflection: forged sources, foreign services, broadcast.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::faults::frame::{BROADCAST_MAC, Datagram, Mac};
use crate::faults::lab::{LINK, Lab, PEER, PEER_V6, PORT, SERVER, SERVER_MAC, SERVER_V6, server_address};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::{Honest, Server};
use crate::faults::wire::{Wire, forged, to_mac};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        1,
        "loop",
        "each server replies at most once to a forged datagram, both send at most 2, and nothing after 1 s",
        two_servers,
    ),
    Row::new(
        2,
        "foreign",
        "an exact echo gets 1 reply, a port below 1024 none, a known service one per second; any other service \
         gets 410 in 10 s, then 20 per second",
        foreign,
    ),
    Row::new(
        3,
        "amplification",
        "requests with a placeholder get replies of their length; one source gets 8 KiB and 256 B/s more \
         than it sent; an empty request gets no more either",
        amplification,
    ),
    Row::new(
        4,
        "ports",
        "no reply to ports below 1024; one per second to ports of known UDP services; all others answered",
        service_ports,
    ),
    Row::new(
        5,
        "broadcast",
        "no reply, the server lives, and it counts the 30 datagrams that the kernel delivers",
        broadcast,
    ),
    Row::new(
        6,
        "spoofed",
        "memory grows by 1 MiB at most after the first second; a ping gets 25 % of its replies at least",
        spoofed,
    ),
];

/// A request whose reply is not longer than itself.
const PLACEHOLDER: &[u8] = b"[0000000000000000000 0000000000000000000] 1234567890";

/// How long a link must be quiet until a row takes an exchange for ended.
const QUIET: Duration = Duration::from_millis(300);

/// The values of `--stamp` in both servers of a loop. The plain echo serves remote hosts.
const STAMPS: [&[&str]; 6] = [
    &["--stamp", "ctime"],
    &["--stamp", "rfc3339"],
    &["--stamp", "unix"],
    &["--stamp", "ns"],
    &["--stamp", "none"],
    &["--stamp", "[{rfc3339}] {peer} "],
];

/// Row 1: one forged datagram between each two of our servers.
fn two_servers(_scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let mut servers = Vec::new();
    let ports = [7000, 7001, 7002, 7003, 7004, 7005];
    for (stamp, port) in STAMPS.iter().zip(ports) {
        for (host, v4, v6) in [(&lab.server, SERVER, SERVER_V6), (&lab.peer, PEER, PEER_V6)] {
            let (v4, v6) = (format!("udp://{v4}:{port}"), format!("udp://[{v6}]:{port}"));
            servers.push(Server::start(host, &[&stamp[..], &["--workers", "1", &v4, &v6]].concat())?);
        }
    }
    let wire = Wire::open(&lab.peer)?;
    let payloads: [&[u8]; 6] = [
        b"",
        b"x",
        b"[0000000000000000000 0000000000000000000] ",
        b"[Sun Nov 22 12:19:36 2026] hello",
        b"[1795346376000000000 1795346376000000001] hello",
        &[b'y'; 1000],
    ];
    let (mut pairs, mut most, mut late) = (0, 0, 0);
    for payload in payloads {
        let mut counts = std::collections::BTreeMap::<(SocketAddr, SocketAddr), u64>::new();
        let hosts = [(IpAddr::from(SERVER), IpAddr::from(PEER)), (SERVER_V6.into(), PEER_V6.into())];
        for (server, peer) in hosts {
            for (to, from) in ports.iter().flat_map(|to| ports.map(|from| (*to, from))) {
                wire.forge((peer, from).into(), (server, to).into(), payload)?;
                pairs += 1;
            }
        }
        let start = Instant::now();
        let mut last = Duration::ZERO;
        // Replies of the attacked server arrive, replies of the other one leave, as the forged ones
        // have done.
        wire.watch(QUIET, Duration::from_secs(3), |datagram, arrives| {
            let pair = if arrives { (datagram.from, datagram.to) } else { (datagram.to, datagram.from) };
            *counts.entry(pair).or_default() += 1;
            last = start.elapsed();
        })?;
        // A packet socket does not receive what it sends itself, so the forged one does not count.
        most = most.max(counts.values().max().copied().unwrap_or(0));
        late = late.max(last.as_millis());
    }
    for server in &servers {
        server.check_alive()?;
    }
    let done = format!("{pairs} forged datagrams between 6 × 6 kinds of stamps, IPv4 and IPv6");
    let figure = format!("at most {most} datagrams after a forged one; all quiet after {late} ms");
    Ok(Verdict::tried(done, figure, (1..=2).contains(&most) && late <= 1000))
}

/// A UDP service of another program: an exact echo, or one that answers anything.
type Service = fn(&[u8]) -> Vec<u8>;

const EXACT_ECHO: (&str, Service) = ("exact echo", |request| request.to_vec());
const MEMCACHED: (&str, Service) = ("memcached's ERROR", |_| b"\0\0\0\0\0\x01\0\0ERROR\r\n".to_vec());
const SIP: (&str, Service) =
    ("a SIP error", |_| [b"SIP/2.0 400 Bad Request\r\n".as_slice(), &[b'x'; 200]].concat());
const PREFIX_ECHO: (&str, Service) =
    ("an echo with a prefix", |request| [b"you said: ", &request[..request.len().min(1300)]].concat());
/// RFC 864: a line of characters, whatever the request is.
const CHARGEN: (&str, Service) =
    ("chargen", |_| [&(b' '..b' ' + 72).collect::<Vec<u8>>()[..], b"\r\n"].concat());
/// RFC 1035 section 4.1.1: the request's ID, a reply, format error, no records.
const DNS: (&str, Service) = ("DNS FORMERR", |request| {
    let id = |index: usize| request.get(index).copied().unwrap_or(0);
    vec![id(0), id(1), 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]
});

/// An exchange between our server and a foreign service.
#[derive(Clone, Copy, Debug)]
struct Exchange {
    stamp: &'static [&'static str],
    service: (&'static str, Service),
    /// The port of the service.
    port: u16,
    v6: bool,
    request: Request,
    /// How many of our replies the service may get.
    limit: Limit,
}

/// The forged datagram that begins an exchange.
#[derive(Clone, Copy, Debug)]
enum Request {
    OneByte,
    Placeholder,
    /// As long as UDP over IPv4 allows.
    Longest,
    LongestPlaceholder,
}

/// How many replies a service may get.
#[derive(Clone, Copy, Debug)]
enum Limit {
    None,
    One,
    /// One per second.
    Responder,
    /// 8 KiB at once and 256 bytes per second beyond the requests' length, or 100 plain replies and 10
    /// per second.
    Metered,
}

impl Request {
    fn bytes(self) -> Vec<u8> {
        let padded = |begin: &[u8]| [begin, &[b'x'; 65_507]].concat()[..65_507].to_vec();
        match self {
            Self::OneByte => b"x".to_vec(),
            Self::Placeholder => PLACEHOLDER.to_vec(),
            Self::Longest => padded(b""),
            Self::LongestPlaceholder => padded(PLACEHOLDER),
        }
    }
}

impl Limit {
    /// Returns whether a service may get so many replies within a first span of whole seconds, and
    /// within the second after it.
    fn holds(self, at_first: u64, then: u64, first: Duration) -> bool {
        match self {
            Self::None => (at_first, then) == (0, 0),
            Self::One => at_first <= 1 && then == 0,
            Self::Responder => at_first <= first.as_secs() + 2 && then <= 2,
            Self::Metered => at_first <= 410 && then <= 20,
        }
    }
}

/// Returns the exchanges of row 2.
fn exchanges() -> Vec<Exchange> {
    let one = Exchange {
        stamp: &["--stamp", "ctime"],
        service: MEMCACHED,
        port: 7777,
        v6: false,
        request: Request::OneByte,
        limit: Limit::Metered,
    };
    let plain = Exchange { stamp: &["--stamp", "none", "--allow-plain-echo"], ..one };
    let mut all = Vec::new();
    for service in [EXACT_ECHO, MEMCACHED, SIP, PREFIX_ECHO, CHARGEN, DNS] {
        let limit = if service.0 == EXACT_ECHO.0 { Limit::One } else { Limit::Metered };
        all.push(Exchange { service, limit, ..one });
        all.push(Exchange { service, ..plain });
    }
    // The services at their own ports.
    for (service, port) in [(EXACT_ECHO, 7), (CHARGEN, 19), (DNS, 53)] {
        all.push(Exchange { service, port, limit: Limit::None, ..one });
        all.push(Exchange { service, port, limit: Limit::None, ..plain });
    }
    for (service, port) in [(MEMCACHED, 11_211), (SIP, 5060), (DNS, 5353)] {
        all.push(Exchange { service, port, limit: Limit::Responder, ..one });
        all.push(Exchange { service, port, limit: Limit::Responder, v6: true, ..one });
    }
    all.push(Exchange { v6: true, ..one });
    all.push(Exchange { v6: true, ..plain });
    for service in [EXACT_ECHO, PREFIX_ECHO] {
        let limit = if service.0 == EXACT_ECHO.0 { Limit::One } else { Limit::Metered };
        all.push(Exchange { service, request: Request::Placeholder, limit, ..one });
        all.push(Exchange { service, request: Request::Placeholder, limit, ..plain });
    }
    all.push(Exchange {
        service: EXACT_ECHO,
        request: Request::LongestPlaceholder,
        limit: Limit::One,
        ..one
    });
    // The reply would be longer than a datagram can be.
    all.push(Exchange { service: EXACT_ECHO, request: Request::Longest, limit: Limit::None, ..one });
    all
}

/// Row 2: one forged datagram between our server and a foreign service.
fn foreign(scale: Scale) -> Result<Verdict> {
    let first = scale.pick(Duration::from_secs(3), Duration::from_secs(10));
    let counts = thread::scope(|scope| -> Result<Vec<_>> {
        let started: Vec<_> = exchanges()
            .into_iter()
            .map(|exchange| (exchange, scope.spawn(move || between(exchange, first))))
            .collect();
        let finish = |(exchange, thread): (Exchange, thread::ScopedJoinHandle<'_, Result<_>>)| {
            let name = exchange.service.0;
            Ok((exchange, thread.join().map_err(|_| anyhow!("{name} panicked"))??))
        };
        started.into_iter().map(finish).collect()
    })?;
    let mut figures = Figures::default();
    for (exchange, (at_first, then)) in counts {
        let Exchange { stamp, service: (name, _), port, v6, request, limit } = exchange;
        let (mode, version) = (stamp[1], if v6 { 6 } else { 4 });
        let text =
            format!("{mode}, {name} at {port}, IPv{version}, {request:?}: {at_first} replies, then {then}/s");
        figures.add(text, limit.holds(at_first, then, first));
    }
    let seconds = first.as_secs();
    Ok(figures.verdict(format!("one forged datagram from each service, counted for {seconds} s and 1 s")))
}

/// Forges a datagram from a service to our server. Returns how many replies the service got within
/// the first span, and within the second after it.
fn between(exchange: Exchange, first: Duration) -> Result<(u64, u64)> {
    let lab = Lab::new()?;
    // The longest datagram is one frame.
    for host in [&lab.server, &lab.peer] {
        host.ip(&format!("link set {LINK} mtu 65535"))?;
    }
    let (server_ip, peer_ip): (IpAddr, IpAddr) =
        if exchange.v6 { (SERVER_V6.into(), PEER_V6.into()) } else { (SERVER.into(), PEER.into()) };
    let (to, from) = (SocketAddr::new(server_ip, PORT), SocketAddr::new(peer_ip, exchange.port));
    let server = Server::start(&lab.server, &[exchange.stamp, &[&format!("udp://{to}")]].concat())?;
    let socket = lab.peer.run(|| UdpSocket::bind(from))?;
    let wire = Wire::open(&lab.peer)?;
    let (replies, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let counts = thread::scope(|scope| -> Result<(u64, u64)> {
        scope.spawn(|| answer(&socket, exchange.service.1, &replies, &stop));
        let forged = wire.forge(from, to, &exchange.request.bytes());
        thread::sleep(first);
        let at_first = replies.load(Ordering::Relaxed);
        thread::sleep(Duration::from_secs(1));
        let then = replies.load(Ordering::Relaxed) - at_first;
        stop.store(true, Ordering::Relaxed);
        forged.map(|()| (at_first, then))
    })?;
    server.check_alive()?;
    Ok(counts)
}

/// Answers datagrams as a service does and counts them, until it is stopped.
fn answer(socket: &UdpSocket, service: Service, count: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    // A short timeout only to look whether it has to stop.
    let _ = socket.set_read_timeout(Some(Duration::from_millis(50)));
    while !stop.load(Ordering::Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = socket.send_to(&service(&buffer[..len]), from);
        }
    }
}

/// Row 3: bytes of replies beyond the bytes of their requests.
fn amplification(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let endpoints = [format!("udp://{SERVER}:{PORT}"), format!("udp://{SERVER}:7000")];
    let server = Server::start(&lab.server, &[&endpoints[0]])?;
    let template = format!("[{{rfc3339}}] {{peer}} {}", "x".repeat(80));
    let with_template = Server::start(&lab.server, &["--stamp", &template, &endpoints[1]])?;
    let wire = Wire::open(&lab.peer)?;
    let mut figures = Figures::default();
    let lengths: Vec<u16> = (0..=1472).collect();
    let plain = |len: u16| vec![b'x'; usize::from(len)];
    for (name, port, source) in [("ctime", PORT, 1), ("long template", 7000, 2)] {
        let source = Ipv4Addr::new(203, 0, source, 9);
        let requests: Vec<_> = lengths.iter().map(|&len| (source, len)).collect();
        let rounds = scale.pick(1, 5);
        let one = measure(&wire, port, &requests.repeat(rounds), plain)?;
        let limit = 8192.0 + 256.0 * (one.seconds + 1.0);
        let sent = requests.len() * rounds;
        let text = format!(
            "{name}: {} of {sent} answered, {} bytes more than asked, at most {:.1} times",
            one.replies, one.excess, one.factor
        );
        figures.add(text, to_f64(one.excess) <= limit);
    }
    let source = Ipv4Addr::new(203, 0, 3, 9);
    let requests: Vec<_> = lengths.iter().filter(|&&len| 50 <= len).map(|&len| (source, len)).collect();
    let padded = |len: u16| [PLACEHOLDER, &plain(len)].concat()[..usize::from(len)].to_vec();
    let filled = measure(&wire, PORT, &requests, padded)?;
    let text = format!(
        "with placeholder: {} of {} answered, factor {:.3}",
        filled.replies,
        requests.len(),
        filled.factor
    );
    figures.add(text, filled.factor <= 1.0 && filled.replies == requests.len());
    // One request from each of many networks.
    let count = scale.pick(20_000_u32, 200_000);
    let source = |index: u32| Ipv4Addr::from(0x2000_0000 + (index << 8) + 1);
    let requests: Vec<_> = (0..count).map(|index| (source(index), 1)).collect();
    let many = measure(&wire, PORT, &requests, plain)?;
    let rate = to_f64(many.excess) / many.seconds;
    let text =
        format!("{count} networks: {} answered, {:.0} KiB/s more than asked", many.replies, rate / 1024.0);
    // The bucket of all sources may be full at first.
    figures.add(text, to_f64(many.excess) <= 65_536.0 * (many.seconds + 1.0));
    server.check_alive()?;
    with_template.check_alive()?;
    Ok(figures.verdict("every length to 1,472 from one network, with a placeholder, and 1 byte from many"))
}

/// The replies to forged requests, and how much longer than these they were.
#[derive(Clone, Copy, Debug, Default)]
struct Excess {
    replies: usize,
    excess: u64,
    factor: f64,
    seconds: f64,
}

/// The source port of a request of 0 bytes. The port tells the length of a reply's request.
const FIRST_PORT: u16 = 20_000;

/// Sends requests from these sources, of these lengths, and measures the replies.
fn measure(
    wire: &Wire,
    port: u16,
    requests: &[(Ipv4Addr, u16)],
    payload: impl Fn(u16) -> Vec<u8>,
) -> Result<Excess> {
    let to = SocketAddr::from((SERVER, port));
    let frame =
        |&(source, len): &(Ipv4Addr, u16)| forged((source, FIRST_PORT + len).into(), to, &payload(len));
    let start = Instant::now();
    let mut sum = Excess::default();
    for requests in requests.chunks(100) {
        let frames: Vec<Vec<u8>> = requests.iter().map(frame).collect();
        wire.send(&frames)?;
        let quiet = Duration::from_millis(if requests.len() < 100 { 200 } else { 5 });
        wire.watch(quiet, Duration::from_secs(1), |datagram, arrives| {
            let asked = datagram.to.port().checked_sub(FIRST_PORT);
            let Some(asked) = asked.filter(|_| arrives && datagram.from == to).map(u64::from) else { return };
            let len = datagram.payload.len() as u64;
            sum.replies += 1;
            sum.excess += len.saturating_sub(asked);
            sum.factor = sum.factor.max(to_f64(len) / to_f64(asked.max(1)));
        })?;
    }
    sum.seconds = start.elapsed().as_secs_f64();
    Ok(sum)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test are far below 2^53")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

/// The ports of UDP services that reply to anything or amplify, beside those below 1024.
const SERVICE_PORTS: [u16; 6] = [1900, 2049, 3702, 5060, 5353, 11211];

/// Row 4: requests that come from the ports of services.
fn service_ports(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let server = Server::start(&lab.server, &[&format!("udp://{SERVER}:{PORT}")])?;
    let wire = Wire::open(&lab.peer)?;
    let rounds = scale.pick(20, 100);
    let interval = Duration::from_millis(100);
    let (mut low, mut known, mut other) = (0_u64, [0_u64; 6], 0_u64);
    let mut count = |datagram: Datagram<'_>, arrives: bool| match datagram.to.port() {
        _ if !arrives => {}
        ..1024 => low += 1,
        40_000 => other += 1,
        port => {
            if let Some(index) = SERVICE_PORTS.iter().position(|&known| known == port) {
                known[index] += 1;
            }
        }
    };
    let all_low: Vec<Vec<u8>> =
        (0..1024).map(|port| forged((PEER, port).into(), server_address(), PLACEHOLDER)).collect();
    wire.send(&all_low)?;
    wire.watch(QUIET, Duration::from_secs(2), &mut count)?;
    let start = Instant::now();
    for _ in 0..rounds {
        let ports = SERVICE_PORTS.iter().chain(&[40_000]);
        let frames: Vec<_> =
            ports.map(|&port| forged((PEER, port).into(), server_address(), PLACEHOLDER)).collect();
        wire.send(&frames)?;
        wire.watch(interval, interval, &mut count)?;
    }
    wire.watch(QUIET, Duration::from_secs(1), &mut count)?;
    let seconds = start.elapsed().as_secs_f64();
    server.check_alive()?;
    let most = known.iter().max().copied().unwrap_or(0);
    let figure = format!(
        "below 1024: {low} of 1,024; known services: {:.2} per second each; others: {other} of {rounds}",
        to_f64(most) / seconds
    );
    let holds = low == 0 && to_f64(most) <= seconds + 1.0 && other == rounds;
    Ok(Verdict::tried(
        "forged requests from 1,024 low ports, 6 known ports at 10/s, and another",
        figure,
        holds,
    ))
}

/// Row 5: datagrams to and from broadcast and multicast addresses.
fn broadcast(_scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let server = Server::start(&lab.server, &["--workers", "1", &format!("udp://:{PORT}")])?;
    let wire = Wire::open(&lab.peer)?;
    let v4 = |ip: [u8; 4]| SocketAddr::from((ip, PORT));
    let v6 = |ip: Ipv6Addr| SocketAddr::from((ip, PORT));
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let (peer, peer_v6) = (SocketAddr::from((PEER, 40_000)), SocketAddr::from((PEER_V6, 40_000)));
    // What the server's kernel delivers, and what it does not.
    let cases: [(Mac, SocketAddr, SocketAddr); 8] = [
        (BROADCAST_MAC, peer, v4([10, 99, 255, 255])),
        (BROADCAST_MAC, peer, v4([255; 4])),
        ([0x01, 0, 0x5e, 0, 0, 1], peer, v4([224, 0, 0, 1])),
        ([0x33, 0x33, 0, 0, 0, 1], peer_v6, v6(all_nodes)),
        (SERVER_MAC, (Ipv4Addr::new(10, 99, 255, 255), 40_000).into(), server_address()),
        (SERVER_MAC, (Ipv4Addr::BROADCAST, 40_000).into(), server_address()),
        (SERVER_MAC, (SERVER, 40_000).into(), server_address()),
        (SERVER_MAC, (Ipv4Addr::LOCALHOST, 40_000).into(), server_address()),
    ];
    let mut replies = 0;
    let mut sent = 0;
    for (mac, from, to) in cases {
        let frames: Vec<_> = (0..10).map(|_| to_mac(mac, from, to, PLACEHOLDER)).collect();
        sent += frames.len();
        wire.send(&frames)?;
    }
    wire.watch(QUIET, Duration::from_secs(2), |_, arrives| replies += u64::from(arrives))?;
    server.check_alive()?;
    let messages = server.counter("messages")?;
    let dropped = server.counter("dropped")?;
    let honest = Honest::run(&lab.peer, &format!("udp://{SERVER}:{PORT}"), 10)?;
    let figure = format!(
        "{replies} replies; {dropped} counted as dropped, {messages} as answered; a ping got {} of {}",
        honest.answered, honest.sent
    );
    let done = format!("{sent} datagrams to or from broadcast, multicast, own and loopback addresses");
    Ok(Verdict::tried(done, figure, replies == 0 && dropped == 30 && honest.answered == honest.sent))
}

/// Row 6: a flood from random sources.
fn spoofed(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let endpoint = format!("udp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &[&endpoint])?;
    let span = scale.pick(Duration::from_secs(6), Duration::from_secs(60));
    let flood = |span: Duration, seed: u64| -> Result<u64> {
        let wire = Wire::open(&lab.peer)?;
        let mut random = echosounder_testkit::Random::new(seed);
        let mut frames: Vec<Vec<u8>> =
            (0..256).map(|_| forged((PEER, 40_000).into(), server_address(), b"x")).collect();
        let (start, mut sent) = (Instant::now(), 0);
        while start.elapsed() < span {
            for frame in &mut frames {
                let [a, b, c, d, e, f, ..] = random.next_u64().to_ne_bytes();
                let source = Ipv4Addr::new(a % 200 + 11, b, c, d);
                let port = u16::from_ne_bytes([e, f]) | 0x8000;
                *frame = forged((source, port).into(), server_address(), b"x");
            }
            wire.send(&frames)?;
            sent += frames.len() as u64;
        }
        Ok(sent)
    };
    let mut sent = flood(Duration::from_secs(1), 1)?;
    let before = server.rss_kib()?;
    // A thousand per second, which ends before the flood and before the patience with a program.
    let count = scale.pick(3000, 15_000);
    let honest = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(span, 2));
        // The sender's thread must outlive the client.
        let honest = Honest::run(&lab.peer, &endpoint, count);
        sent += flood.join().expect("the flood does not panic")?;
        honest
    })?;
    server.check_alive()?;
    let growth = server.rss_kib()?.saturating_sub(before);
    let share = 100 * honest.answered / honest.sent.max(1);
    let figure = format!("memory +{growth} KiB; a ping got {share} % of {} replies", honest.sent);
    let done = format!("{sent} datagrams from random sources in {} s", span.as_secs() + 1);
    Ok(Verdict::tried(done, figure, growth <= 1024 && 25 <= share))
}
