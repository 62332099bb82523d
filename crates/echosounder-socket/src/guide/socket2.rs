//! The items of socket2, nix and rustix, and what takes their place here.
//!
//! The tables are of socket2 0.6, nix 0.30 and rustix 1.1. Two things differ everywhere:
//!
//! - An option is a constant, and two methods set and read all of them:
//!   [`set_option`](Socket::set_option), [`option`](Socket::option). For a descriptor of another
//!   object, call them on a [`SocketRef`].
//! - A call waits as the [timeout](Socket::set_timeout) of the [`Socket`] says, also if it is
//!   connect, accept or send.
//!
//! # socket2
//!
//! ## Sockets and addresses
//!
//! | socket2 | here | difference |
//! |---|---|---|
//! | `Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))` | [`Socket::new`] | [`Family::INET`]; [`Protocol::DEFAULT`] instead of `None` |
//! | `Socket::new_raw` | [`Socket::new`] | always close-on-exec |
//! | `Socket::pair` | [`Socket::pair`], [`Transport::pair`] | |
//! | `Domain` | [`Family`] | |
//! | `SockAddr` | [`Address`] | an enum; for methods anything that is [`ToEndpoint`] |
//! | `SockAddr::unix(path)` | [`Path`](std::path::Path), [`UnixName`](crate::family::unix::UnixName) | abstract names too |
//! | `SockAddr::vsock(cid, port)` | [`VsockAddress`](crate::family::vsock::VsockAddress) | |
//! | `address.as_socket()` | `SocketAddr::try_from(&address)` | or [`Address::ip`], [`Address::port`] |
//! | `SockRef::from(&stream)` | [`SocketRef`] | all methods |
//! | `TcpStream::from(socket)`, `Socket::from(stream)` | the same | keeps the timeout |
//! | `try_clone`, `local_addr`, `peer_addr`, `shutdown`, `take_error` | the same | |
//! | `domain`, `type`, `protocol` | [`Socket::family`], [`Socket::socket_type`], [`Socket::protocol`] | |
//!
//! ## Connections
//!
//! | socket2 | here | difference |
//! |---|---|---|
//! | `bind`, `connect` | [`Socket::bind`], [`Socket::connect`] | also take host names |
//! | `connect_timeout(&address, timeout)` | [`Socket::set_timeout`], then `connect`; [`create_connection`] | the timeout stays |
//! | `listen(128)` | [`Socket::listen_with`] | [`Socket::listen`] without a number |
//! | `accept`, `accept4` | [`Socket::accept`], [`Socket::accept_nonblocking`] | |
//! | `set_nonblocking` | [`Socket::set_nonblocking`] | a timeout of zero |
//! | `set_read_timeout`, `set_write_timeout` | [`Socket::set_timeout`] | one timeout for whole calls |
//!
//! ## Data
//!
//! | socket2 | here | difference |
//! |---|---|---|
//! | `recv(&mut [MaybeUninit<u8>])` | [`Socket::recv`], [`Socket::recv_append`] | `&mut [u8]`, or the spare capacity of a `Vec` |
//! | `recv_with_flags(buffer, flags)` | [`Socket::recv_with`], [`Socket::recv_from_with`] | [`MessageFlags`] |
//! | `recv_out_of_band` | `recv_with(buffer, MessageFlags::OOB)` | |
//! | `peek`, `peek_from`, `peek_sender` | [`Socket::peek`], [`Socket::peek_from`] | |
//! | `recv_vectored` | [`Socket::recv_msg`], `Read::read_vectored` | |
//! | `recvmsg(&mut MsgHdrMut)` | [`Socket::recv_msg`] | control messages are decoded |
//! | `send`, `send_to` | the same | never raise SIGPIPE |
//! | `send_with_flags`, `send_out_of_band` | [`Socket::send_with`] | |
//! | `send_to_vectored`, `sendmsg(&MsgHdr)` | [`Socket::send_msg`] | typed control messages |
//! | `sendfile(&file, offset, length)` | [`Socket::send_file`] | the whole length, not part of it |
//!
//! ## Options
//!
//! | socket2 | here |
//! |---|---|
//! | `set_reuse_address(true)`, `reuse_address()` | `set_option(SO_REUSEADDR, true)`, `option(SO_REUSEADDR)` |
//! | `set_tcp_nodelay(true)` | `set_option(TCP_NODELAY, true)` |
//! | `set_linger(Some(time))` | `set_option(SO_LINGER, Some(time))` |
//! | `set_tcp_keepalive(&parameters)` | [`SO_KEEPALIVE`](option::SO_KEEPALIVE), [`TCP_KEEPIDLE`](option::TCP_KEEPIDLE), [`TCP_KEEPINTVL`](option::TCP_KEEPINTVL), [`TCP_KEEPCNT`](option::TCP_KEEPCNT) |
//! | `set_recv_buffer_size(size)` | `set_option(SO_RCVBUF, size)` |
//! | `bind_device(Some(b"lo"))` | `set_option(SO_BINDTODEVICE, "lo".into())` |
//! | `set_only_v6(true)` | `set_option(IPV6_V6ONLY, true)` |
//! | `join_multicast_v4_n(&group, &interface)` | [`IP_ADD_MEMBERSHIP`](option::IP_ADD_MEMBERSHIP) with a [`Membership`](option::Membership) |
//! | `join_ssm_v4(&source, &group, &interface)` | [`IP_ADD_SOURCE_MEMBERSHIP`](option::IP_ADD_SOURCE_MEMBERSHIP); by index [`MCAST_JOIN_SOURCE_GROUP`](option::MCAST_JOIN_SOURCE_GROUP) |
//! | `set_multicast_if_v4(&address)` | [`IP_MULTICAST_IF`](option::IP_MULTICAST_IF) |
//! | `attach_filter(&[SockFilter])` | [`Socket::attach_filter`] |
//! | `set_reuse_port`, `set_broadcast`, `set_mark`, `set_passcred`, `set_cpu_affinity` | [`SO_REUSEPORT`](option::SO_REUSEPORT), [`SO_BROADCAST`](option::SO_BROADCAST), [`SO_MARK`](option::SO_MARK), [`SO_PASSCRED`](option::SO_PASSCRED), [`SO_INCOMING_CPU`](option::SO_INCOMING_CPU) |
//! | `is_listener`, `cookie`, `set_out_of_band_inline` | [`SO_ACCEPTCONN`](option::SO_ACCEPTCONN), [`SO_COOKIE`](option::SO_COOKIE), [`SO_OOBINLINE`](option::SO_OOBINLINE) |
//! | `set_ttl_v4`, `set_tos_v4`, `set_freebind_v4`, `set_header_included_v4` | [`IP_TTL`](option::IP_TTL), [`IP_TOS`](option::IP_TOS), [`IP_FREEBIND`](option::IP_FREEBIND), [`IP_HDRINCL`](option::IP_HDRINCL) |
//! | `set_ip_transparent_v4`, `original_dst_v4` | [`IP_TRANSPARENT`](option::IP_TRANSPARENT), [`SO_ORIGINAL_DST`](option::SO_ORIGINAL_DST) |
//! | `set_unicast_hops_v6`, `set_tclass_v6`, `join_multicast_v6` | [`IPV6_UNICAST_HOPS`](option::IPV6_UNICAST_HOPS), [`IPV6_TCLASS`](option::IPV6_TCLASS), [`IPV6_ADD_MEMBERSHIP`](option::IPV6_ADD_MEMBERSHIP) |
//! | `set_tcp_mss`, `set_tcp_cork`, `set_tcp_quickack`, `set_tcp_user_timeout` | [`TCP_MAXSEG`](option::TCP_MAXSEG), [`TCP_CORK`](option::TCP_CORK), [`TCP_QUICKACK`](option::TCP_QUICKACK), [`TCP_USER_TIMEOUT`](option::TCP_USER_TIMEOUT) |
//! | `set_cloexec(false)` | [`Socket::set_inheritable`] |
//!
//! A listener as socket2 makes it:
//!
//! ```
//! use socket2::{Domain, Protocol, Socket, Type};
//! use std::net::SocketAddr;
//!
//! let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
//! socket.set_reuse_address(true)?;
//! socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
//! socket.listen(128)?;
//! let port = socket.local_addr()?.as_socket().map(|address| address.port());
//! # assert_ne!(port, Some(0));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! and here:
//!
//! ```
//! use echosounder_socket::{Family, Protocol, Socket, Type, option};
//!
//! let socket = Socket::new(Family::INET, Type::STREAM, Protocol::TCP)?;
//! socket.set_option(option::SO_REUSEADDR, true)?;
//! socket.bind(([127, 0, 0, 1], 0))?;
//! socket.listen_with(128)?;
//! let port = socket.local_addr()?.port();
//! # assert_ne!(port, Some(0));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # nix
//!
//! | nix | here | difference |
//! |---|---|---|
//! | `socket`, `socketpair` | [`Socket::new`], [`Socket::pair`] | |
//! | `SockaddrStorage`, `SockaddrIn`, `SockaddrIn6` | [`Address`] | |
//! | `UnixAddr::new_abstract(b"echo")` | `"@echo"`, [`UnixName`](crate::family::unix::UnixName) | |
//! | `NetlinkAddr`, `VsockAddr` | [`NetlinkAddress`](crate::family::netlink::NetlinkAddress), [`VsockAddress`](crate::family::vsock::VsockAddress) | |
//! | `LinkAddr`, `AlgAddr` | [`PacketAddress`](crate::family::packet::PacketAddress), [`AlgAddress`](crate::family::alg::AlgAddress) | |
//! | `setsockopt(&fd, sockopt::ReuseAddr, &true)` | `set_option(SO_REUSEADDR, true)` | the kernel's name |
//! | `getsockopt(&fd, sockopt::RcvBuf)` | `option(SO_RCVBUF)` | |
//! | `sockopt_impl!` | [`SocketOption::new`](option::SocketOption::new) | |
//! | `sendmsg`, `recvmsg` | [`Socket::send_msg`], [`Socket::recv_msg`] | |
//! | `cmsg_space!([RawFd; 4])` | [`ControlSpace::rights`] | constants for the others |
//! | `ControlMessage::ScmRights(&fds)` | [`SendControl::Rights`] | borrowed descriptors |
//! | `ControlMessageOwned::ScmRights(fds)` | [`Message::take_rights`] | owned, closed if dropped |
//! | `ControlMessageOwned::Ipv4PacketInfo(info)` | [`Message::packet_info`] | IPv6 too |
//! | `ControlMessageOwned::ScmTimestampns(time)` | [`Message::timestamp`] | a [`SystemTime`](std::time::SystemTime) |
//! | `ControlMessageOwned::Ipv4RecvErr(error, from)` | [`Message::error`] | IPv6 too |
//! | `MsgFlags` | [`MessageFlags`] | |
//! | `MultiHeaders`, `recvmmsg` | [`Batch`], [`Socket::recv_many`] | |
//! | `sendmmsg` | [`Socket::send_many`] | |
//! | `Epoll`, `EpollEvent`, `EpollFlags` | [`Poll`], [`Event`], [`Interest`] | |
//! | `poll(&mut [PollFd], timeout)` | [`poll()`] with a [`PollFd`] | or [`ready`] |
//! | `EventFd`, `SignalFd` | [`Waker`], [`Signals`] | |
//! | `sendfile` | [`Socket::send_file`] | |
//! | `getifaddrs`, `if_nametoindex` | [`interfaces`], [`interface_index`] | |
//! | `Errno` | [`io::Error`](std::io::Error) | [`raw_os_error`](std::io::Error::raw_os_error) |
//!
//! The destination and the arrival time of a datagram, with nix:
//!
//! ```
//! use nix::sys::socket::{
//!     ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt,
//! };
//! use nix::sys::time::TimeSpec;
//! use std::io::IoSliceMut;
//! use std::os::fd::AsRawFd;
//!
//! let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
//! setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
//! socket.send_to(b"ahoy", socket.local_addr()?)?;
//!
//! let mut buffer = [0; 64];
//! let mut iov = [IoSliceMut::new(&mut buffer)];
//! let mut space = nix::cmsg_space!(nix::libc::in_pktinfo, TimeSpec);
//! let message =
//!     recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut iov, Some(&mut space), MsgFlags::empty())?;
//! let (mut interface, mut arrival) = (None, None);
//! for control in message.cmsgs()? {
//!     match control {
//!         ControlMessageOwned::Ipv4PacketInfo(info) => interface = Some(info.ipi_ifindex),
//!         ControlMessageOwned::ScmTimestampns(time) => arrival = Some(time),
//!         _ => {}
//!     }
//! }
//! assert!(interface.is_some() && arrival.is_some());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! and here:
//!
//! ```
//! use echosounder_socket::{ControlSpace, MessageFlags, SocketRef, option};
//! use std::io::IoSliceMut;
//!
//! let udp = std::net::UdpSocket::bind("127.0.0.1:0")?;
//! let socket = SocketRef::from(&udp);
//! socket.set_option(option::IP_PKTINFO, true)?;
//! socket.set_option(option::SO_TIMESTAMPNS, true)?;
//! udp.send_to(b"ahoy", udp.local_addr()?)?;
//!
//! let mut buffer = [0; 64];
//! let space = ControlSpace::PACKET_INFO + ControlSpace::TIMESTAMP;
//! let message = socket.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
//! let interface = message.packet_info().map(|info| info.interface);
//! let arrival = message.timestamp();
//! assert!(interface.is_some() && arrival.is_some());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # rustix
//!
//! | rustix | here | difference |
//! |---|---|---|
//! | `net::socket`, `socket_with`, `socketpair` | [`Socket::new`], [`Socket::pair`] | always close-on-exec |
//! | `net::bind`, `connect`, `listen`, `shutdown` | the methods of [`Socket`] | |
//! | `net::accept`, `acceptfrom`, `accept_with` | [`Socket::accept`], [`Socket::accept_nonblocking`] | |
//! | `net::recv`, `recvfrom` with `RecvFlags` | [`Socket::recv_with`], [`Socket::recv_from_with`] | one length, never more than the buffer has |
//! | `net::send`, `sendto` with `SendFlags` | [`Socket::send_with`], [`Socket::send_to_with`] | |
//! | `net::recvmsg`, `RecvAncillaryBuffer` | [`Socket::recv_msg`], [`Message`] | |
//! | `net::sendmsg`, `SendAncillaryBuffer` | [`Socket::send_msg`], [`SendControl`] | |
//! | `cmsg_space!(ScmRights(4))` | [`ControlSpace::rights`] | |
//! | `net::sendmmsg`, `MMsgHdr` | [`Socket::send_many`], [`Outgoing`] | |
//! | `net::sockopt::set_socket_reuseaddr(&fd, true)` | `set_option(SO_REUSEADDR, true)` | |
//! | `net::SocketAddrAny` | [`Address`] | |
//! | `net::netdevice::name_to_index` | [`interface_index`] | |
//! | `event::epoll` | [`Poll`] | |
//! | `event::poll`, `event::eventfd` | [`poll()`], [`ready`]; [`Waker`] | |
//! | `fs::sendfile` | [`Socket::send_file`] | |
//! | `io::fcntl_setfd`, `io::ioctl_fionread` | [`Socket::set_inheritable`], [`Socket::recv_queue_len`] | |
//!
//! A descriptor to another process, with rustix:
//!
//! ```
//! use rustix::net::{
//!     RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
//!     SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
//! };
//! use std::fs::File;
//! use std::io::{IoSlice, IoSliceMut};
//! use std::mem::MaybeUninit;
//! use std::os::fd::{AsFd, OwnedFd};
//! use std::os::unix::net::UnixStream;
//!
//! let (one, other) = UnixStream::pair()?;
//! let file = File::open("/dev/null")?;
//! let files = [file.as_fd()];
//! let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
//! let mut control = SendAncillaryBuffer::new(&mut space);
//! control.push(SendAncillaryMessage::ScmRights(&files));
//! sendmsg(&one, &[IoSlice::new(b"a file")], &mut control, SendFlags::empty())?;
//!
//! let mut buffer = [0; 64];
//! let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
//! let mut control = RecvAncillaryBuffer::new(&mut space);
//! recvmsg(&other, &mut [IoSliceMut::new(&mut buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
//! let received: Vec<OwnedFd> = control
//!     .drain()
//!     .filter_map(|message| match message {
//!         RecvAncillaryMessage::ScmRights(files) => Some(files),
//!         _ => None,
//!     })
//!     .flatten()
//!     .collect();
//! assert_eq!(received.len(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! and here:
//!
//! ```
//! use echosounder_socket::{ControlSpace, MessageFlags, SendControl, Transport};
//! use std::fs::File;
//! use std::io::{IoSlice, IoSliceMut};
//! use std::os::fd::{AsFd, OwnedFd};
//!
//! let (one, other) = Transport::UnixStream.pair()?;
//! let file = File::open("/dev/null")?;
//! let control = [SendControl::Rights(&[file.as_fd()])];
//! one.send_msg(&[IoSlice::new(b"a file")], &control, None, MessageFlags::NONE)?;
//!
//! let mut buffer = [0; 64];
//! let space = ControlSpace::rights(1);
//! let mut message = other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
//! let received: Vec<OwnedFd> = message.take_rights();
//! assert_eq!(received.len(), 1);
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(doc)]
use crate::{
    Address, Batch, ControlSpace, Event, Family, Interest, Message, MessageFlags, Outgoing, Poll, PollFd,
    Protocol, SendControl, Signals, Socket, SocketRef, ToEndpoint, Transport, Waker, create_connection,
    interface_index, interfaces, option, poll, ready,
};
