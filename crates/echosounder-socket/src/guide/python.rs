//! Python's socket object, method by method, and what differs here.
//!
//! [`Socket`] is the socket object of Python's module `socket`, with the names of Rust. The search of
//! this documentation also finds items by their Python names, such as `sendall` or `makefile`.
//!
//! What differs everywhere:
//!
//! | Python | Rust |
//! |---|---|
//! | `("localhost", 21567)` | the same, or `"tcp://localhost:21567"`, or an [`Address`]: [`ToEndpoint`] |
//! | `recv(1024)` returns new bytes | [`recv`](Socket::recv) fills a buffer of the caller and returns the number of bytes |
//! | `OSError`, `timeout`, `BlockingIOError` | [`io::Error`](std::io::Error) with a [`kind`](std::io::Error::kind): `TimedOut`, `WouldBlock` and others |
//! | `with socket:`, `close()` | a socket is closed when it is dropped |
//! | `AF_INET`, `SOCK_STREAM`, `IPPROTO_UDP` | [`Family::INET`], [`Type::STREAM`], [`Protocol::UDP`] |
//! | `MSG_PEEK \| MSG_DONTWAIT` | `MessageFlags::PEEK \| MessageFlags::DONTWAIT` |
//! | `setsockopt(SOL_SOCKET, SO_RCVBUF, 65536)` | `set_option(SO_RCVBUF, 65536)`: the constant has the level and the type of the value |
//! | `select`, `selectors` | [`ready`], [`poll()`]; [`Poll`] |
//!
//!
//!
//! # Server
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `create_server` | [`create_server`] | takes any endpoint: [`ToEndpoint`] |
//! | `bind` | [`Socket::bind`] | also takes a host name |
//! | `listen` | [`Socket::listen`] | maximum backlog; or [`Socket::listen_with`] |
//! | `accept` | [`Socket::accept`] | or [`Socket::incoming`], [`Socket::accept_nonblocking`] |
//! | `has_dualstack_ipv6` | none | [`ServerOptions::dual_stack`] fails without IPv6 |
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
//! # Client
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `create_connection` | [`create_connection`] | takes any endpoint; tries its addresses as RFC 8305 recommends |
//! | `connect` | [`Socket::connect`] | the timeout also covers a full UNIX queue |
//! | `connect_ex` | [`Socket::connect_ex`] | `Ok` with the error number |
//! | `getaddrinfo` | [`Endpoint::resolve`] | the calls above look names up themselves |
//! | `getnameinfo` | [`Address::lookup_name`] | |
//! | `gethostbyname`, `gethostbyaddr` | [`Endpoint::resolve`], [`Address::lookup_name`] | |
//! | `getservbyname`, `getservbyport` | [`Transport::service_port`], [`Transport::service_name`] | |
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
//! assert_eq!(client.connect_ex(&address)?, 106); // EISCONN
//!
//! let another = create_connection(&address, None, None)?;
//! assert_eq!(another.peer_addr()?, address);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Both sides
//!
//! | Python | Rust | difference |
//! |---|---|---|
//! | `socket` | [`Socket::new`] | |
//! | `socketpair` | [`Socket::pair`] | the family is required |
//! | `recv`, `recv_into` | [`Socket::recv`] | into a buffer; with flags: [`Socket::recv_with`] |
//! | `recv` with `MSG_PEEK` | [`Socket::peek`] | or [`Socket::peek_from`] |
//! | `send` | [`Socket::send`] | with flags: [`Socket::send_with`] |
//! | `sendall` | [`Socket::send_all`] | an error contains the number of bytes sent: [`Unfinished`]; with flags: [`Socket::send_all_with`] |
//! | `recvfrom`, `recvfrom_into` | [`Socket::recv_from`] | into a buffer; with flags: [`Socket::recv_from_with`] |
//! | `sendto` | [`Socket::send_to`] | with flags: [`Socket::send_to_with`] |
//! | `getpeername` | [`Socket::peer_addr`] | |
//! | `getsockname` | [`Socket::local_addr`] | |
//! | `getsockopt` | [`Socket::option`] | typed: see [`option`]; or [`Socket::option_bytes`] |
//! | `setsockopt` | [`Socket::set_option`] | typed; or [`Socket::set_option_bytes`] (unsafe), [`Socket::clear_option`] |
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
//! client.send_to(b"ahoy", server.local_addr()?)?;
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
//! # Blocking and timeouts
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
//! # Files, descriptors and interfaces
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
//! # Control messages and batches
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
//!
//! # Other functions of the module
//!
//! | Python | Rust |
//! |---|---|
//! | `inet_aton`, `inet_pton` | [`"192.0.2.1".parse::<IpAddr>()`](std::net::IpAddr) |
//! | `inet_ntoa`, `inet_ntop` | `Display` of [`IpAddr`](std::net::IpAddr) |
//! | `htons`, `ntohs`, `htonl`, `ntohl` | [`u16::to_be`], [`u16::from_be`], [`u32::to_be`], [`u32::from_be`] |
//! | `setdefaulttimeout` | none; call [`Socket::set_timeout`] on each socket |
//! | `sendmsg_afalg` | [`SendControl::AlgOperation`], [`SendControl::AlgIv`], [`SendControl::AlgAssociatedLen`] |
//! | `CAPI`, `share`, `fromshare`, `ioctl` | none |
//! | `gethostname`, `sethostname` | none; they do not concern sockets |

#[cfg(doc)]
use crate::{
    Address, Batch, ControlMessage, ControlSpace, Endpoint, Family, Message, Poll, Protocol, SendControl,
    ServerOptions, Socket, SocketFile, SocketRef, ToEndpoint, Transport, Type, Unfinished, create_connection,
    create_server, interface_index, interface_name, interfaces, option, poll, ready,
};
