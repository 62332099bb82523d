//! Families without a transport, by number. They refuse flags and addresses that others accept.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};

use echosounder_socket::{
    Address, Batch, ControlSpace, Family, MessageFlags, Outgoing, Protocol, Socket, Type, interface_index,
};

use crate::{PATIENCE, skip};

/// An Ethernet type for local experiments, which nothing else on this machine sends: IEEE 802.
const EXPERIMENT: u16 = 0x88b5;

/// The address of packets of our type on the loopback interface: `struct sockaddr_ll`, packet(7).
fn loopback() -> Address {
    let family = u16::try_from(libc::AF_PACKET).unwrap();
    let index = i32::try_from(interface_index("lo").unwrap()).unwrap();
    let mut bytes = family.to_ne_bytes().to_vec();
    bytes.extend(EXPERIMENT.to_be_bytes());
    bytes.extend(index.to_ne_bytes());
    bytes.extend([0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    Address::Other(bytes.into())
}

fn socket(name: &str, family: i32, kind: Type, protocol: i32) -> Option<Socket> {
    match Socket::new(Family(family), kind, Protocol(protocol)) {
        Ok(socket) => {
            socket.set_timeout(Some(PATIENCE)).unwrap();
            Some(socket)
        }
        Err(error) => {
            skip(name, error.to_string());
            None
        }
    }
}

/// AF_PACKET refuses unknown flags, such as MSG_CMSG_CLOEXEC.
#[test]
fn packet_sockets_work_with_every_receive() {
    let Some(packets) = socket("af_packet", libc::AF_PACKET, Type::DGRAM, 0) else { return };
    packets.bind(loopback()).unwrap();
    let send = || packets.send_to(b"a packet", loopback()).unwrap();
    let mut buffer = [0; 64];

    for space in [ControlSpace::NONE, ControlSpace::ALL] {
        send();
        let into = &mut [IoSliceMut::new(&mut buffer)];
        let message = packets.recv_msg(into, space, MessageFlags::NONE).unwrap();
        assert_eq!((message.len, message.flags), (8, MessageFlags::NONE));
        assert_eq!(message.from.unwrap().family(), Family(libc::AF_PACKET));
        send();
        let into = &mut [IoSliceMut::new(&mut buffer[..4])];
        let message = packets.recv_msg(into, space, MessageFlags::TRUNC).unwrap();
        assert_eq!((message.len, message.full_len, message.flags), (4, 8, MessageFlags::TRUNC));
    }
    send();
    assert_eq!(packets.recv_message(&mut buffer).unwrap().len, 8);
    send();
    let (one, other) = buffer.split_at_mut(4);
    let mut reader = &packets;
    assert_eq!(reader.read_vectored(&mut [IoSliceMut::new(one), IoSliceMut::new(other)]).unwrap(), 8);
    let mut batch = Batch::new(4, 64);
    send();
    let received = packets.recv_many(&mut batch).unwrap();
    assert!(1 <= received && batch.bytes(0) == b"a packet");

    // A flag that the caller passes and the family does not support is still refused.
    let into = &mut [IoSliceMut::new(&mut buffer)];
    let refused = packets.recv_msg(into, ControlSpace::ALL, MessageFlags::CMSG_CLOEXEC).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
}

/// RDS refuses every flag of a send but MSG_DONTWAIT, also MSG_NOSIGNAL.
#[test]
fn rds_sockets_work_with_every_send() {
    let open = || socket("rds", libc::AF_RDS, Type::SEQPACKET, 0);
    let (Some(one), Some(other)) = (open(), open()) else { return };
    for socket in [&one, &other] {
        // RDS does not choose a port.
        let port = (20_000..30_000).find(|&port| socket.bind(([127, 0, 0, 1], port)).is_ok());
        assert!(port.is_some());
    }
    let to = other.local_addr().unwrap();
    let mut buffer = [0; 64];
    let mut check = |sent: io::Result<usize>| {
        sent.unwrap();
        let (len, from) = other.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"ahoy"[..], one.local_addr().unwrap()));
    };
    let pieces = [IoSlice::new(b"ahoy")];
    check(one.send_to(b"ahoy", &to));
    check(one.send_msg(&pieces, &[], Some(&to), MessageFlags::NONE));
    check(one.send_many(&[Outgoing::new(&pieces).to(&to)]));
    one.connect(&to).unwrap();
    check(one.send(b"ahoy"));
    check(one.send_all(b"ahoy").map(|()| 4).map_err(io::Error::from));
    check((&one).write_vectored(&pieces));
}

/// AF_ALG has no addresses: an accept that requests the peer's address fails and closes the new
/// socket.
#[test]
fn alg_socket_accepts_without_an_address() {
    let Some(algorithm) = socket("af_alg", libc::AF_ALG, Type::SEQPACKET, 0) else { return };
    // struct sockaddr_alg: family, type[14], feature, mask, name[64].
    let mut name = u16::try_from(libc::AF_ALG).unwrap().to_ne_bytes().to_vec();
    name.extend(b"hash\0\0\0\0\0\0\0\0\0\0");
    name.extend([0; 8]);
    name.extend(b"sha256");
    name.resize(88, 0);
    if let Err(error) = algorithm.bind(Address::Other(name.into())) {
        return skip("af_alg", error.to_string());
    }
    for nonblocking in [false, true] {
        let accepted = if nonblocking { algorithm.accept_nonblocking() } else { algorithm.accept() };
        let (hash, peer) = accepted.unwrap();
        assert_eq!(peer.family(), Family(libc::AF_ALG));
        hash.set_timeout(Some(PATIENCE)).unwrap();
        hash.send_all_with(b"ab", MessageFlags::MORE).unwrap();
        hash.send_all(b"c").unwrap();
        let mut digest = [0; 32];
        assert_eq!(hash.recv(&mut digest).unwrap(), 32);
        assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf], "SHA-256 of abc, FIPS 180-2");
    }
}
