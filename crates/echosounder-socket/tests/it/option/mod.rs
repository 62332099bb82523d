//! Socket options: every constant is set and read, and values that the kernel would misread are
//! refused.

mod check;
mod inet;
mod makers;
mod others;
mod transport;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use echosounder_socket::Transport;
use echosounder_socket::internal::option_list;
use echosounder_socket::option::{
    self, BpfInstruction, CanFilter, GetValue, Icmp6Filter, InterfaceIndex, MemoryInfo, MptcpInfo,
    PacketFanout, PathMtu, PortRange, SctpEvents, SctpPeerParameters, SctpStatus, SetValue, TcpInfo,
    TimestampingFlags, XdpMmapOffsets,
};
use proptest::prelude::*;

use crate::LOOPBACK;

/// The kernel counts this option in instructions, and would write eight times as many bytes.
#[test]
fn long_filter_does_not_overflow_a_short_buffer() {
    let socket = Transport::Udp.socket(&LOOPBACK[0]).unwrap();
    let program: Vec<_> = (1..=200).map(BpfInstruction::ret).collect();
    socket.attach_filter(&program).unwrap();
    assert_eq!(socket.filter().unwrap(), program);

    let read = |len| socket.option_bytes(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, len);
    assert_eq!(read(1599).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(read(1600).unwrap().len(), 1600);
    assert_eq!(read(4096).unwrap().len(), 1600);
}

#[test]
fn reuseport_filter_chooses_the_socket() {
    let group = [(); 2].map(|()| {
        let socket = Transport::Udp.socket(&LOOPBACK[0]).unwrap();
        socket.set_option(option::SO_REUSEPORT, true).unwrap();
        socket
    });
    group[0].bind(&LOOPBACK[0]).unwrap();
    let name = group[0].local_addr().unwrap();
    group[1].bind(&name).unwrap();
    let client = Transport::Udp.socket(&name).unwrap();
    for chosen in [1, 0] {
        group[0].attach_reuseport_filter(&[BpfInstruction::ret(chosen)]).unwrap();
        for _ in 0..8 {
            client.send_to(b"to the chosen one", &name).unwrap();
            assert_eq!(group[chosen as usize].recv(&mut [0; 32]).unwrap(), 17);
        }
    }
}

proptest! {
    /// The kernel is trusted for memory safety only: no bytes make a value panic.
    #[test]
    fn values_decode_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fn decode<V: GetValue>(bytes: &[u8]) {
            let fits = &bytes[..bytes.len().min(V::LEN_MAX)];
            let _ = V::decode(fits);
        }
        decode::<TcpInfo>(&bytes);
        decode::<MptcpInfo>(&bytes);
        decode::<SctpStatus>(&bytes);
        decode::<SctpEvents>(&bytes);
        decode::<SctpPeerParameters>(&bytes);
        decode::<MemoryInfo>(&bytes);
        decode::<PathMtu>(&bytes);
        decode::<SocketAddrV4>(&bytes);
        decode::<Icmp6Filter>(&bytes);
        decode::<Vec<CanFilter>>(&bytes);
        decode::<Vec<u32>>(&bytes);
        decode::<PacketFanout>(&bytes);
        decode::<XdpMmapOffsets>(&bytes);
        decode::<Duration>(&bytes);
        decode::<Option<Duration>>(&bytes);
        decode::<String>(&bytes);
        decode::<OsString>(&bytes);
    }

    #[test]
    fn encoded_values_decode_to_themselves(number: u64, low: u16, high: u16) {
        fn round_trip<V: GetValue + SetValue + PartialEq + Debug>(value: V) {
            let bytes = value.encode().unwrap();
            assert_eq!(V::decode(bytes.as_ref()), Some(value));
        }
        round_trip(number);
        round_trip(i64::from_ne_bytes(number.to_ne_bytes()));
        round_trip(low);
        round_trip(low.to_ne_bytes()[0]);
        round_trip(Duration::from_micros(number >> 1));
        round_trip(Ipv4Addr::from(u32::from(low) << 16 | u32::from(high)));
        round_trip(PortRange { low, high });
        round_trip(InterfaceIndex(u32::from(low) << 16 | u32::from(high)));
        round_trip(TimestampingFlags::from_bits_retain(u32::from(low) << 16 | u32::from(high)));
        round_trip(Icmp6Filter::BLOCK_ALL.pass(low.to_ne_bytes()[0]).pass(high.to_ne_bytes()[0]));
    }
}

/// All options of SOL_SOCKET, IPv4 and IPv6 are in `inet.rs`, those of transports in
/// `transport.rs`.
#[test]
fn every_option_is_tested() {
    let tables = [
        inet::SOCKET,
        inet::IP,
        inet::IPV6,
        inet::ICMP,
        transport::TCP,
        transport::UDP,
        others::NETLINK,
        others::TIPC,
        others::VSOCK,
        others::SCTP,
        others::PACKET,
        others::CAN,
        others::ALG,
        others::XDP,
    ];
    let tested: Vec<_> = tables.into_iter().flatten().map(|row| row.name).collect();
    let all: Vec<_> = option_list().map(|(name, ..)| name).collect();
    let missing: Vec<_> = all.iter().filter(|name| !tested.contains(name)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    let unique: HashSet<_> = all.iter().collect();
    assert_eq!((unique.len(), tested.len()), (all.len(), all.len()), "names occur once");
    assert!(180 <= all.len(), "{} options", all.len());
}

#[test]
fn numbers_of_options_occur_once() {
    let numbers: HashSet<_> = option_list().map(|(_, level, number)| (level, number)).collect();
    assert_eq!(numbers.len(), option_list().count());
}

#[test]
fn options_are_shown_by_name_and_compared_by_number() {
    assert_eq!(format!("{:?}", option::TCP_NODELAY), "TCP_NODELAY");
    assert_eq!(option::SO_REUSEADDR, option::SO_REUSEADDR);
    assert_ne!(option::SO_REUSEADDR, option::SO_REUSEPORT);
    assert_eq!(HashSet::from([option::SO_KEEPALIVE, option::SO_KEEPALIVE]).len(), 1);
    assert_eq!((option::SO_KEEPALIVE.level(), option::SO_KEEPALIVE.name()), (1, 9));
}
