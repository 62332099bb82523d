//! The loop that serves one datagram socket: receives a batch, filters each datagram, sends the
//! replies as a batch.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use echosounder_proto::{Clock, Datagram, DatagramFilter, DropReason, ReplyForm, Sender, WallTime};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::{
    Address, Batch, Interest, PacketInfo, Socket, StopToken, is_forbidden, option, ready,
};

use crate::access::Access;
use crate::event::Observer;
use crate::failures::{Failures, PAUSE, is_transient};
use crate::reply_cache::{self, ReplyCache};
use crate::reply_rules::ReplyRules;
use crate::send_budget::SendBudget;
use crate::sender::{classify, is_to_group, source};
use crate::service::{DatagramContext, EchoService};
use crate::unread::UnreadLook;

/// Maximum number of turns without a look at the stop token.
const TURNS_MAX: usize = 64;

/// Maximum number of turns that reply to datagrams which had arrived before the stop: more than a
/// receive buffer holds.
const LAST_TURNS_MAX: usize = 1024;

/// Maximum number of datagrams in a turn over UDP. In a larger batch the first replies wait longer,
/// and the cost per datagram is the same.
const UDP_BATCH_MAX: usize = 16;

/// Maximum number of datagrams in a turn over other transports. There a reply takes longer than a
/// receive, and the client continues meanwhile.
const OTHER_BATCH_MAX: usize = 8;

/// Maximum number of clients' sockets that a worker holds open: the cached ones, and those of one
/// turn.
pub(crate) const PINNED_MAX: usize = reply_cache::CAPACITY + OTHER_BATCH_MAX;

/// Maximum length of a UDP datagram in bytes: the payload of the largest IPv6 packet without the
/// jumbo option.
const UDP_LEN_MAX: usize = 65_535;

/// Maximum length of any other datagram that is replied to, in bytes. A UNIX socket sends at most
/// 208 KiB by default, and TIPC 66,000 bytes.
const OTHER_LEN_MAX: usize = 256 * 1024;

/// Serves one datagram socket.
///
/// The socket is not in an epoll set: for each datagram that leaves a socket, the kernel wakes
/// every poller of it, which costs a twentieth of a reply. The worker waits for the socket only
/// when it has no datagrams left.
#[derive(Debug)]
pub struct DatagramWorker<C, O> {
    socket: Socket,
    address: Address,
    batch: Batch,
    filter: DatagramFilter,
    /// `None` allows all senders.
    access: Option<Arc<Access>>,
    rules: ReplyRules,
    /// Whether this worker counts datagrams to a group.
    counts_groups: bool,
    reply_cache: ReplyCache,
    /// `None` for sockets whose replies are not charged to the send buffer until they are read.
    send_shares: Option<SendShares>,
    /// Messages replied to.
    messages: u64,
    /// The kernel's count of datagrams that it dropped for lack of buffer space, when it was last
    /// read.
    kernel_drops: u32,
    /// The timestamp prefix of the reply that is being prepared.
    prefix: Vec<u8>,
    receive_failures: Failures,
    wait_failures: Failures,
    stop: StopToken,
    service: EchoService<C, O>,
}

/// The shares of a socket's clients in its send buffer.
#[derive(Debug)]
struct SendShares {
    budget: SendBudget,
    /// `None` if this machine cannot show which clients have read their replies.
    look: Option<UnreadLook>,
}

impl<C: Clock, O: Observer> DatagramWorker<C, O> {
    /// Creates a worker for a bound socket.
    ///
    /// # Errors
    ///
    /// If the socket has no address or cannot be prepared, or no memory is left.
    pub fn new(
        service: EchoService<C, O>,
        stop: StopToken,
        socket: Socket,
        rules: ReplyRules,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let mut send_shares = None;
        if let Address::Unix(_) = address {
            // The reply cache compares the sender's user with the owner of its path.
            socket.set_option(option::SO_PASSCRED, true)?;
            let size = usize::try_from(socket.option(option::SO_SNDBUF)?).unwrap_or_default();
            send_shares = Some(SendShares { budget: SendBudget::new(size), look: None });
        }
        let batch = match address.ip() {
            Some(_) => Batch::try_new(UDP_BATCH_MAX, UDP_LEN_MAX),
            None => Batch::try_new(OTHER_BATCH_MAX, OTHER_LEN_MAX),
        }?;
        let template = &service.responder(true).stamp;
        Ok(Self {
            access: None,
            filter: DatagramFilter::new(template, rules.plain_echo),
            rules,
            batch,
            socket,
            address,
            counts_groups: true,
            reply_cache: ReplyCache::default(),
            send_shares,
            messages: 0,
            kernel_drops: 0,
            prefix: Vec::new(),
            receive_failures: Failures::default(),
            wait_failures: Failures::default(),
            stop,
            service,
        })
    }

    /// Looks with this socket which clients of a UNIX socket have read their replies.
    pub(crate) fn with_look(mut self, look: Option<UnreadLook>) -> Self {
        if let Some(shares) = &mut self.send_shares {
            shares.look = look;
        }
        self
    }

    /// Drops the datagrams of senders that these rules do not allow.
    #[must_use]
    pub fn with_access(mut self, access: &Arc<Access>) -> Self {
        self.access = Some(access).filter(|access| !access.allows_all()).cloned();
        self
    }

    /// Leaves the counting of datagrams to a group to another worker of the same address. The
    /// kernel delivers them to every socket that shares the address: SO_REUSEPORT, socket(7).
    pub(crate) fn without_group_count(mut self) -> Self {
        self.counts_groups = false;
        self
    }

    /// Serves until the stop token is stopped, and then replies to the datagrams that had arrived.
    ///
    /// # Errors
    ///
    /// If waiting is impossible: EBADF, EFAULT, EINVAL. Other errors of a wait are reported.
    pub fn run(mut self) -> io::Result<()> {
        while !self.wait()? {
            match self.turn() {
                // The worker only paused, so this is not a failure.
                None if self.receive_failures.should_pause() => self.receive_failures.reset(),
                // The socket was readable and had nothing to read.
                None => drop(self.receive_failures.add()),
                // After several datagrams there are usually more; after a single one there are not.
                Some(2..) => self.turns(TURNS_MAX),
                Some(_) => {}
            }
        }
        self.turns(LAST_TURNS_MAX);
        Ok(())
    }

    /// Takes at most `max` turns, as long as there are datagrams.
    fn turns(&mut self, max: usize) {
        for _ in 0..max {
            if self.turn().is_none() || self.receive_failures.should_pause() {
                break;
            }
        }
        self.count_kernel_drops();
    }

    /// Counts datagrams that the kernel dropped for lack of buffer space. A full buffer holds
    /// several datagrams, so it is enough to ask after several; SO_RXQ_OVFL would report the count
    /// with each datagram and costs more.
    fn count_kernel_drops(&mut self) {
        // Linux has SO_MEMINFO since 4.12.
        let Ok(memory) = self.socket.option(option::SO_MEMINFO) else { return };
        let new = memory.drops.wrapping_sub(self.kernel_drops);
        self.kernel_drops = memory.drops;
        self.service.add_drops(DropReason::Overflow, u64::from(new));
    }

    /// Waits for a datagram or for the stop, and returns whether to stop. After repeated failures
    /// to receive it only waits for the stop, and not longer than [`PAUSE`].
    fn wait(&mut self) -> io::Result<bool> {
        let stop = (self.stop.as_fd(), Interest::READ);
        let waited = match self.receive_failures.should_pause() {
            true => ready([stop], Some(PAUSE)).map(drop),
            false => ready([stop, (self.socket.as_fd(), Interest::READ)], None).map(drop),
        };
        let Err(error) = waited else {
            self.wait_failures.reset();
            return Ok(self.stop.is_stopped());
        };
        self.report_error("wait", &error);
        self.wait_failures.add_wait(error).map(|()| false)
    }

    /// Receives a batch without waiting and replies to it. Returns the number of datagrams, or
    /// `None` if there were none. After an error it returns `Some(0)`, because there may be more.
    pub fn turn(&mut self) -> Option<usize> {
        match self.socket.recv_many(&mut self.batch) {
            Ok(received) => {
                self.receive_failures.reset();
                self.reply(received);
                Some(received)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                let repeated = self.receive_failures.add();
                // netlink(7) reports once with ENOBUFS that it dropped datagrams.
                if repeated || !is_transient(&error) {
                    self.report_error("receive", &error);
                }
                Some(0)
            }
        }
    }

    /// Counts a failed operation and reports it.
    fn report_error(&mut self, operation: &'static str, error: &io::Error) {
        self.service.begin_turn();
        self.service.counters().add_error();
        self.service.report(operation, error);
    }

    /// Measures how much of the send buffer is charged, and finds out which clients have read their
    /// replies if some need their share back.
    fn renew_shares(&mut self) {
        let Some(SendShares { budget, look }) = &mut self.send_shares else { return };
        budget.begin(self.socket.send_queue_len().unwrap_or(0));
        let began = self.service.now().mono;
        let Some(look) = look.as_mut().filter(|_| budget.is_look_due(began)) else { return };
        let is_complete = look.for_each(|address, is_empty| budget.on_socket(address, is_empty)).is_ok();
        self.service.begin_turn();
        budget.end_look(began, self.service.now().mono, is_complete);
    }

    /// Replies to the datagrams of the batch.
    fn reply(&mut self, received: usize) {
        self.service.begin_turn();
        self.renew_shares();
        let responder = self.service.responder(true);
        let exact = (0..received).any(|index| responder.needs_exact_time(self.batch.bytes(index)));
        let tx = self.service.transmit_time(exact);
        let (before, mut bytes) = (self.messages, 0);
        for index in 0..received {
            match self.prepare(index, tx) {
                Ok(len) => bytes += len,
                Err(DropReason::Group) if !self.counts_groups => {}
                Err(reason) => self.service.add_drops(reason, 1),
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
            self.service.report("send", &error);
        }
        self.reply_cache.evict();
        bytes -= unsent.iter().map(|&index| self.batch.bytes(index).len()).sum::<usize>();
        self.service.counters().add_replies(self.messages - before - unsent.len() as u64, bytes);
        self.service.add_drops(DropReason::Unsent, unsent.len() as u64);
    }

    /// Filters one datagram and prepares its reply. Returns the datagram's length, or why there is
    /// no reply.
    fn prepare(&mut self, index: usize, tx: WallTime) -> Result<usize, DropReason> {
        let received = self.batch.metadata(index);
        let peer = self.batch.sender(index);
        let port = self.address.port().unwrap_or(0);
        let destination = received.packet_info.map(|info| Address::from(SocketAddr::new(info.local, port)));
        let local = destination.as_ref().unwrap_or(&self.address);
        let sender = match classify(&peer, local) {
            Sender::Remote if self.rules.is_trusted(&peer) => Sender::Local,
            sender => sender,
        };
        let datagram = Datagram {
            sender,
            to_group: is_to_group(&received, &peer),
            truncated: received.truncated,
            bytes: self.batch.bytes(index),
        };
        let user = received.credentials.map(|sender| sender.uid);
        if self.access.as_ref().is_some_and(|access| !access.allows(&peer, user)) {
            return Err(DropReason::Denied);
        }
        self.filter.check(&datagram)?;
        let is_plain = self.filter.is_plain(datagram.bytes);
        let to = match &peer {
            Address::Unix(UnixName::Path(path)) => Some(self.reply_cache.address(path, user)?),
            _ => None,
        };
        let bytes = self.batch.bytes_mut(index);
        let len = bytes.len();
        let datagram = DatagramContext { peer: &peer, local, tx, seq: self.messages };
        let meter = &self.rules.meter;
        let shares = &mut self.send_shares;
        self.service.reply_to_datagram(bytes, datagram, &mut self.prefix, |excess, now| {
            let form = if is_plain { ReplyForm::Plain } else { ReplyForm::Stamped { excess } };
            meter.admit(source(&peer, sender), form, now)?;
            shares.as_mut().map_or(Ok(()), |shares| shares.budget.admit(&peer, user, excess + len))
        })?;
        let from = received.packet_info.map(PacketInfo::by_any_interface);
        self.batch.reply(index, &self.prefix, from, to).map_err(|_| DropReason::Unsent)?;
        self.messages += 1;
        Ok(len)
    }
}
