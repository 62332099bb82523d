//! STAMP reflectors: a loop between two of them, and a flood of forged sources.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use echosounder_proto::stamp::{Key, SenderConfig, StampSender};
use echosounder_proto::{ProbeFormat, WallTime};

use crate::faults::frame::{self, Datagram, Mac};
use crate::faults::lab::{
    Lab, Namespace, PEER, PEER_MAC, PEER_V6, PORT, SERVER, SERVER_MAC, SERVER_V6, server_address,
};
use crate::faults::row::{Row, Scale, Verdict};
use crate::faults::server::{Honest, Server};
use crate::faults::wire::{Wire, forged};

pub(crate) const ROWS: &[Row] = &[
    Row::new(
        31,
        "stamp-loop",
        "each forged request gets 1 reply, the other reflector does not reply to it, and nothing after 1 s",
        two_reflectors,
    ),
    Row::new(
        32,
        "stamp-spoofed",
        "memory grows by 1 MiB at most after the first 20,000 sources, and all but 1 in 100 get a reply; a ping \
         gets 90 % of its replies at least, and all of them after the flood",
        spoofed,
    ),
];

const KEY: &[u8] = b"0123456789abcdef";

/// The port of the reflectors that require authenticated requests.
const KEYED_PORT: u16 = 20_863;

/// The ports of the reflectors on each host: the one of STAMP, one with the other timestamp format
/// and without sessions, and the one with a key.
const PORTS: [u16; 3] = [862, 20_862, KEYED_PORT];

/// How long a link must be quiet until an exchange has ended.
const QUIET: Duration = Duration::from_millis(300);

/// A forged request.
struct Forged {
    bytes: Vec<u8>,
    /// Whether it is authenticated. Reflectors with a key reply to no other request.
    is_keyed: bool,
}

/// Returns requests that a forger may send.
fn forged_requests() -> Result<Vec<Forged>> {
    let now = SystemTime::UNIX_EPOCH.elapsed()?;
    let request = |size: usize, age: Duration, key: Option<Key>| {
        let mut config = SenderConfig::default();
        (config.size, config.key) = (size, key);
        let sent = u64::try_from((now - age).as_nanos()).unwrap_or(0);
        let mut bytes = Vec::new();
        StampSender::new(config).write(1, WallTime::from_nanos(sent), &mut bytes);
        bytes
    };
    let key = Key::new(KEY).context("the key is too short")?;
    let year = Duration::from_secs(365 * 86_400);
    let open = [
        // The shortest request of TWAMP Light: RFC 5357, section 4.1.2.
        vec![0; 14],
        vec![0; 44],
        request(44, Duration::ZERO, None),
        request(72, year, None),
        request(1000, Duration::ZERO, None),
    ];
    let open = open.into_iter().map(|bytes| Forged { bytes, is_keyed: false });
    let keyed = Forged { bytes: request(200, Duration::ZERO, Some(key)), is_keyed: true };
    Ok(open.chain([keyed]).collect())
}

/// A host as the source of forged packets.
struct Side<'a> {
    host: &'a Namespace,
    mac: Mac,
    addresses: [IpAddr; 2],
}

/// What was seen after forged requests.
#[derive(Default)]
struct Seen {
    forged: u64,
    /// Requests to reflectors that had to reply.
    valid: u64,
    replies: u64,
    most: u64,
    last: Duration,
}

/// Row 31: one forged request between each two of our reflectors, in both directions.
fn two_reflectors(_scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("key");
    fs::write(&key, KEY)?;
    let key = key.display().to_string();
    let kinds: [&[&str]; 3] =
        [&[], &["--stamp-time", "ptp", "--stamp-mode", "stateless"], &["--stamp-key", &key]];
    let mut servers = Vec::new();
    for (host, v4, v6) in [(&lab.server, SERVER, SERVER_V6), (&lab.peer, PEER, PEER_V6)] {
        for (kind, port) in kinds.iter().zip(PORTS) {
            let (v4, v6) = (format!("stamp://{v4}:{port}"), format!("stamp://[{v6}]:{port}"));
            servers.push(Server::start(host, &[*kind, &["--workers", "1", &v4, &v6]].concat())?);
        }
    }
    let server = Side { host: &lab.server, mac: SERVER_MAC, addresses: [SERVER.into(), SERVER_V6.into()] };
    let peer = Side { host: &lab.peer, mac: PEER_MAC, addresses: [PEER.into(), PEER_V6.into()] };
    let mut seen = Seen::default();
    for request in forged_requests()? {
        forge(&peer, &server, &request, &mut seen)?;
        forge(&server, &peer, &request, &mut seen)?;
    }
    for server in &servers {
        server.check_alive()?;
    }
    let Seen { forged, valid, replies, most, last } = seen;
    let done = format!(
        "{forged} forged requests of 14 to 1,000 bytes between 3 × 3 reflectors at ports 862, 20862 and {KEYED_PORT} \
         (PTP and stateless, with a key), both directions, IPv4 and IPv6"
    );
    let figure = format!(
        "{replies} replies to {valid} valid requests, {most} at most after one; all quiet after {} ms",
        last.as_millis()
    );
    let holds = most == 1 && replies == valid && last <= Duration::from_secs(1);
    Ok(Verdict::tried(done, figure, holds))
}

/// Sends a request from each port of one host to each port of the other, and counts the packets of
/// both that follow.
fn forge(from: &Side<'_>, to: &Side<'_>, request: &Forged, seen: &mut Seen) -> Result<()> {
    let mut counts = std::collections::BTreeMap::<(SocketAddr, SocketAddr), u64>::new();
    let mut frames = Vec::new();
    for (source, destination) in from.addresses.into_iter().zip(to.addresses) {
        for (asked, port) in PORTS.iter().flat_map(|to| PORTS.map(|from| (*to, from))) {
            let packet = frame::udp((source, port).into(), (destination, asked).into(), &request.bytes);
            frames.push(frame::ethernet(from.mac, to.mac, &packet));
            seen.valid += u64::from(request.is_keyed == (asked == KEYED_PORT));
        }
    }
    seen.forged += frames.len() as u64;
    let wire = Wire::open(from.host)?;
    wire.send(&frames)?;
    let start = Instant::now();
    // A packet socket does not receive what it sends itself, so the forged request does not count.
    wire.watch(QUIET, Duration::from_secs(3), |datagram, arrives| {
        let Datagram { from, to, .. } = datagram;
        *counts.entry(if arrives { (from, to) } else { (to, from) }).or_default() += 1;
        seen.last = seen.last.max(start.elapsed());
    })?;
    seen.replies += counts.values().sum::<u64>();
    seen.most = seen.most.max(counts.values().max().copied().unwrap_or(0));
    Ok(())
}

/// Requests that are sent before their replies are awaited: fewer than a receive buffer holds.
const WINDOW: u32 = 64;

/// Sources until the memory of a reflector no longer grows: more than its sessions.
const FIRST: u32 = 20_000;

/// Row 32: a flood from forged sources, each a session of its own.
fn spoofed(scale: Scale) -> Result<Verdict> {
    let lab = Lab::new()?;
    let endpoint = format!("stamp://{SERVER}:{PORT}");
    let server = Server::start(&lab.server, &[&endpoint])?;
    let wire = Wire::open(&lab.peer)?;
    wire.socket().set_timeout(Some(Duration::from_millis(50)))?;
    let mut sources = Sources::new()?;
    let mut answered = sources.ask(&wire, FIRST)?;
    let before = server.rss_kib()?;
    let count = scale.pick(200_000, 1_000_000);
    // The sender's thread must outlive the client.
    let beside = thread::scope(|scope| -> Result<_> {
        let flood = scope.spawn(|| sources.ask(&wire, count - FIRST));
        let honest = Honest::run(&lab.peer, &endpoint, scale.pick(1000, 5000));
        answered += flood.join().expect("the flood does not panic")?;
        honest
    })?;
    let after = Honest::run(&lab.peer, &endpoint, 100)?;
    server.check_alive()?;
    let growth = server.rss_kib()?.saturating_sub(before);
    let share = 100 * beside.answered / beside.sent.max(1);
    let figure = format!(
        "{answered} replies; memory +{growth} KiB; a ping got {share} % of {} replies, and {} of {} afterwards",
        beside.sent, after.answered, after.sent
    );
    let holds = growth <= 1024
        && u64::from(count) * 99 / 100 <= answered
        && 90 <= share
        && after.answered == after.sent;
    let done = format!("one request from each of {} sources to a stateful reflector", sources.next);
    Ok(Verdict::tried(done, figure, holds))
}

/// Forged sources, one after the other.
struct Sources {
    next: u32,
    frames: Vec<Vec<u8>>,
}

impl Sources {
    fn new() -> Result<Self> {
        let request = forged_requests()?.swap_remove(2).bytes;
        let frame = forged((PEER, 40_000).into(), server_address(), &request);
        Ok(Self { next: 0, frames: vec![frame; WINDOW as usize] })
    }

    /// Sends a request from each of the next sources. Returns the number of replies.
    fn ask(&mut self, wire: &Wire, count: u32) -> Result<u64> {
        let (mut replies, mut sent) = (0, 0);
        while sent < count {
            for frame in &mut self.frames {
                // 32.0.0.0/8 and the addresses behind it, which no interface has.
                let source = Ipv4Addr::from((32 << 24) + self.next);
                frame::set_source(frame, SocketAddrV4::new(source, 0x8000 | (self.next & 0x7fff) as u16));
                self.next += 1;
            }
            wire.send(&self.frames)?;
            sent += WINDOW;
            while replies < u64::from(sent) && is_reply(wire)? {
                replies += 1;
            }
        }
        Ok(replies)
    }
}

/// Waits for a reply to a forged source. Returns `false` if none arrives in time.
fn is_reply(wire: &Wire) -> Result<bool> {
    let mut buffer = [0; 256];
    loop {
        match wire.socket().recv(&mut buffer) {
            Ok(len) => {
                let is_forged = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip != PEER);
                let datagram = Datagram::of(&buffer[..len]);
                if datagram
                    .is_some_and(|datagram| datagram.from == server_address() && is_forged(datagram.to.ip()))
                {
                    return Ok(true);
                }
            }
            Err(error) if is_timeout(&error) => return Ok(false),
            Err(error) => return Err(error).context("cannot receive frames"),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}
