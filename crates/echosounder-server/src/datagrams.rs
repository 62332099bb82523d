//! The loop that serves one datagram socket: receives a batch, filters each datagram, sends the
//! replies as a batch.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use echosounder_proto::stamp::ReflectorConfig;
use echosounder_proto::{Clock, DropReason, Sender};
use echosounder_socket::{Address, Batch, Interest, Socket, StopToken, is_forbidden, option, ready};

use crate::access::Access;
use crate::arrival::Arrival;
use crate::echo_replies::EchoReplies;
use crate::event::Observer;
use crate::failures::{Failures, PAUSE, is_transient};
use crate::header::UDP_CONTROL;
use crate::reply_cache;
use crate::reply_rules::ReplyRules;
use crate::sender::classify;
use crate::service::EchoService;
use crate::stamp_replies::StampReplies;
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
    replies: Replies,
    /// `None` allows all senders.
    access: Option<Arc<Access>>,
    rules: ReplyRules,
    /// Whether this worker counts datagrams to a group.
    counts_groups: bool,
    /// Messages replied to.
    messages: u64,
    /// The kernel's count of datagrams that it dropped for lack of buffer space, when it was last
    /// read.
    kernel_drops: u32,
    receive_failures: Failures,
    wait_failures: Failures,
    stop: StopToken,
    service: EchoService<C, O>,
}

/// What a worker replies with.
#[derive(Debug)]
enum Replies {
    Echo(EchoReplies),
    Stamp(Box<StampReplies>),
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
        let batch = match address.ip() {
            Some(_) => Batch::try_with_control(UDP_BATCH_MAX, UDP_LEN_MAX, UDP_CONTROL),
            None => Batch::try_new(OTHER_BATCH_MAX, OTHER_LEN_MAX),
        }?;
        let replies = EchoReplies::new(&socket, &address, &service.responder(true).stamp, &rules)?;
        Ok(Self {
            access: None,
            replies: Replies::Echo(replies),
            rules,
            batch,
            socket,
            address,
            counts_groups: true,
            messages: 0,
            kernel_drops: 0,
            receive_failures: Failures::default(),
            wait_failures: Failures::default(),
            stop,
            service,
        })
    }

    /// Looks with this socket which clients of a UNIX socket have read their replies.
    pub(crate) fn with_look(mut self, look: Option<UnreadLook>) -> Self {
        if let Replies::Echo(replies) = &mut self.replies {
            replies.set_look(look);
        }
        self
    }

    /// Reflects STAMP requests instead of echoing messages. The socket must be a UDP socket.
    ///
    /// # Errors
    ///
    /// If the kernel refuses to report times of receipt, or no memory is left.
    pub fn with_reflector(mut self, config: ReflectorConfig) -> io::Result<Self> {
        self.replies = Replies::Stamp(Box::new(StampReplies::new(&self.socket, &self.address, config)?));
        Ok(self)
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

    /// Replies to the datagrams of the batch.
    fn reply(&mut self, received: usize) {
        self.service.begin_turn();
        let (before, bytes) = (self.messages, self.prepare_all(received));
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
        if let Replies::Echo(replies) = &mut self.replies {
            replies.end_turn(&self.socket, &self.address);
        }
        let bytes = bytes - unsent.iter().map(|&index| self.batch.bytes(index).len()).sum::<usize>();
        self.service.counters().add_replies(self.messages - before - unsent.len() as u64, bytes);
        self.service.add_drops(DropReason::Unsent, unsent.len() as u64);
    }

    /// Prepares the replies to the datagrams of the batch. Returns the number of their bytes without
    /// prefixes.
    fn prepare_all(&mut self, received: usize) -> usize {
        match &mut self.replies {
            Replies::Echo(replies) => replies.begin_turn(&self.socket, &self.batch, &mut self.service),
            Replies::Stamp(replies) => replies.begin_turn(self.service.now().mono),
        }
        let mut bytes = 0;
        for index in 0..received {
            match self.prepare(index) {
                Ok(len) => bytes += len,
                Err(DropReason::Group) if !self.counts_groups => {}
                Err(reason) => self.service.add_drops(reason, 1),
            }
        }
        if let Replies::Stamp(replies) = &mut self.replies {
            replies.finish(&mut self.batch, self.service.transmit_time(true));
        }
        bytes
    }

    /// Prepares the reply to one datagram. Returns the length of the reply without its prefix, or why
    /// there is none.
    fn prepare(&mut self, index: usize) -> Result<usize, DropReason> {
        let arrival = self.arrival(index)?;
        let (batch, local) = (&mut self.batch, &self.address);
        let len = match &mut self.replies {
            Replies::Echo(replies) => {
                let (service, seq) = (&mut self.service, self.messages);
                replies.prepare(batch, index, &arrival, local, &self.rules, service, seq)
            }
            Replies::Stamp(replies) => {
                replies.reflect(batch, index, &arrival, local, &self.rules.meter, self.service.now())
            }
        }?;
        self.messages += 1;
        Ok(len)
    }

    /// Returns who sent a datagram, and where to, unless the sender is not allowed.
    fn arrival(&self, index: usize) -> Result<Arrival, DropReason> {
        let received = self.batch.metadata(index);
        let peer = self.batch.sender(index);
        let port = self.address.port().unwrap_or(0);
        let destination = received.packet_info.map(|info| Address::from(SocketAddr::new(info.local, port)));
        let sender = match classify(&peer, destination.as_ref().unwrap_or(&self.address)) {
            Sender::Remote if self.rules.is_trusted(&peer) => Sender::Local,
            sender => sender,
        };
        let arrival = Arrival { received, peer, destination, sender };
        let is_allowed = |access: &Arc<Access>| access.allows(&arrival.peer, arrival.user());
        if self.access.as_ref().is_none_or(is_allowed) { Ok(arrival) } else { Err(DropReason::Denied) }
    }
}
