//! The STAMP reflector of one datagram socket: from a request to its reply.

use std::hash::RandomState;
use std::io;
use std::time::Duration;

use echosounder_proto::stamp::{
    self, ErrorEstimate, Reflector, ReflectorConfig, RequestContext, TimestampFormat,
};
use echosounder_proto::{DropReason, Moment, MonoTime, ReplyForm, ReplyMeter, Sender, WallTime};
use echosounder_socket::internal::kernel::clock_state;
use echosounder_socket::{Address, Batch, PacketInfo, Socket, option};

use crate::arrival::Arrival;
use crate::header::{reflected_class, report_traffic_class, report_ttl};
use crate::sender::source;

/// How long the error estimate of the clock is used: while no time service corrects the clock, the
/// kernel adds up to 500 µs to its error every second.
const ESTIMATE_AGE_MAX: Duration = Duration::from_secs(1);

/// Prepares the replies of a reflector.
#[derive(Debug)]
pub(crate) struct StampReplies {
    reflector: Reflector<RandomState>,
    /// Whether replies have the DSCP of their requests.
    reflects_dscp: bool,
    /// The port of this reflector.
    port: u16,
    estimate: ErrorEstimate,
    estimated_at: Option<MonoTime>,
    /// The replies of this turn that have no time of sending yet.
    unfinished: Vec<Unfinished>,
}

#[derive(Debug)]
struct Unfinished {
    index: usize,
    from: Option<PacketInfo>,
    traffic_class: u8,
}

impl StampReplies {
    /// Creates the reflector of a UDP socket that is bound to `address`.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to report the time of receipt, or the header fields, of requests.
    pub(crate) fn new(socket: &Socket, address: &Address, config: ReflectorConfig) -> io::Result<Self> {
        socket.set_option(option::SO_TIMESTAMPNS, true)?;
        report_ttl(socket, address)?;
        report_traffic_class(socket, address)?;
        Ok(Self {
            reflects_dscp: config.honours_dscp,
            reflector: Reflector::new(config, RandomState::new()),
            port: address.port().unwrap_or(0),
            estimate: ErrorEstimate::UNKNOWN,
            estimated_at: None,
            unfinished: Vec::new(),
        })
    }

    /// Begins a turn: reads the state of the clock again if it is old.
    pub(crate) fn begin_turn(&mut self, now: MonoTime) {
        if self.estimated_at.is_none_or(|at| ESTIMATE_AGE_MAX <= now - at) {
            self.estimated_at = Some(now);
            self.estimate = clock_state().map_or(ErrorEstimate::UNKNOWN, |clock| {
                ErrorEstimate::new(clock.synchronized, clock.error_max, TimestampFormat::default())
            });
        }
    }

    /// Replaces a request by its reply, which [`finish`](Self::finish) completes. Returns the length
    /// of the reply, or why there is none.
    pub(crate) fn reflect(
        &mut self,
        batch: &mut Batch,
        index: usize,
        arrival: &Arrival,
        address: &Address,
        meter: &ReplyMeter<RandomState>,
        now: Moment,
    ) -> Result<usize, DropReason> {
        self.check(arrival)?;
        let Arrival { received, peer, sender, .. } = arrival;
        let (ip, port) = peer.ip().zip(peer.port()).ok_or(DropReason::Nameless)?;
        let len = batch.bytes(index).len();
        let excess = self.reflector.layout().excess(len);
        meter.admit(source(peer, *sender), ReplyForm::Reflected { excess, port: self.port }, now.mono)?;

        let arrived = received.timestamp.and_then(|time| u64::try_from(time.as_nanos()).ok());
        let mut context =
            RequestContext::new((ip, port).into(), arrived.map_or(now.wall, WallTime::from_nanos));
        context.destination = arrival.local(address).ip();
        (context.ttl, context.traffic_class) = (received.ttl, received.traffic_class);
        let reply =
            self.reflector.reflect(batch.buffer_mut(index), len, &context, self.estimate, now.wall)?;
        batch.set_len(index, reply.len);
        let traffic_class = match reply.dscp {
            Some(dscp) => dscp << 2,
            None if self.reflects_dscp => reflected_class(received),
            None => 0,
        };
        let from = received.packet_info.map(PacketInfo::by_any_interface);
        self.unfinished.push(Unfinished { index, from, traffic_class });
        Ok(reply.len)
    }

    /// Returns why a request gets no reply whatever it contains.
    fn check(&self, arrival: &Arrival) -> Result<(), DropReason> {
        if arrival.is_to_group() {
            return Err(DropReason::Group);
        }
        // Port 862 is below 1024, and a sender may use it, or the port of its reflector.
        let from_reflector = arrival.peer.port().is_some_and(|port| port == stamp::PORT || port == self.port);
        match arrival.sender.refusal() {
            Some(_) if arrival.sender == Sender::Service && from_reflector => {}
            Some(reason) => return Err(reason),
            None => {}
        }
        if arrival.received.truncated { Err(DropReason::Truncated) } else { Ok(()) }
    }

    /// Completes the replies of this turn with their time of sending, and queues them.
    pub(crate) fn finish(&mut self, batch: &mut Batch, tx: WallTime) {
        for Unfinished { index, from, traffic_class } in self.unfinished.drain(..) {
            self.reflector.finish(batch.bytes_mut(index), tx);
            // Only the address of a destination other than the sender can be refused.
            let _ = batch.reply_with_class(index, b"", from, None, traffic_class);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use echosounder_socket::Transport;
    use echosounder_socket::family::tipc::TipcAddress;
    use echosounder_socket::internal::Received;

    use super::*;

    #[test]
    fn requests_from_ports_of_reflectors_are_replied_to_and_those_of_other_services_are_not() {
        let address = Address::from((Ipv4Addr::LOCALHOST, 900));
        let socket = Transport::Udp.socket(&address).unwrap();
        let replies = StampReplies::new(&socket, &address, ReflectorConfig::default()).unwrap();
        let check = |port, sender, received| {
            let peer = Address::from((Ipv4Addr::new(192, 0, 2, 1), port));
            replies.check(&Arrival { received, peer, destination: None, sender })
        };
        for (port, sender, expected) in [
            (4000, Sender::Remote, Ok(())),
            (862, Sender::Service, Ok(())),
            (900, Sender::Service, Ok(())),
            (19, Sender::Service, Err(DropReason::Service)),
            (862, Sender::Own, Err(DropReason::Own)),
            (4000, Sender::Nameless, Err(DropReason::Nameless)),
        ] {
            assert_eq!(check(port, sender, Received::default()), expected, "{port} {sender:?}");
        }
        let truncated = Received { truncated: true, ..Received::default() };
        assert_eq!(check(4000, Sender::Remote, truncated), Err(DropReason::Truncated));
        let range = TipcAddress::Range { service: 70, lower: 1, upper: 2, scope: Default::default() };
        let to_group = Received { tipc_destination: Some(range), ..Received::default() };
        assert_eq!(check(4000, Sender::Remote, to_group), Err(DropReason::Group));
    }
}
