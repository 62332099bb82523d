//! One datagram socket, on a thread of its own: a batch in, each judged, a batch out.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use echosounder_proto::{
    Clock, Datagram, DatagramFilter, DropReason, Framing, Moment, PlainEcho, Responder, Sender, StampContext,
    WallTime,
};
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{
    Address, Batch, Interest, PacketInfo, Received, Socket, Waker, is_forbidden, option, ready,
};

use crate::clock::StampCache;
use crate::connection::is_transient;
use crate::counters::Counters;
use crate::event::{Observer, ServerEvent};
use crate::failures::{Failures, PAUSE, Reports};
use crate::reply_cache::{HELD_MAX, ReplyCache};
use crate::worker::WorkerConfig;

/// Most turns without a look at whether it is to stop.
const TURNS_MAX: usize = 64;

/// Most turns that answer what had arrived before it was told to stop: more than a receive buffer holds.
const LAST_TURNS_MAX: usize = 1024;

/// Most datagrams of one turn. With more of them the first wait longer for their answers, and the last cost no less.
const BATCH_MAX: usize = 16;

/// Most datagrams of one turn on sockets that are not UDP's: to answer one takes longer there than to receive it, and
/// its peer goes on meanwhile.
const OTHER_BATCH_MAX: usize = 8;

/// Most sockets that one worker holds: while it answers, those of the turn as well.
pub(crate) const DESCRIPTORS_HELD: usize = HELD_MAX + OTHER_BATCH_MAX;

/// A datagram's greatest length over UDP: the payload of the largest IPv6 packet, jumbograms left aside.
const UDP_MAX: usize = 65_535;

/// The greatest length of another datagram that is answered: more than the 208 KiB that a socket of this machine
/// sends by default, and the 66,000 bytes of TIPC.
const OTHER_MAX: usize = 256 * 1024;

/// The first port that is not kept for services: IPPORT_RESERVED, ip(7).
const SERVICES: u16 = 1024;

/// Answers on one datagram socket.
///
/// The socket is in no epoll: whatever waits for a socket all the time is told of each datagram that has left it,
/// which is a twentieth of what it costs to answer one. It is waited for only when nothing more is there.
#[derive(Debug)]
pub struct DatagramWorker<C, O> {
    socket: Socket,
    address: Address,
    batch: Batch,
    rule: DatagramFilter,
    /// Whether datagrams to a group are counted here.
    counts_groups: bool,
    reply_cache: ReplyCache,
    /// Messages answered.
    messages: u64,
    /// What the kernel has said so far that it has dropped.
    drops: u32,
    /// The stamp of the answer that is being made.
    head: Vec<u8>,
    responder: Responder,
    host: Arc<str>,
    labels: StampCache,
    wants_messages: bool,
    /// Receives, and waits, that have failed.
    receives: Failures,
    waits: Failures,
    reports: Reports,
    stop: Arc<Waker>,
    clock: C,
    counters: Arc<Counters>,
    observer: O,
}

impl<C: Clock, O: Observer> DatagramWorker<C, O> {
    /// A worker for a bound socket. `plain_echo` tells whom an echo without a stamp answers.
    ///
    /// # Errors
    ///
    /// If the socket cannot be asked for its address, or prepared, or no memory is left.
    pub fn new(setup: WorkerConfig<C, O>, socket: Socket, plain_echo: PlainEcho) -> io::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_blocking(false)?;
        if let Address::Unix(_) = address {
            // Whose a path is that is to be answered to.
            socket.set_option(option::SO_PASSCRED, true)?;
        }
        let now = setup.clock.now();
        let batch = match address.ip() {
            Some(_) => Batch::try_new(BATCH_MAX, UDP_MAX),
            None => Batch::try_new(OTHER_BATCH_MAX, OTHER_MAX),
        }?;
        Ok(Self {
            batch,
            socket,
            address,
            rule: DatagramFilter::new(&setup.responder.stamp, plain_echo, now.mono),
            counts_groups: true,
            reply_cache: ReplyCache::default(),
            messages: 0,
            drops: 0,
            head: Vec::new(),
            labels: StampCache::new(now.wall, &setup.responder.stamp, &setup.host),
            responder: Responder { framing: Framing::Message, ..setup.responder },
            host: setup.host,
            wants_messages: setup.observer.wants_messages(),
            receives: Failures::default(),
            waits: Failures::default(),
            reports: Reports::default(),
            stop: setup.stop,
            clock: setup.clock,
            counters: setup.counters,
            observer: setup.observer,
        })
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Leaves it to another worker of the same address to count datagrams to a group or to everybody: the kernel hands
    /// these to each of the sockets that share an address (SO_REUSEPORT, socket(7)).
    pub(crate) fn leave_groups(mut self) -> Self {
        self.counts_groups = false;
        self
    }

    /// Answers until it is told to stop, and then what had arrived by then.
    ///
    /// # Errors
    ///
    /// If waiting itself fails again and again, which leaves nothing to be done.
    pub fn run(mut self) -> io::Result<()> {
        while !self.wait()? {
            match self.turn() {
                // After a rest it was not even waited for.
                None if self.receives.are_many() => self.receives.end(),
                // It was told as readable, and had nothing to read.
                None => drop(self.receives.add()),
                // Behind one that came alone there is mostly nothing; behind several more have come meanwhile.
                Some(2..) => self.turns(TURNS_MAX),
                Some(_) => {}
            }
        }
        self.turns(LAST_TURNS_MAX);
        Ok(())
    }

    /// Answers what is there, in so many turns at most.
    fn turns(&mut self, most: usize) {
        for _ in 0..most {
            if self.turn().is_none() || self.receives.are_many() {
                break;
            }
        }
        self.count_drops();
    }

    /// Counts what the kernel had no room for. To be told with each datagram (SO_RXQ_OVFL) costs more than to ask when
    /// several have come and been answered: where there is no room, several wait.
    fn count_drops(&mut self) {
        // Before Linux 4.12 nobody knows.
        let Ok(memory) = self.socket.option(option::SO_MEMINFO) else { return };
        let new = memory.drops.wrapping_sub(self.drops);
        self.drops = memory.drops;
        self.counters.dropped(DropReason::Overflow, u64::from(new));
    }

    /// WaitState until something is there; whether it is to stop is returned. After many receives that failed it waits for
    /// the stop alone, and not for long.
    fn wait(&mut self) -> io::Result<bool> {
        let stop = (self.stop.as_fd(), Interest::Read);
        let waited = match self.receives.are_many() {
            true => ready([stop], Some(PAUSE)).map(|[stop]| stop),
            false => ready([stop, (self.socket.as_fd(), Interest::Read)], None).map(|[stop, _]| stop),
        };
        let error = match waited {
            Ok(stop) => {
                self.waits.end();
                return Ok(stop.readable);
            }
            Err(error) => error,
        };
        self.counters.failed();
        self.report("wait", &error);
        if self.waits.add_and_rest() { Err(error) } else { Ok(false) }
    }

    /// Answers a batch of what is there, without waiting. How many datagrams it took is returned, or `None` if there was
    /// nothing; behind an error there may be more.
    pub fn turn(&mut self) -> Option<usize> {
        match self.socket.recv_many(&mut self.batch) {
            Ok(received) => {
                self.receives.end();
                self.answer(received);
                Some(received)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                let many = self.receives.add();
                // Netlink says so, once, that it has dropped something: netlink(7).
                if many || !is_transient(&error) {
                    self.counters.failed();
                    self.report("receive", &error);
                }
                Some(0)
            }
        }
    }

    /// Reports that something fails, now and then as long as that lasts.
    fn report(&mut self, operation: &'static str, error: &io::Error) {
        if self.reports.is_due(operation, self.clock.now().mono) {
            self.observer.observe(ServerEvent::Error { operation, error });
        }
    }

    /// Answers what was received.
    fn answer(&mut self, received: usize) {
        let arrival = self.clock.now();
        self.labels.set(arrival.wall);
        let exact = (0..received).any(|index| self.responder.needs_exact_time(self.batch.bytes(index)));
        let tx = if exact { arrival.wall_at(self.clock.now().mono) } else { arrival.wall };
        let (before, mut bytes) = (self.messages, 0);
        for index in 0..received {
            match self.prepare(index, &arrival, tx) {
                Ok(len) => bytes += len,
                Err(DropReason::Group) if !self.counts_groups => {}
                Err(reason) => self.counters.dropped(reason, 1),
            }
        }
        let mut unsent = Vec::new();
        let segments = self.address.ip().is_some();
        let mut forbidden = None;
        self.batch.send(&self.socket, segments, |index, error| {
            unsent.push(index);
            forbidden = Some(error).filter(is_forbidden);
        });
        if let Some(error) = forbidden {
            self.report("send", &error);
        }
        self.reply_cache.evict();
        bytes -= unsent.iter().map(|&index| self.batch.bytes(index).len()).sum::<usize>();
        self.counters.answered(self.messages - before - unsent.len() as u64, bytes);
        self.counters.dropped(DropReason::Unsent, unsent.len() as u64);
    }

    /// Judges one datagram and prepares its answer; how long it was is returned, or why it is not answered.
    fn prepare(&mut self, index: usize, arrival: &Moment, tx: WallTime) -> Result<usize, DropReason> {
        let about = self.batch.metadata(index);
        let peer = self.batch.sender(index);
        let port = self.address.port().unwrap_or(0);
        let asked = about.packet_info.map(|info| Address::from(SocketAddr::new(info.local, port)));
        let local = asked.as_ref().unwrap_or(&self.address);
        let datagram = Datagram {
            sender: classify(&peer, local),
            to_group: is_to_group(&about, &peer),
            truncated: about.truncated,
            bytes: self.batch.bytes(index),
        };
        self.rule.check(&datagram, arrival.mono)?;
        let to = match &peer {
            // A path may lead elsewhere by now, and what it leads to must be the sender's.
            Address::Unix(UnixName::Path(path)) => {
                Some(self.reply_cache.address(path, about.credentials.map(|sender| sender.uid))?)
            }
            _ => None,
        };
        if self.wants_messages {
            self.observer.observe(ServerEvent::Message { peer: &peer, bytes: datagram.bytes });
        }
        let len = datagram.bytes.len();
        let mut context = StampContext {
            label: self.labels.current(),
            rx: arrival.wall,
            tx,
            peer: &peer,
            local,
            host: &self.host,
            seq: self.messages,
            stamp: self.labels.stamp(),
        };
        self.responder.answer_datagram(self.batch.bytes(index), &mut context, &mut self.head);
        let messages = context.seq;
        let from = about.packet_info.map(PacketInfo::by_any_interface);
        self.batch.reply(index, &self.head, from, to).map_err(|_| DropReason::Unsent)?;
        self.messages = messages;
        Ok(len)
    }
}

/// Whether a datagram was sent to many, rather than to this socket.
fn is_to_group(about: &Received, peer: &Address) -> bool {
    let to_range = |to| matches!(to, TipcAddress::Range { lower, upper, .. } if lower != upper);
    about.packet_info.is_some_and(|info| info.is_to_group())
        || about.tipc_destination.is_some_and(to_range)
        || matches!(peer, Address::Netlink(address) if address.groups != 0)
}

/// Who sent a datagram, as far as an address can say.
fn classify(peer: &Address, local: &Address) -> Sender {
    match (peer, local) {
        (Address::Unix(UnixName::Unnamed) | Address::Unspecified, _) => Sender::Nameless,
        (Address::Netlink(address), _) if address.port_id == 0 => Sender::Kernel,
        _ if peer == local => Sender::Own,
        (Address::Unix(_) | Address::Netlink(_), _) => Sender::Local,
        (Address::Tipc(peer), Address::Tipc(local)) if node(peer) == node(local) => Sender::Local,
        _ if peer.port() == Some(0) => Sender::Nameless,
        _ if peer.port().is_some_and(|port| port < SERVICES) => Sender::Service,
        _ if peer.ip().is_some_and(|ip| ip.is_loopback() || Some(ip) == local.ip()) => Sender::Local,
        _ => Sender::Stranger,
    }
}

/// The node that a TIPC socket is on.
fn node(address: &TipcAddress) -> Option<u32> {
    match address {
        TipcAddress::Socket { node, .. } => Some(*node),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use echosounder_socket::family::netlink::NetlinkAddress;

    use super::*;

    #[test]
    fn a_sender_is_known_by_its_address() {
        let inet = |ip: [u8; 4], port| Address::from((Ipv4Addr::from(ip), port));
        let netlink = |port_id| Address::from(NetlinkAddress { port_id, groups: 0 });
        let tipc = |node, reference| Address::from(TipcAddress::Socket { node, reference });
        let unix = |name: &[u8]| Address::from(UnixName::Abstract(name.into()));
        for (peer, local, sender) in [
            (netlink(0), netlink(7), Sender::Kernel),
            (netlink(7), netlink(7), Sender::Own),
            (netlink(8), netlink(7), Sender::Local),
            (tipc(0, 1), tipc(0, 1), Sender::Own),
            (tipc(5, 1), tipc(5, 2), Sender::Local),
            (tipc(6, 1), tipc(5, 2), Sender::Stranger),
            (UnixName::Unnamed.into(), unix(b"s"), Sender::Nameless),
            (Address::Unspecified, inet([127, 0, 0, 1], 3000), Sender::Nameless),
            (unix(b"s"), unix(b"s"), Sender::Own),
            (unix(b"c"), unix(b"s"), Sender::Local),
            (inet([127, 0, 0, 1], 2000), inet([127, 0, 0, 1], 3000), Sender::Local),
            (inet([192, 0, 2, 1], 2000), inet([192, 0, 2, 1], 3000), Sender::Local),
            (inet([192, 0, 2, 2], 2000), inet([192, 0, 2, 1], 3000), Sender::Stranger),
            (inet([192, 0, 2, 2], 19), inet([192, 0, 2, 1], 3000), Sender::Service),
            (inet([192, 0, 2, 2], 0), inet([192, 0, 2, 1], 3000), Sender::Nameless),
        ] {
            assert_eq!(classify(&peer, &local), sender, "{peer} at {local}");
        }
    }

    #[test]
    fn what_is_sent_to_many_is_known() {
        let to = |lower, upper| Received {
            tipc_destination: Some(TipcAddress::Range {
                service: 70,
                lower,
                upper,
                scope: Default::default(),
            }),
            ..Received::default()
        };
        let peer = Address::from(TipcAddress::Socket { node: 0, reference: 1 });
        assert!(is_to_group(&to(1, 2), &peer));
        assert!(!is_to_group(&to(1, 1), &peer));
        assert!(is_to_group(&Received::default(), &NetlinkAddress { port_id: 7, groups: 2 }.into()));
        assert!(!is_to_group(&Received::default(), &NetlinkAddress { port_id: 7, groups: 0 }.into()));
    }
}
