//! Options of all sockets, and of IPv4 and IPv6.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process;
use std::time::Duration;

use echosounder_socket::option::{
    self, AddressPreferences, BufferLocks, FilterMode, Group, GroupFilter, GroupSource, Icmp6Filter,
    InterfaceIndex, Membership, Membership6, MulticastInterface, PathMtuDiscovery, PortRange, SourceFilter,
    SourceMembership, TimestampingFlags, TxTime, TxTimeFlags,
};
use echosounder_socket::{Family, Protocol, Transport, Type};

use super::check::{Needs, Row, check, keeps, reads, rows, takes, toggles, works};
use super::makers::*;
use crate::field;

/// A group for local use: RFC 2365.
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 1);
/// A group for one source: RFC 4607.
const SOURCE_GROUP: Ipv4Addr = Ipv4Addr::new(232, 77, 1, 1);
/// A group of the interface: RFC 4291.
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff11, 0, 0, 0, 0, 0, 77, 1);
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);
const SOURCE6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);

fn membership() -> Membership {
    Membership { group: GROUP, interface: lo() }
}

fn membership6() -> Membership6 {
    Membership6 { group: GROUP6, interface: lo() }
}

fn source_membership(group: Ipv4Addr) -> SourceMembership {
    SourceMembership { group, source: SOURCE, interface: Ipv4Addr::LOCALHOST }
}

fn group(group: impl Into<IpAddr>) -> Group {
    Group { group: group.into(), interface: lo() }
}

fn group_source(group: impl Into<IpAddr>, source: impl Into<IpAddr>) -> GroupSource {
    GroupSource { group: group.into(), source: source.into(), interface: lo() }
}

fn group_filter(group: impl Into<IpAddr>, source: impl Into<IpAddr>) -> GroupFilter {
    GroupFilter {
        group: group.into(),
        interface: lo(),
        mode: FilterMode::Exclude,
        sources: vec![source.into()],
    }
}

fn joined() -> io::Result<Made> {
    prepared(udp(), |socket| socket.set_option(option::IP_ADD_MEMBERSHIP, membership()))
}

fn blocking() -> io::Result<Made> {
    prepared(joined(), |socket| socket.set_option(option::IP_BLOCK_SOURCE, source_membership(GROUP)))
}

fn joined_source() -> io::Result<Made> {
    let membership = source_membership(SOURCE_GROUP);
    let made = udp()?;
    made.socket.set_option(option::IP_ADD_SOURCE_MEMBERSHIP, membership)?;
    Ok(made)
}

fn joined6() -> io::Result<Made> {
    prepared(udp6(), |socket| socket.set_option(option::IPV6_ADD_MEMBERSHIP, membership6()))
}

fn blocking6() -> io::Result<Made> {
    prepared(joined6(), |socket| {
        socket.set_option(option::IPV6_MCAST_BLOCK_SOURCE, group_source(GROUP6, SOURCE6))
    })
}

fn joined_source6() -> io::Result<Made> {
    prepared(udp6(), |socket| {
        socket.set_option(option::IPV6_MCAST_JOIN_SOURCE_GROUP, group_source(GROUP6, SOURCE6))
    })
}

/// An anycast address beside a link-local address of this machine.
fn anycast() -> Membership6 {
    let scope = crate::link_local().map_or(0, |address| address.scope_id());
    Membership6 { group: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 77, 77), interface: scope }
}

fn linked() -> io::Result<Made> {
    udp6()?;
    let lacking = || io::Error::other(Lacking("link-local", io::ErrorKind::AddrNotAvailable.into()));
    crate::link_local().ok_or_else(lacking)?;
    udp6()
}

fn in_anycast() -> io::Result<Made> {
    prepared(linked(), |socket| socket.set_option(option::IPV6_JOIN_ANYCAST, anycast()))
}

/// A destination or hop-by-hop options header of padding: RFC 8200, 4.2.
fn padding() -> Vec<u8> {
    vec![0, 0, 1, 4, 0, 0, 0, 0]
}

/// A segment routing header with one segment: RFC 8754.
fn segments() -> Vec<u8> {
    let mut header = vec![0, 2, 4, 0, 0, 0, 0, 0];
    header.extend(Ipv6Addr::LOCALHOST.octets());
    header
}

/// The supplementary groups of this process.
fn groups() -> Vec<u32> {
    let list = field("/proc/self/status", "Groups:");
    list.split_whitespace().map(|group| group.parse().unwrap()).collect()
}

pub(super) const SOCKET: &[Row] = rows! {
    SO_ACCEPTCONN => reads(listener(), |listens| *listens);
    SO_BINDTODEVICE => keeps(udp(), "lo".to_owned(), "lo".to_owned());
    SO_BINDTOIFINDEX => keeps(udp(), lo(), lo());
    SO_BPF_EXTENSIONS => reads(udp(), |number| 0 < *number);
    SO_BROADCAST => toggles(udp());
    SO_BUF_LOCK newer "5.15" => keeps(udp(), BufferLocks::SEND, BufferLocks::SEND);
    SO_BUSY_POLL => keeps(udp(), 50, 50);
    SO_BUSY_POLL_BUDGET => takes(udp(), 4);
    SO_CNX_ADVICE => takes(client(), 1);
    SO_COOKIE => reads(udp(), |cookie| *cookie != 0);
    SO_DEBUG => toggles(udp());
    SO_DETACH_FILTER => works(filtered(), 0, |socket| Ok(socket.filter()?.is_empty()));
    SO_DETACH_REUSEPORT_BPF => takes(grouped(), 0);
    SO_DOMAIN => reads(udp(), |family| *family == Family::INET);
    SO_DONTROUTE => toggles(udp());
    SO_ERROR => reads(udp(), |error| *error == 0);
    SO_INCOMING_CPU => keeps(udp(), 0, 0);
    SO_INCOMING_NAPI_ID => reads(client(), |id| *id < u32::MAX);
    SO_INQ newer "6.17" => takes(unix(Transport::UnixStream), true);
    SO_KEEPALIVE => toggles(tcp());
    SO_LINGER => keeps(tcp(), Some(Duration::from_secs(3)), Some(Duration::from_secs(3)));
    SO_LOCK_FILTER => keeps(udp(), true, true);
    SO_MARK => keeps(udp(), 7, 7);
    SO_MAX_PACING_RATE => keeps(tcp(), 5_000_000_000, 5_000_000_000);
    SO_MEMINFO => reads(udp(), |memory| 0 < memory.rcvbuf && 0 < memory.sndbuf);
    SO_NETNS_COOKIE newer "5.14" => reads(udp(), |cookie| *cookie != 0);
    SO_NOFCS => toggles(udp());
    SO_NO_CHECK => toggles(udp());
    SO_OOBINLINE => toggles(tcp());
    SO_PASSCRED => toggles(unix(Transport::UnixDatagram));
    SO_PASSPIDFD newer "6.5" => toggles(unix(Transport::UnixDatagram));
    SO_PASSRIGHTS newer "6.16" => toggles(unix(Transport::UnixDatagram));
    SO_PASSSEC => toggles(unix(Transport::UnixDatagram));
    SO_PEEK_OFF => keeps(unix(Transport::UnixStream), 3, 3);
    SO_PEERCRED => reads(unix(Transport::UnixStream), |peer| u32::try_from(peer.pid) == Ok(process::id()));
    SO_PEERGROUPS => reads(unix(Transport::UnixStream), |list| *list == groups());
    SO_PEERSEC feature "security labels" ENOPROTOOPT =>
        reads(unix(Transport::UnixStream), |label| !label.is_empty());
    SO_PREFER_BUSY_POLL => toggles(udp());
    SO_PRIORITY => keeps(udp(), 3, 3);
    SO_PROTOCOL => reads(tcp(), |protocol| *protocol == Protocol::TCP);
    SO_RCVBUF => keeps(udp(), 10_000, 20_000);
    SO_RCVBUFFORCE => works(udp(), 1 << 28, |socket| Ok(socket.option(option::SO_RCVBUF)? == 1 << 29));
    SO_RCVLOWAT => keeps(tcp(), 3, 3);
    SO_RCVMARK newer "5.19" => toggles(udp());
    SO_RCVPRIORITY newer "6.14" => toggles(udp());
    SO_RCVTIMEO => keeps(udp(), Duration::from_millis(1500), Duration::from_millis(1500));
    SO_RESERVE_MEM feature "memory control groups" EOPNOTSUPP => keeps(tcp(), 4096, 4096);
    SO_REUSEADDR => toggles(tcp());
    SO_REUSEPORT => toggles(tcp());
    SO_RXQ_OVFL => toggles(udp());
    SO_SELECT_ERR_QUEUE => toggles(udp());
    SO_SNDBUF => keeps(udp(), 10_000, 20_000);
    SO_SNDBUFFORCE => works(udp(), 1 << 28, |socket| Ok(socket.option(option::SO_SNDBUF)? == 1 << 29));
    SO_SNDLOWAT => reads(udp(), |bytes| *bytes == 1);
    SO_SNDTIMEO => keeps(udp(), Duration::from_millis(1500), Duration::from_millis(1500));
    SO_TIMESTAMP => toggles(udp());
    SO_TIMESTAMPING => keeps(udp(), TimestampingFlags::SOFTWARE, TimestampingFlags::SOFTWARE);
    SO_TIMESTAMPNS => toggles(udp());
    SO_TXREHASH newer "5.18" => keeps(tcp(), 0, 0);
    SO_TXTIME => keeps(
        udp(),
        TxTime { clock: libc::CLOCK_MONOTONIC, flags: TxTimeFlags::REPORT_ERRORS },
        TxTime { clock: libc::CLOCK_MONOTONIC, flags: TxTimeFlags::REPORT_ERRORS }
    );
    SO_TYPE => reads(tcp(), |kind| *kind == Type::STREAM);
    SO_WIFI_STATUS => toggles(udp());
    SO_ZEROCOPY => toggles(tcp());
};

pub(super) const IP: &[Row] = rows! {
    IP_ADD_MEMBERSHIP => takes(udp(), membership());
    IP_ADD_SOURCE_MEMBERSHIP => takes(udp(), source_membership(SOURCE_GROUP));
    IP_BIND_ADDRESS_NO_PORT => toggles(udp());
    IP_BLOCK_SOURCE => takes(joined(), source_membership(GROUP));
    IP_CHECKSUM => toggles(udp());
    IP_DROP_MEMBERSHIP => takes(joined(), membership());
    IP_DROP_SOURCE_MEMBERSHIP => takes(joined_source(), source_membership(SOURCE_GROUP));
    IP_FREEBIND => toggles(udp());
    IP_HDRINCL => toggles(raw(libc::IPPROTO_ICMP));
    IP_LOCAL_PORT_RANGE newer "6.3" =>
        keeps(udp(), PortRange { low: 20_000, high: 21_000 }, PortRange { low: 20_000, high: 21_000 });
    IP_MINTTL => keeps(tcp(), 5, 5);
    IP_MSFILTER => takes(joined(), SourceFilter {
        group: GROUP, interface: Ipv4Addr::LOCALHOST, mode: FilterMode::Exclude, sources: vec![SOURCE],
    });
    IP_MTU => reads(udp_to_itself(), |mtu| 1500 <= *mtu);
    IP_MTU_DISCOVER => keeps(udp(), PathMtuDiscovery::DO, PathMtuDiscovery::DO);
    IP_MULTICAST_ALL => toggles(udp());
    IP_MULTICAST_IF => keeps(udp(), MulticastInterface::Address(Ipv4Addr::LOCALHOST), Ipv4Addr::LOCALHOST);
    IP_MULTICAST_LOOP => toggles(udp());
    IP_MULTICAST_TTL => keeps(udp(), 5, 5);
    IP_NODEFRAG => toggles(raw(libc::IPPROTO_ICMP));
    IP_OPTIONS => keeps(udp(), vec![1, 1, 1, 0], vec![1, 1, 1, 0]);
    IP_PASSSEC => toggles(udp());
    IP_PKTINFO => toggles(udp());
    IP_PROTOCOL newer "6.4" => reads(raw(libc::IPPROTO_ICMP), |protocol| protocol.0 == libc::IPPROTO_ICMP);
    IP_RECVERR => toggles(udp());
    IP_RECVERR_RFC4884 newer "5.9" => toggles(udp());
    IP_RECVFRAGSIZE => toggles(udp());
    IP_RECVOPTS => toggles(udp());
    IP_RECVORIGDSTADDR => toggles(udp());
    IP_RECVTOS => toggles(udp());
    IP_RECVTTL => toggles(udp());
    IP_RETOPTS => toggles(udp());
    IP_ROUTER_ALERT => takes(raw(libc::IPPROTO_ICMP), true);
    IP_TOS => keeps(udp(), 0x20, 0x20);
    IP_TRANSPARENT => toggles(udp());
    IP_TTL => keeps(udp(), 33, 33);
    IP_UNBLOCK_SOURCE => takes(blocking(), source_membership(GROUP));
    IP_UNICAST_IF => keeps(udp(), InterfaceIndex(lo()), InterfaceIndex(lo()));
    MCAST_BLOCK_SOURCE => takes(joined(), group_source(GROUP, SOURCE));
    MCAST_JOIN_GROUP => takes(udp(), group(GROUP));
    MCAST_JOIN_SOURCE_GROUP => takes(udp(), group_source(SOURCE_GROUP, SOURCE));
    MCAST_LEAVE_GROUP => takes(joined(), group(GROUP));
    MCAST_LEAVE_SOURCE_GROUP => takes(joined_source(), group_source(SOURCE_GROUP, SOURCE));
    MCAST_MSFILTER => takes(joined(), group_filter(GROUP, SOURCE));
    MCAST_UNBLOCK_SOURCE => takes(blocking(), group_source(GROUP, SOURCE));
    SO_ORIGINAL_DST feature "connection tracking" ENOENT ENOPROTOOPT =>
        reads(client(), |address| address.ip().is_loopback());
};

pub(super) const IPV6: &[Row] = rows! {
    IP6T_SO_ORIGINAL_DST feature "connection tracking" ENOENT ENOPROTOOPT =>
        reads(tcp6(), |address| address.ip().is_loopback());
    IPV6_ADDRFORM => works(mapped(), Family::INET, |socket| Ok(socket.family()? == Family::INET));
    IPV6_ADDR_PREFERENCES => works(udp6(), AddressPreferences::PUBLIC, |socket| {
        Ok(socket.option(option::IPV6_ADDR_PREFERENCES)?.contains(AddressPreferences::PUBLIC))
    });
    IPV6_ADD_MEMBERSHIP => takes(udp6(), membership6());
    IPV6_AUTOFLOWLABEL => toggles(udp6());
    IPV6_CHECKSUM => keeps(raw6(200), 2, 2);
    IPV6_DONTFRAG => toggles(udp6());
    IPV6_DROP_MEMBERSHIP => takes(joined6(), membership6());
    IPV6_DSTOPTS => keeps(udp6(), padding(), padding());
    IPV6_FLOWINFO => toggles(udp6());
    IPV6_FLOWINFO_SEND => toggles(udp6());
    IPV6_FREEBIND => toggles(udp6());
    IPV6_HDRINCL => toggles(raw6(200));
    IPV6_HOPOPTS => keeps(udp6(), padding(), padding());
    IPV6_JOIN_ANYCAST => takes(linked(), anycast());
    IPV6_LEAVE_ANYCAST => takes(in_anycast(), anycast());
    IPV6_MCAST_BLOCK_SOURCE => takes(joined6(), group_source(GROUP6, SOURCE6));
    IPV6_MCAST_JOIN_GROUP => takes(udp6(), group(GROUP6));
    IPV6_MCAST_JOIN_SOURCE_GROUP => takes(udp6(), group_source(GROUP6, SOURCE6));
    IPV6_MCAST_LEAVE_GROUP => takes(joined6(), group(GROUP6));
    IPV6_MCAST_LEAVE_SOURCE_GROUP => takes(joined_source6(), group_source(GROUP6, SOURCE6));
    IPV6_MCAST_MSFILTER => takes(joined6(), group_filter(GROUP6, SOURCE6));
    IPV6_MCAST_UNBLOCK_SOURCE => takes(blocking6(), group_source(GROUP6, SOURCE6));
    IPV6_MINHOPCOUNT => keeps(tcp6(), 5, 5);
    IPV6_MTU => works(udp6_to_itself(), 1400, |socket| Ok(1280 <= socket.option(option::IPV6_MTU)?));
    IPV6_MTU_DISCOVER => keeps(udp6(), PathMtuDiscovery::DO, PathMtuDiscovery::DO);
    IPV6_MULTICAST_ALL => toggles(udp6());
    IPV6_MULTICAST_HOPS => keeps(udp6(), 5, 5);
    IPV6_MULTICAST_IF => keeps(udp6(), lo(), lo());
    IPV6_MULTICAST_LOOP => toggles(udp6());
    IPV6_PATHMTU => reads(udp6_to_itself(), |path| 1280 <= path.mtu);
    IPV6_RECVDSTOPTS => toggles(udp6());
    IPV6_RECVERR => toggles(udp6());
    IPV6_RECVERR_RFC4884 newer "5.9" => toggles(udp6());
    IPV6_RECVFRAGSIZE => toggles(udp6());
    IPV6_RECVHOPLIMIT => toggles(udp6());
    IPV6_RECVHOPOPTS => toggles(udp6());
    IPV6_RECVORIGDSTADDR => toggles(udp6());
    IPV6_RECVPATHMTU => toggles(udp6());
    IPV6_RECVPKTINFO => toggles(udp6());
    IPV6_RECVRTHDR => toggles(udp6());
    IPV6_RECVTCLASS => toggles(udp6());
    IPV6_ROUTER_ALERT => takes(raw6(libc::IPPROTO_RAW), 0);
    IPV6_ROUTER_ALERT_ISOLATE => toggles(raw6(libc::IPPROTO_RAW));
    IPV6_RTHDR => keeps(udp6(), segments(), segments());
    IPV6_TCLASS => keeps(udp6(), 0x20, 0x20);
    IPV6_TRANSPARENT => toggles(udp6());
    IPV6_UNICAST_HOPS => keeps(udp6(), 33, 33);
    IPV6_UNICAST_IF => keeps(udp6(), InterfaceIndex(lo()), InterfaceIndex(lo()));
    IPV6_V6ONLY => toggles(tcp6());
};

pub(super) const ICMP: &[Row] = rows! {
    ICMP_FILTER => keeps(raw(libc::IPPROTO_ICMP), 1 << 8, 1 << 8);
    ICMP6_FILTER => keeps(
        raw6(libc::IPPROTO_ICMPV6),
        Icmp6Filter::BLOCK_ALL.pass(129),
        Icmp6Filter::BLOCK_ALL.pass(129)
    );
};

#[test]
fn options_of_every_socket_are_set_and_read() {
    check(SOCKET);
}

#[test]
fn options_of_ipv4_are_set_and_read() {
    check(IP);
}

#[test]
fn options_of_ipv6_are_set_and_read() {
    check(IPV6);
}

#[test]
fn options_of_icmp_are_set_and_read() {
    check(ICMP);
}
