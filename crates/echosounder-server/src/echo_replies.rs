//! The echo of one datagram socket: from a datagram to its reply.

use std::io;

use echosounder_proto::{
    Clock, Datagram, DatagramFilter, DropReason, ReplyForm, Responder, Template, WallTime,
};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{Address, Batch, PacketInfo, Socket, option};

use crate::arrival::Arrival;
use crate::event::Observer;
use crate::header::{header_fields, reflected_class, report_traffic_class, report_ttl};
use crate::reply_cache::ReplyCache;
use crate::reply_rules::ReplyRules;
use crate::send_budget::SendBudget;
use crate::sender::source;
use crate::service::{DatagramContext, EchoService};
use crate::unread::UnreadLook;

/// Prepares the replies of an echo.
#[derive(Debug)]
pub(crate) struct EchoReplies {
    filter: DatagramFilter,
    reply_cache: ReplyCache,
    /// `None` for sockets whose replies are not charged to the send buffer until they are read.
    send_shares: Option<SendShares>,
    /// Whether replies have the DSCP of their requests.
    reflects_dscp: bool,
    header_reports: HeaderReports,
    /// When the replies of this turn are sent.
    tx: WallTime,
    /// The timestamp prefix of the reply that is being prepared.
    prefix: Vec<u8>,
}

/// Whether the kernel reports the time to live of datagrams. That costs time for each, so it begins
/// with the first request that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeaderReports {
    Off,
    /// A datagram of this turn asks for them.
    Requested,
    /// They are on, or this socket has none.
    Settled,
}

/// The shares of a socket's clients in its send buffer.
#[derive(Debug)]
struct SendShares {
    budget: SendBudget,
    /// `None` if this machine cannot show which clients have read their replies.
    look: Option<UnreadLook>,
}

impl EchoReplies {
    /// Creates the echo of a socket that is bound to `address`.
    ///
    /// # Errors
    ///
    /// If the socket cannot be prepared.
    pub(crate) fn new(
        socket: &Socket,
        address: &Address,
        stamp: &Template,
        rules: &ReplyRules,
    ) -> io::Result<Self> {
        let mut send_shares = None;
        if let Address::Unix(_) = address {
            // The reply cache compares the sender's user with the owner of its path.
            socket.set_option(option::SO_PASSCRED, true)?;
            let size = usize::try_from(socket.option(option::SO_SNDBUF)?).unwrap_or_default();
            send_shares = Some(SendShares { budget: SendBudget::new(size), look: None });
        }
        let is_ip = address.ip().is_some();
        let reflects_dscp = is_ip && rules.reflects_dscp;
        if reflects_dscp {
            report_traffic_class(socket, address)?;
        }
        let header_reports = if is_ip { HeaderReports::Off } else { HeaderReports::Settled };
        let filter = DatagramFilter::new(stamp, rules.plain_echo);
        let (reply_cache, tx) = (ReplyCache::default(), WallTime::from_nanos(0));
        Ok(Self { filter, reply_cache, send_shares, reflects_dscp, header_reports, tx, prefix: Vec::new() })
    }

    /// Looks with this socket which clients of a UNIX socket have read their replies.
    pub(crate) fn set_look(&mut self, look: Option<UnreadLook>) {
        if let Some(shares) = &mut self.send_shares {
            shares.look = look;
        }
    }

    /// Begins a turn of the service with the datagrams of a batch.
    pub(crate) fn begin_turn<C: Clock, O: Observer>(
        &mut self,
        socket: &Socket,
        batch: &Batch,
        service: &mut EchoService<C, O>,
    ) {
        self.renew_shares(socket, service);
        let responder = service.responder(true);
        let exact = (0..batch.len()).any(|index| responder.needs_exact_time(batch.bytes(index)));
        self.tx = service.transmit_time(exact);
    }

    /// Measures how much of the send buffer is charged, and finds out which clients have read their
    /// replies if some need their share back.
    fn renew_shares<C: Clock, O: Observer>(&mut self, socket: &Socket, service: &mut EchoService<C, O>) {
        let Some(SendShares { budget, look }) = &mut self.send_shares else { return };
        budget.begin(socket.send_queue_len().unwrap_or(0));
        let began = service.now().mono;
        let Some(look) = look.as_mut().filter(|_| budget.is_look_due(began)) else { return };
        let is_complete = look.for_each(|address, is_empty| budget.on_socket(address, is_empty)).is_ok();
        service.begin_turn();
        budget.end_look(began, service.now().mono, is_complete);
    }

    /// Filters one datagram and prepares its reply. `seq` is the number of datagrams that were
    /// replied to before. Returns the datagram's length, or why there is no reply.
    #[expect(clippy::too_many_arguments, reason = "the parts of a worker that an echo needs")]
    pub(crate) fn prepare<C: Clock, O: Observer>(
        &mut self,
        batch: &mut Batch,
        index: usize,
        arrival: &Arrival,
        address: &Address,
        rules: &ReplyRules,
        service: &mut EchoService<C, O>,
        seq: u64,
    ) -> Result<usize, DropReason> {
        let Arrival { received, peer, sender, .. } = arrival;
        let user = arrival.user();
        let datagram = Datagram {
            sender: *sender,
            to_group: arrival.is_to_group(),
            truncated: received.truncated,
            bytes: batch.bytes(index),
        };
        self.filter.check(&datagram)?;
        let is_plain = self.filter.is_plain(datagram.bytes);
        if self.header_reports == HeaderReports::Off && Responder::asks_for_header(datagram.bytes) {
            self.header_reports = HeaderReports::Requested;
        }
        let to = match peer {
            Address::Unix(UnixName::Path(path)) => Some(self.reply_cache.address(path, user)?),
            _ => None,
        };
        let bytes = batch.bytes_mut(index);
        let len = bytes.len();
        let (local, header) = (arrival.local(address), header_fields(received));
        let datagram = DatagramContext { peer, local, tx: self.tx, seq, header };
        let shares = &mut self.send_shares;
        service.reply_to_datagram(bytes, datagram, &mut self.prefix, |excess, now| {
            let form = if is_plain { ReplyForm::Plain } else { ReplyForm::Stamped { excess } };
            rules.meter.admit(source(peer, *sender), form, now)?;
            shares.as_mut().map_or(Ok(()), |shares| shares.budget.admit(peer, user, excess + len))
        })?;
        let from = received.packet_info.map(PacketInfo::by_any_interface);
        let class = if self.reflects_dscp { reflected_class(received) } else { 0 };
        batch.reply_with_class(index, &self.prefix, from, to, class).map_err(|_| DropReason::Unsent)?;
        Ok(len)
    }

    /// Ends a turn whose replies have been sent. If one of its requests asked for its header fields,
    /// those of later requests are known.
    pub(crate) fn end_turn(&mut self, socket: &Socket, address: &Address) {
        self.reply_cache.evict();
        if self.header_reports == HeaderReports::Requested {
            self.header_reports = HeaderReports::Settled;
            // Replies report no header fields if the kernel refuses.
            let _ = report_traffic_class(socket, address).and_then(|()| report_ttl(socket, address));
        }
    }
}
