//! Sockets of this crate in programs that use [tokio](https://docs.rs/tokio).
//!
//! | task | how |
//! |---|---|
//! | await a socket of any family, with control messages | [`AsyncFd<Socket>`](#await-a-socket-of-this-crate) |
//! | give tokio a socket with options of this crate | [`tokio::net::TcpListener::from_std(socket.into())`](#give-a-socket-to-tokio) |
//! | set an option of tokio's socket | [`SocketRef::from(&stream)`](#use-a-socket-of-tokio) |
//! | take a socket back from tokio | [`Socket::from(stream.into_std()?)`](#take-a-socket-back) |
//!
//! tokio's features `net` and `rt` are enough.
//!
//! # The mode must be non-blocking
//!
//! tokio expects descriptors that do not block: call
//! [`set_nonblocking(true)`](crate::Socket::set_nonblocking) first. Otherwise a call waits, and with
//! it the thread that runs the other tasks. In debug builds, `from_std` of tokio's own types panics
//! for a descriptor that blocks.
//!
//! | timeout of the `Socket` | in an `AsyncFd` |
//! |---|---|
//! | zero: `set_nonblocking(true)` | right: a call that would block returns `WouldBlock`, and tokio waits |
//! | `None`, the default | wrong: the call waits in the kernel |
//! | longer, also that of [`create_connection`](crate::create_connection) | wrong: the call waits with poll(2) up to the timeout |
//!
//! Let `tokio::time::timeout` limit the time instead.
//! [`accept_nonblocking`](crate::Socket::accept_nonblocking) accepts connections that are
//! non-blocking from the start.
//!
//! # Await a socket of this crate
//!
//! `async_io` makes a call when the socket is ready, and repeats it after `WouldBlock`. Every method
//! of [`Socket`](crate::Socket) works there. This receives a datagram and the time at which the
//! kernel received it. The registration is `unsafe` since tokio 1.54, because tokio cannot know that a
//! type keeps its descriptor open; earlier versions name it `AsyncFd::new`:
//!
//! ```
//! use echosounder_socket::{ControlSpace, Family, Message, MessageFlags, Protocol, Socket, Type, option};
//! use std::io::{self, IoSliceMut};
//! use tokio::io::Interest;
//! use tokio::io::unix::AsyncFd;
//!
//! async fn receive(socket: &AsyncFd<Socket>, buffer: &mut [u8]) -> io::Result<Message> {
//!     let receive = |socket: &Socket| {
//!         let buffers = &mut [IoSliceMut::new(buffer)];
//!         socket.recv_msg(buffers, ControlSpace::TIMESTAMP, MessageFlags::NONE)
//!     };
//!     socket.async_io(Interest::READABLE, receive).await
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
//! let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
//! socket.bind(("localhost", 0))?;
//! socket.set_option(option::SO_TIMESTAMPNS, true)?;
//! socket.set_nonblocking(true)?;
//! let address = socket.local_addr()?;
//! // SAFETY: a `Socket` owns its descriptor and keeps it open.
//! let socket = unsafe { AsyncFd::register(socket) }?;
//!
//! let peer = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
//! peer.send_to(b"ahoy", &address)?;
//! let mut buffer = [0; 64];
//! let message = receive(&socket, &mut buffer).await?;
//! assert_eq!(&buffer[..message.len], b"ahoy");
//! assert!(message.timestamp().is_some());
//! # Ok::<(), io::Error>(())
//! # })?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! A connect that does not block ends when the socket is writable, and
//! [`take_error`](crate::Socket::take_error) returns its result:
//!
//! ```
//! use echosounder_socket::{Address, Socket, Transport};
//! use std::io;
//! use tokio::io::unix::AsyncFd;
//!
//! async fn connect(transport: Transport, address: &Address) -> io::Result<AsyncFd<Socket>> {
//!     let socket = transport.socket(address)?;
//!     socket.set_nonblocking(true)?;
//!     let result = socket.connect(address);
//!     // SAFETY: a `Socket` owns its descriptor and keeps it open.
//!     let socket = unsafe { AsyncFd::register(socket) }?;
//!     match result {
//!         Err(error) if Socket::is_in_progress(&error) => {
//!             let _guard = socket.writable().await?;
//!             socket.get_ref().take_error()?.map_or(Ok(()), Err)?;
//!         }
//!         result => result?,
//!     }
//!     Ok(socket)
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let address = Address::from(listener.local_addr()?);
//! let socket = connect(Transport::Tcp, &address).await?;
//! assert_eq!(socket.get_ref().peer_addr()?, address);
//! # Ok::<(), io::Error>(())
//! # })?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Give a socket to tokio
//!
//! Every type of tokio is made of std's, and std's types are made of a [`Socket`](crate::Socket)
//! without a duplicate:
//!
//! ```
//! use echosounder_socket::{ServerOptions, create_server, option};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
//! let listener = create_server("tcp://127.0.0.1:0", ServerOptions::default())?;
//! listener.set_option(option::TCP_NODELAY, true)?; // Accepted connections inherit it.
//! listener.set_nonblocking(true)?;
//! let listener = TcpListener::from_std(listener.into())?;
//!
//! let mut client = TcpStream::connect(listener.local_addr()?).await?;
//! let (mut server, _) = listener.accept().await?;
//! assert!(server.nodelay()?);
//! client.write_all(b"ahoy").await?;
//! let mut buffer = [0; 4];
//! server.read_exact(&mut buffer).await?;
//! assert_eq!(&buffer, b"ahoy");
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Use a socket of tokio
//!
//! A [`SocketRef`](crate::SocketRef) borrows tokio's socket for options and calls:
//!
//! ```
//! use echosounder_socket::{SocketRef, option};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
//! let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
//! SocketRef::from(&socket).set_option(option::SO_TIMESTAMPNS, true)?;
//! assert!(SocketRef::from(&socket).nonblocking());
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! To receive its control messages, make the call within tokio's `async_io`, for example
//! `socket.async_io(Interest::READABLE, || SocketRef::from(&socket).recv_msg(…))`. tokio then knows
//! when the socket is no longer readable.
//!
//! # Take a socket back
//!
//! A socket that comes from tokio is non-blocking. To wait, change that:
//!
//! ```
//! use echosounder_socket::Socket;
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let stream = TcpStream::connect(listener.local_addr()?).await?;
//! let socket = Socket::from(stream.into_std()?);
//! assert!(socket.nonblocking());
//! socket.set_nonblocking(false)?;
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```
