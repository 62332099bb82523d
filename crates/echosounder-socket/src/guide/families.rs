//! Which socket families and types support what.
//!
//! Each row is a [`Transport`](crate::Transport). Its scheme is the first word of an endpoint such
//! as `unix-dgram:/run/log`.
//!
//! | scheme | family, type | carries | pair | half-close | batch | packet info | timestamps | kernel | tested |
//! |---|---|---|---|---|---|---|---|---|---|
//! | `tcp` | INET, INET6 STREAM | stream | – | yes | – | – | rx | every | host |
//! | `udp` | INET, INET6 DGRAM | datagrams | – | – | yes | yes | rx, tx | every | host |
//! | `unix` | UNIX STREAM | stream | yes | yes | – | – | – | every | host |
//! | `unix-dgram` | UNIX DGRAM | datagrams | yes | – | yes | – | – | every | host |
//! | `unix-seqpacket` | UNIX SEQPACKET | messages | yes | yes | – | – | – | every | host |
//! | `vsock` | VSOCK STREAM | stream | – | yes | – | – | – | vsock | guest |
//! | `vsock-seqpacket` | VSOCK SEQPACKET | messages | – | yes | – | – | – | vsock, 5.14 | guest |
//! | `tipc` | TIPC STREAM | stream | yes | – | – | – | – | tipc | guest |
//! | `tipc-seqpacket` | TIPC SEQPACKET | messages | yes | – | – | – | – | tipc | guest |
//! | `tipc-rdm` | TIPC RDM | datagrams | yes | – | yes | – | – | tipc | guest |
//! | `tipc-dgram` | TIPC DGRAM | datagrams | yes | – | yes | – | – | tipc | guest |
//! | `netlink` | NETLINK DGRAM | datagrams | – | – | yes | – | – | every | host |
//! | `mptcp` | INET, INET6 STREAM | stream | – | yes | – | – | – | 5.6, mptcp | host |
//! | `sctp` | INET, INET6 STREAM | stream | – | – | – | – | – | sctp | guest |
//!
//! - *carries*: a stream of bytes over a connection, messages with boundaries over a connection, or
//!   datagrams ([`Transport::kind`](crate::Transport::kind)).
//! - *pair*: [`Transport::pair`](crate::Transport::pair) creates two connected sockets.
//! - *half-close*: after [`shutdown`](crate::Socket::shutdown) of one direction, the socket still
//!   receives. TIPC and SCTP shut down both directions at once.
//! - *batch*: one [`recv_many`](crate::Socket::recv_many) receives several datagrams. It also
//!   receives several messages of a `unix-seqpacket` connection.
//!   [`send_many`](crate::Socket::send_many) works everywhere.
//! - *packet info*: the destination address and the interface of a message
//!   ([`Message::packet_info`](crate::Message::packet_info)).
//! - *timestamps*: the kernel's times of arrival (rx) and departure (tx) with
//!   [`SO_TIMESTAMPING`](crate::option::SO_TIMESTAMPING). That of a read on a stream is the time of
//!   its last byte. Messages of `unix-dgram` and `unix-seqpacket` have a time of arrival with
//!   [`SO_TIMESTAMPNS`](crate::option::SO_TIMESTAMPNS).
//! - *kernel*: the Linux version that brought it, and the module or setting that it needs.
//! - *tested*: on the host that runs the tests, or in a guest whose kernel has the module.
//!
//! # What works on all of them
//!
//! The same tests run over every row: [`bind`](crate::Socket::bind),
//! [`connect`](crate::Socket::connect) and both addresses; [`accept`](crate::Socket::accept) with a
//! timeout and a non-blocking connect, if there are connections; [`recv`](crate::Socket::recv),
//! [`send`](crate::Socket::send), [`send_all`](crate::Socket::send_all) and scattered buffers with
//! messages of every length; [`send_many`](crate::Socket::send_many); timeouts; a blocked receive
//! that a [`shutdown`](crate::Socket::shutdown) or data wakes; duplicates; readiness with poll(2);
//! buffer sizes; [`make_file`](crate::Socket::make_file) and
//! [`send_file`](crate::Socket::send_file) on streams; and an exchange with a server and a client in
//! Python.
//!
//! | exception | where |
//! |---|---|
//! | [`peek`](crate::Socket::peek) fails with ENOMEM | `vsock-seqpacket` before Linux 6.6 |
//! | a message that is too long fails with ENOMEM instead of EMSGSIZE | VSOCK before Linux 6.4 |
//! | the length of a truncated message is not reported, only that it was truncated | TIPC |
//! | the end of a connection is the error ECONNRESET instead of zero bytes | TIPC |
//! | an empty message is not sent (ENODATA) | netlink |
//! | an empty message is not delivered | TIPC, `vsock-seqpacket` |
//! | a connected socket also receives from others | `tipc-rdm`, `tipc-dgram` |
//! | an unbound client has no address to reply to | `unix-dgram` |
//!
//! # Options and control messages
//!
//! The options of SOL_SOCKET exist for every family, and the kernel refuses those that a family does
//! not have. The pages of the families and [`option`](crate::option) name the others.
//!
//! | family | options of its own | control messages of its own |
//! |---|---|---|
//! | INET | IP_, MCAST_, TCP_, UDP_, MPTCP_, TLS_ | destination, TTL, TOS, errors, GSO and GRO, TLS record types |
//! | INET6 | IPV6_, and as INET | destination, hop limit, traffic class, headers of RFC 3542, errors |
//! | UNIX | [`SO_PASSCRED`](crate::option::SO_PASSCRED), [`SO_PEERCRED`](crate::option::SO_PEERCRED) and other SO_ options | descriptors, credentials, pidfd, security label |
//! | VSOCK | SO_VM_SOCKETS_ | – |
//! | TIPC | TIPC_ | destination service, errors, returned data |
//! | NETLINK | NETLINK_ | group, network namespace, credentials |
//! | INET, SCTP | SCTP_ | send and receive information |
//! | PACKET | PACKET_ | [`PacketAuxData`](crate::PacketAuxData) |
//! | CAN | CAN_ | – |
//! | ALG | ALG_ | operation, initialisation vector, length of associated data |
//! | XDP | XDP_ | – |
//!
//! # Families without a scheme
//!
//! These sockets are created with [`Socket::new`](crate::Socket::new):
//!
//! | socket | address | tested |
//! |---|---|---|
//! | ICMP echo: INET DGRAM, [`Protocol::ICMP`](crate::Protocol::ICMP) | `([127, 0, 0, 1], 0)` | ping of loopback, host |
//! | raw IP: INET RAW | the same | ping of loopback, host, with CAP_NET_RAW |
//! | UDP-Lite: INET DGRAM, [`Protocol::UDPLITE`](crate::Protocol::UDPLITE) | the same | bind, options |
//! | netlink of the kernel: NETLINK RAW | [`NetlinkAddress`](crate::family::netlink::NetlinkAddress) | links, uevents and others, host |
//! | PACKET RAW, DGRAM | [`PacketAddress`](crate::family::packet::PacketAddress) | frames of loopback, host |
//! | CAN RAW | [`CanAddress`](crate::family::can::CanAddress) | bind, options, guest |
//! | ALG SEQPACKET | [`AlgAddress`](crate::family::alg::AlgAddress) | digest, guest |
//! | XDP RAW | [`XdpAddress`](crate::family::xdp::XdpAddress) | options, host |
//! | RDS SEQPACKET | [`Address::Inet`](crate::Address::Inet) | messages, guest |
//! | BLUETOOTH, KCM, QIPCRTR, SMC, PPPOX | [`Address::Other`](crate::Address::Other): bytes | creation, where the kernel has them |
//!
//! Any other family is a number: `Family(n)`.
