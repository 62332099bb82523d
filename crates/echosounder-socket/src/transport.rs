//! The table of transports: one row per combination of address family, socket type and protocol,
//! one column per fact that a server or a client needs to know.
//!
//! Code above this crate asks for a fact ([`Transport::half_closes`],
//! [`Transport::shares_addresses`]) instead of comparing transports, so that a new transport works
//! everywhere once its row is here.

use std::fmt;
use std::io;

use crate::family::{Family, Protocol, Type};
use crate::option::{SCTP_NODELAY, SO_RCVBUF, SO_SNDBUF, SocketOption, TCP_NODELAY};

/// The port of the timestamped echo service, used if an endpoint names none.
pub const DEFAULT_PORT: u16 = 21567;

/// A way to move bytes: an address family, a socket type and a protocol.
///
/// ```
/// use echosounder_socket::{Kind, Transport};
///
/// // A program that works over any transport asks what it needs to know.
/// for transport in Transport::all().filter(|transport| transport.kind() == Kind::Stream) {
///     println!("{}: {} {}", transport.scheme(), transport.socket_type(), transport.half_closes());
/// }
/// let (one, other) = Transport::UnixSeqpacket.pair()?;
/// one.send(b"ahoy")?;
/// assert_eq!(other.recv(&mut [0; 16])?, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Transport {
    /// SOCK_STREAM over AF_INET and AF_INET6: tcp(7).
    Tcp,
    /// SOCK_DGRAM over AF_INET and AF_INET6: udp(7).
    Udp,
    /// SOCK_STREAM over AF_UNIX: unix(7).
    UnixStream,
    /// SOCK_DGRAM over AF_UNIX: unix(7).
    UnixDatagram,
    /// SOCK_SEQPACKET over AF_UNIX: unix(7).
    UnixSeqpacket,
    /// SOCK_STREAM over AF_VSOCK: vsock(7).
    VsockStream,
    /// SOCK_SEQPACKET over AF_VSOCK, since Linux 5.14: vsock(7).
    VsockSeqpacket,
    /// SOCK_STREAM over AF_TIPC.
    TipcStream,
    /// SOCK_SEQPACKET over AF_TIPC.
    TipcSeqpacket,
    /// SOCK_RDM over AF_TIPC: datagrams that the network does not lose.
    TipcRdm,
    /// SOCK_DGRAM over AF_TIPC.
    TipcDatagram,
    /// SOCK_DGRAM over AF_NETLINK with NETLINK_USERSOCK, between processes: netlink(7).
    Netlink,
    /// SOCK_STREAM with IPPROTO_MPTCP over AF_INET and AF_INET6: RFC 8684.
    Mptcp,
    /// SOCK_STREAM with IPPROTO_SCTP over AF_INET and AF_INET6, one socket per association:
    /// sctp(7).
    Sctp,
}

/// How a program uses the sockets of a transport.
///
/// See [`Transport`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Connections that carry a stream of bytes: accept, read, write.
    Stream,
    /// Connections that preserve message boundaries: one read returns one message.
    Messages,
    /// No connections: receive a message with its source, send a message to an address.
    Datagrams,
}

/// Which options at the level IPPROTO_TCP the sockets of a transport have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpOptions {
    /// None of them.
    None,
    /// Some of them, depending on the kernel version: a program sets them and ignores errors.
    Some,
    /// All of them.
    All,
}

/// Which packets the kernel timestamps if SO_TIMESTAMPING is set on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timestamping {
    /// None.
    None,
    /// Received packets. The time of a read on a stream is that of its last byte.
    Receive,
    /// Received and sent packets. Transmit times arrive on the error queue.
    SendAndReceive,
}

/// How the names of a transport are written after the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameForm {
    /// A host and a port.
    Inet,
    /// A path or an abstract name.
    Unix,
    /// A context id and a port.
    Vsock,
    /// A type and an instance.
    Tipc,
    /// A port id.
    Netlink,
}

/// A row of the table. The methods of [`Transport`] document the columns.
struct Row {
    transport: Transport,
    /// The scheme with its separator.
    prefix: &'static str,
    form: NameForm,
    kind: Kind,
    socket: (Type, Protocol),
    half_closes: bool,
    reset_is_end: bool,
    close_may_block: bool,
    listens_before_bind: bool,
    shares_addresses: bool,
    receives_from_any: bool,
    receives_empty_messages: bool,
    tcp_options: TcpOptions,
    nodelay: Option<SocketOption<bool>>,
    queue_limit: Option<SocketOption<i32>>,
    timestamping: Timestamping,
    requirement: Option<&'static str>,
}

impl Row {
    /// A row whose other columns hold the value that most transports have.
    const fn new(
        transport: Transport,
        prefix: &'static str,
        form: NameForm,
        kind: Kind,
        socket: (Type, Protocol),
    ) -> Self {
        Self {
            transport,
            prefix,
            form,
            kind,
            socket,
            half_closes: true,
            reset_is_end: false,
            close_may_block: false,
            listens_before_bind: false,
            shares_addresses: false,
            receives_from_any: false,
            receives_empty_messages: false,
            tcp_options: TcpOptions::None,
            nodelay: None,
            queue_limit: None,
            timestamping: Timestamping::None,
            requirement: None,
        }
    }
}

const STREAM: (Type, Protocol) = (Type::STREAM, Protocol::DEFAULT);
const SEQPACKET: (Type, Protocol) = (Type::SEQPACKET, Protocol::DEFAULT);
const DGRAM: (Type, Protocol) = (Type::DGRAM, Protocol::DEFAULT);
const RDM: (Type, Protocol) = (Type::RDM, Protocol::DEFAULT);

const TIPC_MODULE: &str = "\"modprobe tipc\", or a kernel with CONFIG_TIPC";

/// The rows, in the order of the variants of [`Transport`].
static TABLE: [Row; 14] = {
    use Kind::{Datagrams, Messages, Stream};
    use NameForm::{Inet, Netlink, Tipc, Unix, Vsock};
    [
        Row {
            shares_addresses: true,
            tcp_options: TcpOptions::All,
            nodelay: Some(TCP_NODELAY),
            timestamping: Timestamping::Receive,
            ..Row::new(Transport::Tcp, "tcp://", Inet, Stream, STREAM)
        },
        Row {
            shares_addresses: true,
            queue_limit: Some(SO_RCVBUF),
            timestamping: Timestamping::SendAndReceive,
            ..Row::new(Transport::Udp, "udp://", Inet, Datagrams, DGRAM)
        },
        Row::new(Transport::UnixStream, "unix:", Unix, Stream, STREAM),
        Row {
            queue_limit: Some(SO_SNDBUF),
            ..Row::new(Transport::UnixDatagram, "unix-dgram:", Unix, Datagrams, DGRAM)
        },
        Row {
            receives_empty_messages: true,
            ..Row::new(Transport::UnixSeqpacket, "unix-seqpacket:", Unix, Messages, SEQPACKET)
        },
        Row {
            requirement: Some("\"modprobe vsock_loopback\", or a kernel with CONFIG_VSOCKETS_LOOPBACK"),
            ..Row::new(Transport::VsockStream, "vsock://", Vsock, Stream, STREAM)
        },
        Row {
            requirement: Some("\"modprobe vsock_loopback\", and Linux 5.14"),
            ..Row::new(Transport::VsockSeqpacket, "vsock-seqpacket://", Vsock, Messages, SEQPACKET)
        },
        Row {
            half_closes: false,
            reset_is_end: true,
            close_may_block: true,
            listens_before_bind: true,
            requirement: Some(TIPC_MODULE),
            ..Row::new(Transport::TipcStream, "tipc://", Tipc, Stream, STREAM)
        },
        Row {
            half_closes: false,
            reset_is_end: true,
            close_may_block: true,
            listens_before_bind: true,
            requirement: Some(TIPC_MODULE),
            ..Row::new(Transport::TipcSeqpacket, "tipc-seqpacket://", Tipc, Messages, SEQPACKET)
        },
        Row {
            reset_is_end: true,
            receives_from_any: true,
            requirement: Some(TIPC_MODULE),
            ..Row::new(Transport::TipcRdm, "tipc-rdm://", Tipc, Datagrams, RDM)
        },
        Row {
            reset_is_end: true,
            receives_from_any: true,
            requirement: Some(TIPC_MODULE),
            ..Row::new(Transport::TipcDatagram, "tipc-dgram://", Tipc, Datagrams, DGRAM)
        },
        Row {
            queue_limit: Some(SO_RCVBUF),
            ..Row::new(
                Transport::Netlink,
                "netlink://",
                Netlink,
                Datagrams,
                (Type::DGRAM, Protocol::NETLINK_USERSOCK),
            )
        },
        Row {
            shares_addresses: true,
            tcp_options: TcpOptions::Some,
            nodelay: Some(TCP_NODELAY),
            requirement: Some("\"sysctl net.mptcp.enabled=1\", or a kernel with CONFIG_MPTCP"),
            ..Row::new(Transport::Mptcp, "mptcp://", Inet, Stream, (Type::STREAM, Protocol::MPTCP))
        },
        Row {
            half_closes: false,
            nodelay: Some(SCTP_NODELAY),
            requirement: Some("\"modprobe sctp\", or a kernel with CONFIG_IP_SCTP"),
            ..Row::new(Transport::Sctp, "sctp://", Inet, Stream, (Type::STREAM, Protocol::SCTP))
        },
    ]
};

const _: () = {
    let mut index = 0;
    while index < TABLE.len() {
        assert!(TABLE[index].transport as usize == index, "the rows are in the order of the variants");
        index += 1;
    }
};

/// What an endpoint looks like.
impl Transport {
    /// Returns every transport, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.transport)
    }

    /// Returns the text before the name, without the separator: `tcp`, `unix-dgram`.
    pub fn scheme(self) -> &'static str {
        self.prefix().trim_end_matches(['/', ':'])
    }

    /// The scheme with its separator: `tcp://`, `unix-dgram:`.
    pub(crate) fn prefix(self) -> &'static str {
        self.row().prefix
    }

    /// How its names are written.
    pub(crate) fn form(self) -> NameForm {
        self.row().form
    }

    /// Whether its names consist of a host and a port, and its addresses are IP addresses.
    pub fn has_hosts(self) -> bool {
        self.form() == NameForm::Inet
    }

    /// Returns the port of an endpoint that names none; `None` if the names have no port.
    pub fn default_port(self) -> Option<u16> {
        matches!(self.form(), NameForm::Inet | NameForm::Vsock).then_some(DEFAULT_PORT)
    }
}

/// The arguments of socket(2), and what the kernel needs for it to succeed.
impl Transport {
    /// Returns the socket type.
    pub fn socket_type(self) -> Type {
        self.row().socket.0
    }

    /// Returns the protocol.
    pub fn protocol(self) -> Protocol {
        self.row().socket.1
    }

    /// The family of a pair of sockets, which have no address to take it from.
    pub(crate) fn pair_family(self) -> Family {
        match self.form() {
            NameForm::Inet => Family::INET,
            NameForm::Unix => Family::UNIX,
            NameForm::Vsock => Family::VSOCK,
            NameForm::Tipc => Family::TIPC,
            NameForm::Netlink => Family::NETLINK,
        }
    }
}

/// How a server and a client use its sockets.
impl Transport {
    /// Returns how a program uses its sockets.
    pub fn kind(self) -> Kind {
        self.row().kind
    }

    /// Whether a server listens and accepts connections.
    pub fn has_connections(self) -> bool {
        self.kind() != Kind::Datagrams
    }

    /// Whether a wildcard socket can receive the destination address of each datagram (IP_PKTINFO,
    /// IPV6_RECVPKTINFO) and reply from it: ip(7).
    pub fn has_packet_info(self) -> bool {
        self.has_hosts() && self.kind() == Kind::Datagrams
    }

    /// Whether one side of a connection can shut down its direction and still receive from the
    /// other. TIPC and SCTP shut down both directions at once.
    pub fn half_closes(self) -> bool {
        self.row().half_closes
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

/// What the server and the client of this project do differently with the sockets of each
/// transport. Not part of the public API.
#[doc(hidden)]
impl Transport {
    /// Returns the command that enables the transport in a kernel where it is absent, and what that
    /// kernel must be built with, as advice to print; `None` for a transport that every Linux
    /// kernel has.
    pub fn requirement(self) -> Option<&'static str> {
        self.row().requirement
    }

    /// Whether a server must call listen(2) before bind(2). TIPC publishes a service when it is
    /// bound, and refuses connections that arrive before the socket listens.
    pub fn listens_before_bind(self) -> bool {
        self.row().listens_before_bind
    }

    /// Whether a listener needs SO_REUSEADDR to bind a port while connections of an earlier
    /// listener are in TIME-WAIT: tcp(7).
    pub fn needs_reuse_addr(self) -> bool {
        self.has_connections() && self.has_hosts()
    }

    /// Whether several sockets can bind one address if all set SO_REUSEPORT, and the kernel then
    /// distributes the peers among them: socket(7).
    pub fn shares_addresses(self) -> bool {
        self.row().shares_addresses
    }

    /// Whether a client must bind a name of its own to receive replies. An unbound UNIX datagram
    /// socket has no address: unix(7).
    pub fn needs_client_name(self) -> bool {
        self.form() == NameForm::Unix && self.kind() == Kind::Datagrams
    }

    /// Whether a server replies to a path of the file system, which another socket can take over
    /// between the request and the reply.
    pub fn replies_to_paths(self) -> bool {
        self.form() == NameForm::Unix && self.kind() == Kind::Datagrams
    }

    /// Whether a connected socket also receives from sockets other than its peer. The source of a
    /// message then does not identify the peer's reply.
    pub fn receives_from_any(self) -> bool {
        self.row().receives_from_any
    }

    /// Whether a read of zero bytes on a connection may be an empty message rather than the end.
    /// The other transports do not deliver empty messages.
    pub fn receives_empty_messages(self) -> bool {
        self.row().receives_empty_messages
    }

    /// Whether an error of a receive means that the peer has closed the connection. TIPC returns
    /// ECONNRESET after the last byte where other families return zero bytes.
    pub fn is_end(self, error: &io::Error) -> bool {
        self.row().reset_is_end && error.kind() == io::ErrorKind::ConnectionReset
    }

    /// Whether close(2) and shutdown(2) may block even on a non-blocking socket. TIPC waits up to 8
    /// seconds for a congested peer; such a connection is not writable.
    pub fn close_may_block(self) -> bool {
        self.row().close_may_block
    }

    /// Returns which options at the level IPPROTO_TCP its sockets have. An MPTCP socket passes some
    /// of them on to its subflows, more with each kernel version.
    pub fn tcp_options(self) -> TcpOptions {
        self.row().tcp_options
    }

    /// Returns the option that makes the kernel send small messages at once, without Nagle's
    /// algorithm. With [`TcpOptions::Some`], a kernel may not have it.
    pub fn nodelay(self) -> Option<SocketOption<bool>> {
        self.row().nodelay
    }

    /// Returns the option that limits how many bytes of datagrams a server's socket can have in
    /// flight.
    ///
    /// Received datagrams are charged to the receiver (SO_RCVBUF), except that unread datagrams of
    /// a UNIX socket are charged to their sender (SO_SNDBUF): unix(7).
    pub fn queue_limit(self) -> Option<SocketOption<i32>> {
        self.row().queue_limit
    }

    /// Returns which packets the kernel timestamps if SO_TIMESTAMPING is set.
    pub fn timestamping(self) -> Timestamping {
        self.row().timestamping
    }

    /// Whether the kernel queues errors with the packet that caused them if IP_RECVERR is set:
    /// ip(7). A stream socket returns its errors from the next operation instead.
    pub fn has_error_queue(self) -> bool {
        self.has_hosts() && self.kind() == Kind::Datagrams
    }
}

/// Writes the scheme: `tcp`, `unix-dgram`.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.scheme())
    }
}
