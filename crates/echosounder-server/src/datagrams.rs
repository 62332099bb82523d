//! One datagram socket: a batch in, each judged, a batch out.

use std::io;
use std::net::SocketAddr;

use echosounder_proto::{Datagram, DatagramRule, Reason, Scene, Sender, WallTime};
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Batch, Received, Socket, is_out_of_resources};

use crate::clock::Clock;
use crate::connection::is_momentary;
use crate::event::{Event, Observer};
use crate::held::{HELD_MAX, HeldPeers};
use crate::worker::Tools;

/// Most datagrams of one turn.
const BATCH_MAX: usize = 64;

/// Most datagrams of one turn on sockets whose datagrams are longer than UDP's.
const OTHER_BATCH_MAX: usize = BATCH_MAX / 4;

/// Most sockets that one socket holds: while it answers, those of the turn as well.
pub(crate) const DESCRIPTORS_HELD: usize = HELD_MAX + OTHER_BATCH_MAX;

/// A datagram's greatest length over UDP: the payload of the largest IPv6 packet, jumbograms left aside.
const UDP_MAX: usize = 65_535;

/// The greatest length of another datagram that is answered: more than the 208 KiB that a socket of this machine
/// sends by default, and the 66,000 bytes of TIPC.
const OTHER_MAX: usize = 256 * 1024;

/// The first port that is not kept for services: IPPORT_RESERVED, ip(7).
const SERVICES: u16 = 1024;

/// A bound datagram socket.
#[derive(Debug)]
pub(crate) struct DatagramSocket {
    socket: Socket,
    address: Address,
    rule: DatagramRule,
    /// Messages answered.
    messages: u64,
    /// What the kernel last said it had dropped.
    overflows: u32,
    held: HeldPeers,
}

/// Room for a turn's datagrams, made when the first socket of its sort is.
pub(crate) fn batch_for(address: &Address) -> Batch {
    match address.ip() {
        Some(_) => Batch::new(BATCH_MAX, UDP_MAX),
        None => Batch::new(OTHER_BATCH_MAX, OTHER_MAX),
    }
}

impl DatagramSocket {
    pub(crate) fn new(socket: Socket, address: Address, rule: DatagramRule) -> Self {
        Self { socket, address, rule, messages: 0, overflows: 0, held: HeldPeers::default() }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Receives what is there, up to a batch, and answers it.
    pub(crate) fn turn<C: Clock, O: Observer>(
        &mut self,
        batch: &mut Batch,
        tools: &mut Tools<C, O>,
    ) -> io::Result<()> {
        let received = match self.socket.recv_many(batch) {
            Err(error) if is_momentary(&error) => {
                if is_out_of_resources(&error) && matches!(self.address, Address::Netlink(_)) {
                    // So it says, once, that it has dropped at least one; netlink(7).
                    tools.counters.dropped(Reason::Overflow, 1);
                }
                return Ok(());
            }
            result => result?,
        };
        let exact = (0..received).any(|index| tools.messages.needs_exact_time(batch.bytes(index)));
        let arrival = if exact { tools.clock.now() } else { tools.turn };
        let tx = if exact { arrival.wall_at(tools.clock.now().mono) } else { arrival.wall };
        let (before, mut bytes) = (self.messages, 0);
        for index in 0..received {
            match self.prepare(index, (arrival.wall, tx), batch, tools) {
                Ok(len) => bytes += len,
                Err(reason) => tools.counters.dropped(reason, 1),
            }
        }
        let mut unsent = Vec::new();
        let segments = self.address.ip().is_some();
        batch.send(&self.socket, segments, |index, _| unsent.push(index));
        self.held.let_go();
        bytes -= unsent.iter().map(|&index| batch.bytes(index).len()).sum::<usize>();
        tools.counters.answered(self.messages - before - unsent.len() as u64, bytes);
        tools.counters.dropped(Reason::Unsent, unsent.len() as u64);
        Ok(())
    }

    /// Judges one datagram and prepares its answer; how long it was is returned, or why it is not answered.
    fn prepare<C: Clock, O: Observer>(
        &mut self,
        index: usize,
        (rx, tx): (WallTime, WallTime),
        batch: &mut Batch,
        tools: &mut Tools<C, O>,
    ) -> Result<usize, Reason> {
        let about = batch.about(index);
        if let Some(count) = about.overflows {
            let lost = count.wrapping_sub(std::mem::replace(&mut self.overflows, count));
            tools.counters.dropped(Reason::Overflow, u64::from(lost));
        }
        let peer = batch.sender(index);
        let port = self.address.port().unwrap_or(0);
        let asked = about.packet_info.map(|info| Address::from(SocketAddr::new(info.local, port)));
        let local = asked.as_ref().unwrap_or(&self.address);
        let datagram = Datagram {
            sender: classify(&peer, local),
            to_group: is_to_group(&about, &peer),
            truncated: about.truncated,
            bytes: batch.bytes(index),
        };
        self.rule.judge(&datagram, tools.turn.mono)?;
        let to = match &peer {
            // A path may lead elsewhere by now, and what it leads to must be the sender's.
            Address::Unix(UnixName::Path(path)) => {
                Some(self.held.address(path, about.credentials.map(|sender| sender.uid))?)
            }
            _ => None,
        };
        if tools.hears_messages {
            tools.observer.observe(Event::Message { peer: &peer, bytes: datagram.bytes });
        }
        let len = datagram.bytes.len();
        let label = tools.labels.current();
        let mut scene = Scene { label, rx, tx, peer: &peer, local, host: &tools.host, seq: self.messages };
        tools.messages.answer_datagram(batch.bytes(index), &mut scene, &mut tools.out);
        self.messages = scene.seq;
        batch.answer(index, &tools.out, about.packet_info, to);
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
        (Address::Unix(UnixName::Unnamed), _) => Sender::Nameless,
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
