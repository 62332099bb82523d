//! Socket options: every constant is set and read, and values that the kernel would misread are
//! refused.

mod check;
mod inet;
mod makers;
mod others;
mod transport;

use std::collections::HashSet;

use echosounder_socket::Transport;
use echosounder_socket::option::{self, BpfInstruction};

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
    let all: Vec<_> = option::list().map(|(name, ..)| name).collect();
    let missing: Vec<_> = all.iter().filter(|name| !tested.contains(name)).collect();
    assert!(missing.is_empty(), "without a row: {missing:?}");
    let unique: HashSet<_> = all.iter().collect();
    assert_eq!((unique.len(), tested.len()), (all.len(), all.len()), "names occur once");
    assert!(180 <= all.len(), "{} options", all.len());
}

#[test]
fn numbers_of_options_occur_once() {
    let numbers: HashSet<_> = option::list().map(|(_, level, number)| (level, number)).collect();
    assert_eq!(numbers.len(), option::list().count());
}

#[test]
fn options_are_shown_by_name_and_compared_by_number() {
    assert_eq!(format!("{:?}", option::TCP_NODELAY), "TCP_NODELAY");
    assert_eq!(option::SO_REUSEADDR, option::SO_REUSEADDR);
    assert_ne!(option::SO_REUSEADDR, option::SO_REUSEPORT);
    assert_eq!(HashSet::from([option::SO_KEEPALIVE, option::SO_KEEPALIVE]).len(), 1);
    assert_eq!((option::SO_KEEPALIVE.level(), option::SO_KEEPALIVE.name()), (1, 9));
}
