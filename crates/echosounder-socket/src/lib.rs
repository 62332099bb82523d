//! Sockets of every family that Linux has: TCP, UDP, UNIX, VSOCK, TIPC, netlink, MPTCP, SCTP, packet,
//! CAN and more.
//!
//! Start a server or connect to one with one call, over any transport, and limit how long calls
//! wait. Pass descriptors to other processes. Receive the destination, the time to live and the
//! kernel's timestamp of each datagram. Set and read 299 typed options. Receive hundreds of
//! datagrams with one system call, and wait for thousands of sockets at once. There is one socket
//! type, [`Socket`], with the method names of std, and one address type, [`Address`].
//!
//! # A server
//!
//! This server sends back what it receives, to many clients at once:
//!
//! ```no_run
//! use echosounder_socket::{ServerOptions, create_server};
//! use std::{io, thread};
//!
//! fn main() -> io::Result<()> {
//!     // Or "unix:/run/echo", "vsock://any:7", "tipc://21567:1".
//!     let server = create_server("tcp://localhost:21567", ServerOptions::default())?;
//!     for client in server.incoming() {
//!         let client = client?;
//!         thread::spawn(move || -> io::Result<()> {
//!             let mut buffer = [0; 1024];
//!             while let len @ 1.. = client.recv(&mut buffer)? {
//!                 client.send_all(&buffer[..len])?;
//!             }
//!             Ok(())
//!         });
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # A client
//!
//! This client of that server waits at most 2 seconds for the connection, and as long for each later
//! call, which then fails with `TimedOut`:
//!
//! ```
//! use echosounder_socket::create_connection;
//! use std::time::Duration;
//!
//! # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let port = server.local_addr()?.port();
//! # std::thread::spawn(move || {
//! #     let stream = server.accept().unwrap().0;
//! #     std::io::copy(&mut &stream, &mut &stream)
//! # });
//! # /*
//! let port = 21567;
//! # */
//! let client = create_connection(("localhost", port), Some(Duration::from_secs(2)), None)?;
//! client.send_all(b"ahoy")?;
//! let mut buffer = [0; 1024];
//! let len = client.recv(&mut buffer)?;
//! assert_eq!(&buffer[..len], b"ahoy");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Datagrams
//!
//! A server and a client for UDP, in one program:
//!
//! ```
//! use echosounder_socket::{ServerOptions, Transport, create_connection, create_server};
//!
//! // Port 0: the kernel chooses a free port.
//! let server = create_server("udp://localhost:0", ServerOptions::default())?;
//! let client = create_connection((Transport::Udp, server.local_addr()?), None, None)?;
//! client.send(b"ahoy")?;
//!
//! let mut buffer = [0; 2048];
//! let (len, from) = server.recv_from(&mut buffer)?;
//! server.send_to(&buffer[..len], &from)?;
//! assert_eq!(client.recv(&mut buffer)?, 4);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The folder `examples/` contains complete programs: a TCP and a UDP server and client, passing
//! descriptors to another process, and kernel timestamps.
//!
//! # Where to find what
//!
//! | to … | use |
//! |---|---|
//! | name a server: text, host and port, path, address | [`ToEndpoint`], [`Endpoint`], [`Address`] |
//! | start a server, connect | [`create_server`], [`create_connection`] |
//! | do it step by step | [`Socket::new`], [`bind`](Socket::bind), [`listen`](Socket::listen), [`accept`](Socket::accept), [`connect`](Socket::connect) |
//! | create two connected sockets | [`Socket::pair`], [`Transport::pair`] |
//! | receive and send | [`recv`](Socket::recv), [`send_all`](Socket::send_all), [`recv_from`](Socket::recv_from), [`send_to`](Socket::send_to) |
//! | read lines, write text | [`Socket::make_file`], or a `BufReader` and `BufWriter` of `&Socket`, which go on after a timeout |
//! | limit or avoid waiting | [`Socket::set_timeout`], [`Socket::set_nonblocking`] |
//! | set and read options | [`Socket::set_option`], [`Socket::option`], the list in [`option`] |
//! | pass descriptors; receive time, destination, TTL | [`Socket::send_msg`], [`Socket::recv_msg`], [`Message`], [`ControlSpace`] |
//! | move many datagrams per call | [`Socket::recv_many`], [`Socket::send_many`], [`Batch`] |
//! | wait for many sockets, or for a few | [`Poll`]; [`poll()`], [`ready`] |
//! | stop a loop: from a thread, on a signal | [`StopToken`], [`Waker`]; [`Signals`] |
//! | list network interfaces | [`interfaces`] |
//! | understand an error | [`Error`], [`ConnectionError`], functions such as [`is_unreachable`], [`PeerFailure`] |
//! | use sockets of std and of other crates | `From`; [`SocketRef`] |
//!
//! Pages of the guide:
//!
//! - [`guide::families`]: which families and socket types support what. A table.
//! - [`guide::python`]: Python's socket object, method by method.
//! - [`guide::socket2`]: the items of socket2, nix and rustix, and their names here.
//! - [`guide::tokio`] and [`guide::mio`]: asynchronous sockets and event loops.
//!
//! The search of this documentation also finds items by their Python names, by the names of the
//! system calls and by those of the kernel's structures.
//!
//! # What holds everywhere
//!
//! - A call has the semantics of the system call in its description, with the page of the Linux
//!   manual. Errors convert to [`io::Error`](std::io::Error) with `?` and keep their kind.
//! - Descriptors are close-on-exec. A send to a closed connection fails with EPIPE; it never raises
//!   SIGPIPE. A signal does not end a call that waits.
//! - Lengths never exceed the buffer: [`Message::len`] counts the received bytes, and
//!   [`Message::is_truncated`] reports that the message was longer.
//! - All functions are safe, except those that hand raw descriptors or pointers to the kernel:
//!   [`SocketOption::new`](option::SocketOption::new), [`Socket::set_option_bytes`],
//!   [`Socket::option_with_input`], `FromRawFd`. The unsafe code of the crate is in one private
//!   module.
//!
//! # Platforms and features
//!
//! The crate compiles for 64-bit Linux with glibc or musl and Rust 1.85 or newer. The feature
//! `serde`, off by default, serializes [`Address`], [`Endpoint`], [`Transport`] and the addresses of
//! the families as text, and records of the kernel such as [`TcpInfo`](option::TcpInfo) as objects.
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
    is_from_icmp, is_invalid_call, is_other_type, is_out_of_descriptors, is_out_of_resources, is_too_long,
    is_unreachable,
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
