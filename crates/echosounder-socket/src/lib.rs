//! Linux sockets of every family, and how the kernel moves their bytes.
//!
//! Nothing here knows what the bytes mean. This is the only crate of the project with `unsafe` and the only
//! one that knows `libc`, and both are confined to `sys/`; everything above it is safe code over
//! [`OwnedFd`](std::os::fd::OwnedFd).
//!
//! An [`Endpoint`] is what a user writes: a transport and a name, not resolved. It resolves to [`Address`]es,
//! to which a [`Socket`] is bound or connected. A [`Batch`] moves many datagrams in one system call; a
//! [`Poll`] waits for many sockets, [`ready`] for a few.
//!
//! ```
//! use echosounder_socket::Endpoint;
//!
//! let endpoint: Endpoint = "unix-seqpacket:@hold".parse()?;
//! assert_eq!(endpoint.to_string(), "unix-seqpacket:@hold");
//!
//! let (one, other) = endpoint.transport().pair()?;
//! one.send(b"ahoy")?;
//! let mut buffer = [0; 16];
//! assert_eq!(other.recv_message(&mut buffer)?, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The socket object, name for name
//!
//! What Python's socket object can do, a [`Socket`] can do. These are its methods and the functions around
//! them; the search of this page finds them by their Python names and by those of the system calls, too. An
//! [`Address`] is one of any family, and never looked up; names are looked up by [`Endpoint::resolve`].
//!
//! ## The server's side
//!
//! | Python | here | what differs |
//! |---|---|---|
//! | `create_server` | [`create_server`] | takes a transport, so it is for every family |
//! | `bind` | [`Socket::bind`] | |
//! | `listen` | [`Socket::listen`] | the queue is as long as the system allows; or [`Socket::listen_with`] |
//! | `accept` | [`Socket::accept`] | the new socket blocks; or [`Socket::accept_nonblocking`] |
//!
//! ```
//! use echosounder_socket::{Family, Protocol, ServerOptions, Socket, Transport, Type, create_server};
//! use std::net::{Ipv4Addr, TcpStream};
//!
//! let any_port = (Ipv4Addr::LOCALHOST, 0).into();
//! let by_hand = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
//! by_hand.bind(&any_port)?;
//! by_hand.listen()?;
//!
//! for server in [by_hand, create_server(Transport::Tcp, &any_port, ServerOptions::default())?] {
//!     let client = TcpStream::connect(("127.0.0.1", server.local_addr()?.port().unwrap_or(0)))?;
//!     let (connection, peer) = server.accept()?;
//!     assert_eq!(peer, client.local_addr()?.into());
//!     connection.send_all(b"[Sun Nov 22 12:19:36 2026] ")?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## The client's side
//!
//! | Python | here | what differs |
//! |---|---|---|
//! | `create_connection` | [`create_connection`] | takes an [`Endpoint`]; an error tells of every address |
//! | `connect` | [`Socket::connect`] | a timeout holds at a full UNIX queue, too |
//! | `connect_ex` | [`Socket::connect_ex`] | |
//!
//! ```
//! use echosounder_socket::{ServerOptions, Transport, create_connection, create_server};
//! use std::net::Ipv4Addr;
//!
//! let server = create_server(Transport::Tcp, &(Ipv4Addr::LOCALHOST, 0).into(), ServerOptions::default())?;
//! let address = server.local_addr()?;
//!
//! let client = Transport::Tcp.socket(&address)?;
//! client.connect(&address)?;
//! assert_eq!(client.connect_ex(&address), 106); // EISCONN
//!
//! let another = create_connection(&format!("tcp://{address}").parse()?, None, None)?;
//! assert_eq!(another.peer_addr()?, address);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Common use
//!
//! | Python | here | what differs |
//! |---|---|---|
//! | `socket` | [`Socket::new`] | |
//! | `socketpair` | [`Socket::pair`] | the family is always said |
//! | `recv` | [`Socket::recv`] | into a buffer, as `recv_into` |
//! | `send` | [`Socket::send`] | |
//! | `sendall` | [`Socket::send_all`], [`Socket::send_all_with`] | an error tells how much went out: [`Unfinished`] |
//! | `recvfrom` | [`Socket::recv_from`] | into a buffer, as `recvfrom_into` |
//! | `sendto` | [`Socket::send_to`] | flags: [`Socket::send_msg`] |
//! | `getpeername` | [`Socket::peer_addr`] | |
//! | `getsockname` | [`Socket::local_addr`] | |
//! | `getsockopt` | [`Socket::option`] | typed, see [`option`]; or [`Socket::option_bytes`] |
//! | `setsockopt` | [`Socket::set_option`] | [`Socket::set_option_bytes`], [`Socket::clear_option`] |
//! | `family`, `type`, `proto` | [`Socket::family`], [`Socket::socket_type`], [`Socket::protocol`] | |
//! | `shutdown` | [`Socket::shutdown`] | |
//! | `close` | [`Socket::close`] | dropping does it, too |
//!
//! ```
//! use echosounder_socket::option::SO_RCVBUF;
//! use echosounder_socket::{Address, Family, Shutdown, Protocol, Socket, Type};
//! use std::net::Ipv4Addr;
//!
//! // What arrives in order: recv, send, sendall.
//! let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! one.send_all(b"ahoy")?;
//! one.shutdown(Shutdown::Write)?;
//! let mut buffer = [0; 16];
//! assert_eq!(other.recv(&mut buffer)?, 4);
//! assert_eq!(other.recv(&mut buffer)?, 0);
//! assert_eq!(other.send(b"ahoy yourself")?, 13);
//! one.close()?;
//!
//! // What arrives in one piece or not at all: recvfrom, sendto.
//! let loopback = Address::from((Ipv4Addr::LOCALHOST, 0));
//! let [server, client] = [(); 2].map(|()| Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT));
//! let (server, client) = (server?, client?);
//! server.bind(&loopback)?;
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
//! ## Modes
//!
//! | Python | here | what differs |
//! |---|---|---|
//! | `setblocking` | [`Socket::set_blocking`] | |
//! | `getblocking` | [`Socket::is_blocking`] | |
//! | `settimeout` | [`Socket::set_timeout`] | no default for new sockets |
//! | `gettimeout` | [`Socket::timeout`] | |
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type};
//! use std::io::ErrorKind;
//! use std::time::Duration;
//!
//! let (one, _other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! assert_eq!((one.timeout(), one.is_blocking()), (None, true));
//!
//! one.set_timeout(Some(Duration::from_millis(10)))?;
//! assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::TimedOut);
//!
//! one.set_blocking(false)?;
//! assert_eq!(one.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
//! assert_eq!((one.timeout(), one.is_blocking()), (Some(Duration::ZERO), false));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Files and descriptors
//!
//! | Python | here | what differs |
//! |---|---|---|
//! | `fileno` | [`as_raw_fd`](std::os::fd::AsRawFd::as_raw_fd) | a closed socket cannot be asked |
//! | `makefile` | [`Socket::make_file`] | a [`SocketFile`]: bytes, buffered, both ways |
//! | `sendfile` | [`Socket::send_file`] | the file's own position stays where it is |
//! | `dup` | [`Socket::duplicate`] | |
//! | `detach` | [`Socket::into_fd`] | |
//! | `fromfd`, `socket(fileno=…)` | [`Socket::from_fd`] | takes the descriptor, makes no other |
//! | `get_inheritable` | [`Socket::inheritable`] | |
//! | `set_inheritable` | [`Socket::set_inheritable`] | |
//! | `if_nameindex` | [`interfaces`] | |
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
//! let again = other.duplicate()?;
//! assert_ne!(again.as_raw_fd(), other.as_raw_fd());
//! let again = Socket::from_fd(again.into_fd())?;
//! assert_eq!(again.recv(&mut [0; 16])?, 9);
//!
//! again.set_inheritable(true)?;
//! assert!(again.inheritable()? && !other.inheritable()?);
//!
//! assert!(interfaces()?.iter().any(|interface| interface.name == "lo"));
//! assert_eq!(interface_name(interface_index("lo")?)?, "lo");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! ## Messages with control data
//!
//! | Python | here | what differs |
//! |---|---|---|
//! | `sendmsg` | [`Socket::send_msg`] | control messages have types: [`SendControl`] |
//! | `recvmsg`, `recvmsg_into` | [`Socket::recv_msg`] | a [`Message`] with [`ControlMessage`]s |
//! | `send_fds` | [`SendControl::Rights`] | |
//! | `recv_fds` | [`ControlMessage::Rights`] | not inherited, and closed unless they are taken |
//! | – | [`Socket::send_many`] | sendmmsg(2): many messages in one call |
//! | – | [`Socket::recv_many`] | recvmmsg(2) |
//!
//! ```
//! use echosounder_socket::{
//!     Batch, ControlMessage, Family, MessageFlags, Outgoing, Protocol, SendControl, Socket, Type,
//!     control_space,
//! };
//! use std::io::{IoSlice, IoSliceMut};
//! use std::os::fd::AsFd;
//!
//! // A message from two buffers, and a socket beside it.
//! let (one, other) = Socket::pair(Family::UNIX, Type::DGRAM, Protocol::DEFAULT)?;
//! let (gift, kept) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
//! let pieces = [IoSlice::new(b"a socket "), IoSlice::new(b"for you")];
//! one.send_msg(&pieces, &[SendControl::Rights(&[gift.as_fd()])], None, MessageFlags::NONE)?;
//! drop(gift);
//!
//! let mut buffer = [0; 32];
//! let mut message =
//!     other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], control_space(4), MessageFlags::NONE)?;
//! assert_eq!(message.len, 16);
//! let Some(ControlMessage::Rights(mut fds)) = message.control.pop() else { panic!("it came alone") };
//! let gift = Socket::from_fd(fds.remove(0))?;
//! gift.send(b"thanks")?;
//! assert_eq!(kept.recv(&mut buffer)?, 6);
//!
//! // Two messages in one call, each way.
//! let words = [[IoSlice::new(b"ahoy")], [IoSlice::new(b"there")]];
//! let messages = words.each_ref().map(|buffers| Outgoing { buffers, control: &[], to: None });
//! assert_eq!(one.send_many(&messages)?, 2);
//! let mut batch = Batch::new(8, 64);
//! assert_eq!(other.recv_many(&mut batch)?, 2);
//! assert_eq!(batch.bytes(0), b"ahoy");
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod address;
mod batch;
mod buffer;
mod control;
mod create;
mod credentials;
mod endpoint;
mod endpoint_error;
mod errno;
mod error;
pub mod family;
mod file;
mod interface;
pub mod kernel;
mod limit;
mod lookup;
pub mod option;
mod poll;
mod raw_address;
mod signal;
mod socket;
mod stop;
mod sys;
mod transport;
mod unbind;
mod wait;

pub use address::{Address, Locality};
pub use batch::{Batch, Received};
pub use buffer::IoBuffer;
pub use control::{ControlMessage, ExtendedError, PacketInfo, RawControl, SendControl, control_space};
pub use create::{
    ConnectionError, FailedAttempts, ServerOptions, create_connection, create_server,
    is_multicast_or_broadcast,
};
pub use credentials::Credentials;
pub use endpoint::{Endpoint, Name};
pub use endpoint_error::EndpointError;
pub use errno::{
    PeerFailure, PeerOperation, is_connection_lost, is_family_absent, is_feature_absent, is_forbidden,
    is_from_icmp, is_other_type, is_out_of_descriptors, is_out_of_resources, is_too_long, is_unreachable,
};
pub use error::Error;
pub use family::{Family, Protocol, Type};
pub use file::SocketFile;
pub use interface::{Interface, interface_index, interface_name, interfaces};
pub use limit::{ignore_file_size_signal, raise_fd_limit, set_timer_slack};
pub use lookup::{IpVersion, Side};
pub use poll::{Event, Events, Interest, Poll, Readiness, Waker, ready};
pub use raw_address::RawAddress;
pub use signal::{Signal, Signals};
pub use socket::{
    FromFdError, Message, MessageFlags, Outgoing, Shutdown, Socket, Unfinished, effective_user_id,
};
pub use stop::StopToken;
pub use transport::{DEFAULT_PORT, Kind, TcpOptions, Timestamping, Transport};
pub use wait::set_interrupt_hook;
