//! Linux sockets of every address family, with one socket object, one address type and one notation
//! for endpoints.
//!
//! `std::net` covers TCP and UDP, `std::os::unix::net` covers UNIX streams and datagrams. This
//! crate covers those and UNIX seqpacket, VSOCK, TIPC, netlink, MPTCP and SCTP, with socket
//! options, control messages, batches of datagrams and readiness polling. All `unsafe` code is in
//! one private module. Everything public is built on [`OwnedFd`](std::os::fd::OwnedFd) and safe,
//! apart from the functions for raw descriptors and for socket options that this crate does not
//! know. Calls and options have the semantics of the Linux manual pages, which each item names.
//!
//! # Overview
//!
//! - An [`Endpoint`] is what a user writes, for example `tcp://localhost:21567` or
//!   `unix:/run/echo`: a [`Transport`] and a name. [`Endpoint::resolve`] turns it into
//!   [`Address`]es.
//! - [`create_server`] and [`create_connection`] create a bound or connected [`Socket`] in one
//!   call.
//! - A [`Socket`] has the methods of Python's socket object; the tables below map one to the other.
//! - [`option`] lists the socket options, each with the type of its value.
//! - [`SendControl`] and [`ControlMessage`] are the control messages of sendmsg(2) and recvmsg(2).
//! - A [`Batch`] receives and sends many datagrams per system call.
//! - A [`Poll`] waits for many descriptors with epoll(7), [`ready`] for a few with poll(2).
//! - [`Signals`] receives signals through a descriptor, and a [`StopToken`] stops loops from other
//!   threads.
//! - Sockets convert to std's types and back, and a [`SocketRef`] borrows the sockets of other
//!   crates. The pages of [`guide`] show both with tokio and mio.
//!
//! # Features
//!
//! - `serde`, off by default: [`Address`], [`Endpoint`], [`Transport`] and the addresses of the
//!   families serialize as text and deserialize from it. Records of the kernel such as
//!   [`TcpInfo`](option::TcpInfo) serialize as objects.
//!
//! # Examples
//!
//! A server that replies to one client:
//!
//! ```
//! use echosounder_socket::{ServerOptions, create_connection, create_server};
//!
//! // Port 0: the kernel chooses a free one.
//! let server = create_server(("localhost", 0), ServerOptions::default())?;
//!
//! let client = create_connection(server.local_addr()?, None, None)?;
//! client.send_all(b"hello")?;
//!
//! let (connection, _peer) = server.accept()?;
//! let mut buffer = [0; 1024];
//! let len = connection.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"hello");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Two connected sockets that preserve message boundaries:
//!
//! ```
//! use echosounder_socket::Transport;
//!
//! let (one, other) = Transport::UnixSeqpacket.pair()?;
//! one.send(b"first")?;
//! one.send(b"second")?;
//! let mut buffer = [0; 16];
//! assert_eq!(other.recv_message(&mut buffer)?.len, 5);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The folder `examples/` contains complete programs: a TCP and a UDP server and client, passing
//! descriptors to another process, and kernel timestamps.
//!
//! # Python's socket object, method by method
//!
//! The search of this documentation also finds items by their Python names and by the names of the
//! system calls.
//!
//! ## Server
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `create_server` | [`create_server`] | takes any endpoint: [`ToEndpoint`] |
//! | `bind` | [`Socket::bind`] | |
//! | `listen` | [`Socket::listen`] | maximum backlog; or [`Socket::listen_with`] |
//! | `accept` | [`Socket::accept`] | or [`Socket::accept_nonblocking`], [`Socket::incoming`] |
//!
//! ```
//! use echosounder_socket::{Family, Protocol, ServerOptions, Socket, Type, create_server};
//! use std::net::TcpStream;
//!
//! let one = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
//! one.bind(("localhost", 0))?;
//! one.listen()?;
//! let other = create_server("tcp://127.0.0.1:0", ServerOptions::default())?;
//!
//! for server in [one, other] {
//!     let client = TcpStream::connect(("127.0.0.1", server.local_addr()?.port().unwrap_or(0)))?;
//!     let (connection, peer) = server.accept()?;
//!     assert_eq!(peer, client.local_addr()?.into());
//!     connection.send_all(b"[Sun Nov 22 12:19:36 2026] ")?;
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Client
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `create_connection` | [`create_connection`] | takes any endpoint; tries its addresses as RFC 8305 recommends |
//! | `connect` | [`Socket::connect`] | the timeout also covers a full UNIX queue |
//! | `connect_ex` | [`Socket::connect_ex`] | |
//!
//! ```
//! use echosounder_socket::{
//!     Family, Protocol, ServerOptions, Socket, Type, create_connection, create_server,
//! };
//!
//! let server = create_server("tcp://127.0.0.1:0", ServerOptions::default())?;
//! let address = server.local_addr()?;
//!
//! let client = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
//! client.connect(&address)?;
//! assert_eq!(client.connect_ex(&address), 106); // EISCONN
//!
//! let another = create_connection(&address, None, None)?;
//! assert_eq!(another.peer_addr()?, address);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Both sides
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `socket` | [`Socket::new`] | |
//! | `socketpair` | [`Socket::pair`] | the family is required |
//! | `recv` | [`Socket::recv`] | into a buffer, like `recv_into`; with flags: [`Socket::recv_with`], [`Socket::peek`] |
//! | `send` | [`Socket::send`] | with flags: [`Socket::send_with`] |
//! | `sendall` | [`Socket::send_all`], [`Socket::send_all_with`] | an error contains the number of bytes sent: [`Unfinished`] |
//! | `recvfrom` | [`Socket::recv_from`] | into a buffer, like `recvfrom_into` |
//! | `sendto` | [`Socket::send_to`] | with flags: [`Socket::send_to_with`] |
//! | `getpeername` | [`Socket::peer_addr`] | |
//! | `getsockname` | [`Socket::local_addr`] | |
//! | `getsockopt` | [`Socket::option`] | typed: see [`option`]; or [`Socket::option_bytes`] |
//! | `setsockopt` | [`Socket::set_option`] | typed: see [`option`] |
//! | `family`, `type`, `proto` | [`Socket::family`], [`Socket::socket_type`], [`Socket::protocol`] | |
//! | `shutdown` | [`Socket::shutdown`] | |
//! | `close` | [`Socket::close`] | dropping the socket closes it too |
//!
//! ```
//! use echosounder_socket::option::SO_RCVBUF;
//! use echosounder_socket::{Family, Protocol, Shutdown, Socket, Type};
//!
//! // A stream: recv, send, sendall, shutdown.
//! let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! one.send_all(b"ahoy")?;
//! one.shutdown(Shutdown::Write)?;
//! let mut buffer = [0; 16];
//! assert_eq!(other.recv(&mut buffer)?, 4);
//! assert_eq!(other.recv(&mut buffer)?, 0);
//! assert_eq!(other.send(b"ahoy yourself")?, 13);
//! one.close()?;
//!
//! // Datagrams: recvfrom, sendto.
//! let [server, client] = [(); 2].map(|()| Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT));
//! let (server, client) = (server?, client?);
//! server.bind(("localhost", 0))?;
//! client.send_to(b"ahoy", &server.local_addr()?)?;
//! let (len, from) = server.recv_from(&mut buffer)?;
//! server.connect(&from)?;
//! assert_eq!((len, server.peer_addr()?), (4, from));
//!
//! server.set_option(SO_RCVBUF, 65536)?;
//! assert!(65536 <= server.option(SO_RCVBUF)?);
//! assert_eq!((server.family()?, server.socket_type()?), (Family::INET, Type::DGRAM));
//! assert_eq!(server.protocol()?, Protocol::UDP);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Blocking and timeouts
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `setblocking` | [`Socket::set_nonblocking`] | |
//! | `getblocking` | [`Socket::nonblocking`] | the opposite |
//! | `settimeout` | [`Socket::set_timeout`] | there is no default timeout for new sockets |
//! | `gettimeout` | [`Socket::timeout`] | |
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type};
//! use std::io::ErrorKind;
//! use std::time::Duration;
//!
//! let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! assert_eq!((one.timeout(), one.nonblocking()), (None, false));
//!
//! one.set_timeout(Some(Duration::from_millis(10)))?;
//! assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::TimedOut);
//!
//! one.set_nonblocking(true)?;
//! assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
//! assert_eq!((one.timeout(), one.nonblocking()), (Some(Duration::ZERO), true));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Files, descriptors and interfaces
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `fileno` | [`as_raw_fd`](std::os::fd::AsRawFd::as_raw_fd) | a closed socket cannot exist |
//! | `makefile` | [`Socket::make_file`] | a [`SocketFile`]: bytes, buffered; [`SocketFile::into_split`] to write while iterating over lines |
//! | `sendfile` | [`Socket::send_file`] | the position of the file does not change |
//! | `dup` | [`Socket::try_clone`] | |
//! | `detach` | [`Socket::into_fd`] | |
//! | `fromfd`, `socket(fileno=…)` | [`Socket::from_fd`] | takes ownership of the descriptor; a [`SocketRef`] borrows it |
//! | `get_inheritable` | [`Socket::inheritable`] | |
//! | `set_inheritable` | [`Socket::set_inheritable`] | |
//! | `if_nameindex` | [`interfaces`] | with flags and addresses |
//! | `if_nametoindex` | [`interface_index`] | |
//! | `if_indextoname` | [`interface_name`] | |
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type, interface_index, interface_name, interfaces};
//! use std::fs::File;
//! use std::io::{BufRead, Write};
//! use std::os::fd::AsRawFd;
//!
//! let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! writeln!(one.make_file()?, "ahoy")?;
//! let mut line = String::new();
//! other.make_file()?.read_line(&mut line)?;
//! assert_eq!(line, "ahoy\n");
//!
//! one.send_file(&File::open("Cargo.toml")?, 0, Some(9))?;
//! let copy = other.try_clone()?;
//! assert_ne!(copy.as_raw_fd(), other.as_raw_fd());
//! let copy = Socket::from_fd(copy.into_fd())?;
//! assert_eq!(copy.recv(&mut [0; 16])?, 9);
//!
//! copy.set_inheritable(true)?;
//! assert!(copy.inheritable()? && !other.inheritable()?);
//!
//! assert!(interfaces()?.iter().any(|interface| interface.name == "lo"));
//! assert_eq!(interface_name(interface_index("lo")?)?, "lo");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Control messages and batches
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `sendmsg` | [`Socket::send_msg`] | typed control messages: [`SendControl`] |
//! | `recvmsg`, `recvmsg_into` | [`Socket::recv_msg`] | returns a [`Message`] with [`ControlMessage`]s |
//! | `send_fds` | [`SendControl::Rights`] | |
//! | `recv_fds` | [`Message::take_rights`] | close-on-exec; dropping the message closes them |
//! | `CMSG_LEN`, `CMSG_SPACE` | [`ControlSpace`] | constants by type, and one for all |
//! | none | [`Socket::send_many`] | sendmmsg(2): many messages per call |
//! | none | [`Socket::recv_many`] | recvmmsg(2): many messages per call |
//!
//! ```
//! use echosounder_socket::{
//!     Batch, ControlSpace, Family, MessageFlags, Outgoing, Protocol, SendControl, Socket, Type,
//! };
//! use std::io::{IoSlice, IoSliceMut};
//! use std::os::fd::AsFd;
//!
//! // A message from two buffers, with a socket.
//! let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
//! let (passed, retained) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! let parts = [IoSlice::new(b"a socket "), IoSlice::new(b"for you")];
//! one.send_msg(&parts, &[SendControl::Rights(&[passed.as_fd()])], None, MessageFlags::NONE)?;
//! drop(passed);
//!
//! let mut buffer = [0; 32];
//! let space = ControlSpace::rights(1);
//! let mut message = other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
//! assert_eq!(message.len, 16);
//! let passed = Socket::from_fd(message.take_rights().remove(0))?;
//! passed.send(b"thanks")?;
//! assert_eq!(retained.recv(&mut buffer)?, 6);
//!
//! // Two messages per call, in both directions.
//! let words = [[IoSlice::new(b"ahoy")], [IoSlice::new(b"there")]];
//! let messages = words.each_ref().map(|word| Outgoing::new(word));
//! assert_eq!(one.send_many(&messages)?, 2);
//! let mut batch = Batch::new(8, 64);
//! assert_eq!(other.recv_many(&mut batch)?, 2);
//! assert_eq!(batch.bytes(0), b"ahoy");
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]
#![doc(test(attr(deny(unused))))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", not(target_arch = "sparc64"))))]
compile_error!(
    "echosounder-socket supports 64-bit Linux, such as x86-64, aarch64 and riscv64, but not Android or SPARC"
);

mod address;
mod batch;
mod buffer;
mod connection;
mod control;
mod create;
mod credentials;
mod datagram;
mod endpoint;
mod endpoint_error;
mod errno;
mod error;
pub mod family;
mod file;
mod from_fd_error;
pub mod guide;
mod interface;
#[doc(hidden)]
pub mod internal;
mod lookup;
mod message;
pub mod option;
mod poll;
mod raw_address;
#[cfg(feature = "serde")]
mod serde_text;
mod signal;
mod socket;
mod std_types;
mod stop;
mod sys;
mod to_endpoint;
mod transport;
mod unbind;
mod unfinished;
mod wait;

pub use address::{Address, Locality};
pub use batch::Batch;
pub use buffer::IoBuffer;
pub use connection::{ConnectionError, FailedAttempts, create_connection};
pub use control::{
    ControlMessage, ControlSpace, ErrorProtocol, ExtendedError, PacketAuxData, PacketInfo, RawControl,
    RawControlBuf, SctpReceiveInfo, SctpSendInfo, SendControl, Timestamp, TimestampResolution,
    ZerocopyCompletion,
};
pub use create::{ServerOptions, create_server, is_multicast_or_broadcast};
pub use credentials::Credentials;
pub use datagram::{Datagram, Datagrams};
pub use endpoint::{Endpoint, Name};
pub use endpoint_error::EndpointError;
pub use errno::{
    PeerFailure, PeerOperation, is_connection_lost, is_family_absent, is_feature_absent, is_forbidden,
    is_from_icmp, is_other_type, is_out_of_descriptors, is_out_of_resources, is_too_long, is_unreachable,
};
pub use error::Error;
pub use family::{Family, Protocol, Type};
pub use file::{SocketFile, SocketReader, SocketWriter};
pub use from_fd_error::FromFdError;
pub use interface::{
    Interface, InterfaceAddress, InterfaceFlags, interface_index, interface_name, interfaces,
};
pub use lookup::{IpVersion, Side};
pub use message::{Message, MessageFlags, MessageLen, Outgoing};
pub use poll::{Event, Events, EventsIter, Interest, Poll, PollFd, Readiness, Waker, poll, ready};
pub use raw_address::RawAddress;
pub use signal::{Signal, Signals};
pub use socket::{Incoming, Socket};
#[doc(no_inline)]
pub use std::net::Shutdown;
pub use stop::StopToken;
pub use sys::message::SendBatch;
pub use sys::raw_fd::SocketRef;
pub use to_endpoint::ToEndpoint;
pub use transport::{Kind, Transport};
pub use unfinished::Unfinished;
pub use wait::set_interrupt_hook;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
