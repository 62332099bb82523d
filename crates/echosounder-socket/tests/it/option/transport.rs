//! Options of TCP, TLS, MPTCP, UDP and UDP-Lite.

use std::net::{IpAddr, Ipv4Addr};

use echosounder_socket::option::{
    self, TcpMd5Key, TcpRepairOption, TcpState, TlsCipher, TlsKeys, TlsVersion,
};

use super::check::{Needs, Row, check, copies, keeps, reads, rows, takes, toggles, works};
use super::makers::*;

fn md5_key(prefix_len: Option<u8>) -> TcpMd5Key {
    let peer = IpAddr::V4(Ipv4Addr::new(127, 7, 7, 0));
    TcpMd5Key { peer, prefix_len, interface: 0, key: b"secret".to_vec() }
}

fn tls_keys() -> TlsKeys {
    let cipher = TlsCipher::Aes128Gcm { iv: [1; 8], key: [2; 16], salt: [3; 4], sequence: [0; 8] };
    TlsKeys { version: TlsVersion::V1_3, cipher }
}

pub(super) const TCP: &[Row] = rows! {
    MPTCP_INFO newer "5.16" => reads(mptcp(), |info| info.token != 0);
    TCP_CC_INFO => reads(client(), |info| info.len() < 64);
    TCP_CONGESTION => copies(tcp());
    TCP_CORK => toggles(tcp());
    TCP_DEFER_ACCEPT => keeps(listener(), 7, 7);
    TCP_DELACK_MAX_US newer "6.15" => keeps(tcp(), 20_000, 20_000);
    TCP_FASTOPEN => keeps(listener(), 16, 16);
    TCP_FASTOPEN_CONNECT => toggles(tcp());
    TCP_FASTOPEN_KEY => keeps(listener(), vec![7; 32], vec![7; 32]);
    TCP_FASTOPEN_NO_COOKIE => toggles(tcp());
    TCP_INFO => reads(client(), |info| info.state == TcpState::ESTABLISHED && 0 < info.snd_mss);
    TCP_INQ => toggles(tcp());
    TCP_IS_MPTCP newer "6.9" => reads(client(), |is_mptcp| !is_mptcp);
    TCP_KEEPCNT => keeps(tcp(), 3, 3);
    TCP_KEEPIDLE => keeps(tcp(), 17, 17);
    TCP_KEEPINTVL => keeps(tcp(), 18, 18);
    TCP_LINGER2 => keeps(tcp(), 19, 19);
    TCP_MAXSEG => keeps(tcp(), 1000, 1000);
    TCP_MD5SIG feature "tcp md5" ENOPROTOOPT => takes(tcp(), md5_key(None));
    TCP_MD5SIG_EXT feature "tcp md5" ENOPROTOOPT => takes(tcp(), md5_key(Some(24)));
    TCP_NODELAY => toggles(tcp());
    TCP_NOTSENT_LOWAT => keeps(tcp(), 65_537, 65_537);
    TCP_QUEUE_SEQ => keeps(restoring(), 1234, 1234);
    TCP_QUICKACK => keeps(client(), false, false);
    TCP_REPAIR => keeps(tcp(), 1, 1);
    TCP_REPAIR_OPTIONS => takes(repairing(), vec![TcpRepairOption { code: 2, value: 1400 }]);
    TCP_REPAIR_QUEUE => keeps(restoring(), 1, 1);
    TCP_REPAIR_WINDOW => copies(repairing());
    TCP_RTO_MAX_MS newer "6.15" => keeps(tcp(), 5000, 5000);
    TCP_RTO_MIN_US newer "6.15" => keeps(tcp(), 40_000, 40_000);
    TCP_SAVED_SYN => reads(accepted_with_syn(), |headers| headers.first() == Some(&0x45));
    TCP_SAVE_SYN => keeps(listener(), 1, 1);
    TCP_SYNCNT => keeps(tcp(), 3, 3);
    TCP_THIN_DUPACK => takes(tcp(), true);
    TCP_THIN_LINEAR_TIMEOUTS => toggles(tcp());
    TCP_TIMESTAMP => works(repairing(), 77, |socket| Ok(socket.option(option::TCP_TIMESTAMP).is_ok()));
    TCP_TX_DELAY => keeps(tcp(), 5, 5);
    TCP_ULP => reads(tls(), |name| name == "tls");
    TCP_USER_TIMEOUT => keeps(tcp(), 12_345, 12_345);
    TCP_WINDOW_CLAMP => keeps(tcp(), 65_536, 65_536);
    TLS_RX => takes(tls(), tls_keys());
    TLS_RX_EXPECT_NO_PAD newer "6.0" =>
        toggles(prepared(tls(), |socket| socket.set_option(option::TLS_RX, tls_keys())));
    TLS_TX => takes(tls(), tls_keys());
    TLS_TX_ZEROCOPY_RO newer "5.19" => toggles(tls());
};

pub(super) const UDP: &[Row] = rows! {
    UDPLITE_RECV_CSCOV => keeps(udplite(), 20, 20);
    UDPLITE_SEND_CSCOV => keeps(udplite(), 20, 20);
    UDP_CORK => toggles(udp());
    UDP_ENCAP => keeps(udp(), 3, 3);
    UDP_GRO => toggles(udp());
    UDP_NO_CHECK6_RX => toggles(udp6());
    UDP_NO_CHECK6_TX => toggles(udp6());
    UDP_SEGMENT => keeps(udp(), 1000, 1000);
};

#[test]
fn options_of_tcp_are_set_and_read() {
    check(TCP);
}

#[test]
fn options_of_udp_are_set_and_read() {
    check(UDP);
}

#[test]
fn tcp_info_counts_what_was_sent() {
    let made = client().unwrap();
    let before = made.socket.option(option::TCP_INFO).unwrap();
    assert_eq!((before.bytes_sent, before.bytes_acked), (0, 1), "the SYN counts as one byte");
    made.socket.send_all(&[7; 1000]).unwrap();
    assert_eq!(made.others[0].recv(&mut [0; 2000]).unwrap(), 1000);
    // The reply carries the acknowledgement.
    made.others[0].send_all(b"reply").unwrap();
    assert_eq!(made.socket.recv(&mut [0; 8]).unwrap(), 5);

    let info = made.socket.option(option::TCP_INFO).unwrap();
    assert_eq!((info.bytes_sent, info.bytes_acked, info.bytes_received), (1000, 1001, 5));
    assert_eq!((info.data_segs_out, info.total_retrans, info.unacked), (1, 0, 0));
    assert!(info.min_rtt.unwrap() <= info.rtt * 8 && !info.rto.is_zero(), "{info:?}");
    assert_eq!(made.others[1].option(option::TCP_INFO).unwrap().state, TcpState::LISTEN);
    assert!(format!("{info:?}").contains("state: ESTABLISHED"));
}
