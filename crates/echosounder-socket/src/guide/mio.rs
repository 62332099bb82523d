//! Sockets of this crate in a loop that uses [mio](https://docs.rs/mio).
//!
//! | task | how |
//! |---|---|
//! | wait for a socket of any family | [`SourceFd`](#wait-for-a-socket-of-this-crate) |
//! | give mio a socket with options of this crate | [`mio::net::UdpSocket::from_std(socket.into())`](#give-a-socket-to-mio) |
//! | set an option of mio's socket, receive its control messages | [`SocketRef::from(&socket)`](#use-a-socket-of-mio) |
//!
//! This crate's own [`Poll`](crate::Poll) does the same as mio's on Linux, with level-triggered
//! events unless asked otherwise.
//!
//! # The mode must be non-blocking
//!
//! Sockets in a loop must not wait: call
//! [`set_nonblocking(true)`](crate::Socket::set_nonblocking) before registration. A socket without a
//! timeout waits in the kernel. One with a timeout ([`set_timeout`](crate::Socket::set_timeout), the
//! timeout of [`create_connection`](crate::create_connection)) waits with poll(2). Either stops the
//! whole loop.
//!
//! mio registers sockets edge-triggered: after an event, call until `WouldBlock`. With a socket that
//! waits, that last call is the one that stops the loop.
//!
//! # Wait for a socket of this crate
//!
//! mio's `SourceFd` registers any descriptor, for example that of a UNIX seqpacket socket, which mio
//! does not have:
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type};
//! use mio::unix::SourceFd;
//! use mio::{Events, Interest, Poll, Token};
//! use std::io::ErrorKind;
//! use std::os::fd::AsRawFd;
//!
//! let (one, other) = Socket::pair(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT)?;
//! other.set_nonblocking(true)?;
//!
//! let mut poll = Poll::new()?;
//! poll.registry().register(&mut SourceFd(&other.as_raw_fd()), Token(7), Interest::READABLE)?;
//!
//! one.send(b"first")?;
//! one.send(b"second")?;
//! let mut events = Events::with_capacity(16);
//! poll.poll(&mut events, None)?;
//! assert!(events.iter().any(|event| event.token() == Token(7) && event.is_readable()));
//!
//! // Edge-triggered: receive until the call would block.
//! let (mut buffer, mut messages) = ([0; 64], Vec::new());
//! loop {
//!     match other.recv(&mut buffer) {
//!         Ok(len) => messages.push(buffer[..len].to_vec()),
//!         Err(error) if error.kind() == ErrorKind::WouldBlock => break,
//!         Err(error) => return Err(error),
//!     }
//! }
//! assert_eq!(messages, [&b"first"[..], b"second"]);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The registration ends when the socket is closed, or with `deregister` and another `SourceFd`.
//!
//! # Give a socket to mio
//!
//! Every type of mio is made of std's, and std's types are made of a [`Socket`](crate::Socket)
//! without a duplicate:
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type, option};
//!
//! let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
//! socket.set_option(option::SO_RCVBUF, 1 << 20)?;
//! socket.bind(("localhost", 0))?;
//! socket.set_nonblocking(true)?;
//! let socket = mio::net::UdpSocket::from_std(socket.into());
//! assert!(socket.local_addr()?.ip().is_loopback());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Use a socket of mio
//!
//! A [`SocketRef`](crate::SocketRef) borrows mio's socket for any call of this crate, here to learn
//! the address to which a datagram was sent:
//!
//! ```
//! use echosounder_socket::{SocketRef, option};
//! use mio::{Events, Interest, Poll, Token};
//!
//! let mut socket = mio::net::UdpSocket::bind("127.0.0.1:0".parse().unwrap())?;
//! SocketRef::from(&socket).set_option(option::IP_PKTINFO, true)?;
//!
//! let mut poll = Poll::new()?;
//! poll.registry().register(&mut socket, Token(0), Interest::READABLE)?;
//! let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! peer.send_to(b"ahoy", socket.local_addr()?)?;
//! poll.poll(&mut Events::with_capacity(16), None)?;
//!
//! // mio's socket is non-blocking, so the borrowed one does not wait either.
//! let mut buffer = [0; 64];
//! let (len, from) = SocketRef::from(&socket).recv_from(&mut buffer)?;
//! assert_eq!((&buffer[..len], from), (&b"ahoy"[..], peer.local_addr()?.into()));
//! # Ok::<(), std::io::Error>(())
//! ```
