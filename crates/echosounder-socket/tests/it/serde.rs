//! Values as JSON, with the feature `serde`.

use std::fmt::Debug;
use std::net::{TcpListener, TcpStream};

use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::TipcAddress;
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::option::{MemoryInfo, MptcpInfo, TCP_INFO};
use echosounder_socket::{Address, Credentials, Endpoint, RawAddress, Socket, Transport};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Checks that a value and a JSON string stand for each other.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, text: &str) {
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(json, format!("{text:?}"));
    assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value, "{text}");
}

#[test]
fn addresses_are_text() {
    let texts = [
        "unspecified",
        "127.0.0.1:80",
        "[::1]:80",
        "[fe80::1%3]:80",
        "unix:/run/echo",
        "unix:@echo",
        "unix:relative",
        "vsock:host:7",
        "tipc:21567:1",
        "netlink:7",
    ];
    for text in texts {
        check(text.parse::<Address>().unwrap(), text);
    }
    check(Address::from(&RawAddress::from_bytes(&[99, 0, 1, 2])), "sockaddr:63000102");
}

#[test]
fn endpoints_and_transports_are_text() {
    for text in
        ["tcp://localhost:80", "udp://[::1]:7", "unix-seqpacket:@echo", "vsock://any:7", "tipc://21567:1"]
    {
        check(text.parse::<Endpoint>().unwrap(), text);
    }
    for transport in Transport::all() {
        check(transport, transport.scheme());
    }
}

#[test]
fn names_of_families_are_text() {
    for text in ["/run/echo", "@echo"] {
        check(text.parse::<UnixName>().unwrap(), text);
    }
    check("2:7".parse::<VsockAddress>().unwrap(), "host:7");
    check("21567:1".parse::<TipcAddress>().unwrap(), "21567:1");
    check("7".parse::<NetlinkAddress>().unwrap(), "7");
}

#[test]
fn text_that_is_no_address_is_an_error() {
    let error = serde_json::from_str::<Endpoint>("\"tcq://localhost\"").unwrap_err();
    let reason = "tcq://localhost".parse::<Endpoint>().unwrap_err();
    assert!(error.to_string().starts_with(&reason.to_string()), "{error}");
    let error = serde_json::from_str::<Address>("7").unwrap_err();
    assert!(error.to_string().contains("expected a string"), "{error}");
}

#[test]
fn tcp_info_is_an_object() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let info = Socket::from(stream).option(TCP_INFO).unwrap();
    let json = serde_json::to_value(info).unwrap();
    assert_eq!(json["snd_mss"], info.snd_mss);
    assert_eq!(json["rtt"]["nanos"], info.rtt.subsec_nanos());
}

#[test]
fn other_records_of_the_kernel_are_objects() {
    let json = serde_json::to_value(MptcpInfo::default()).unwrap();
    assert_eq!((&json["flags"], &json["token"]), (&0.into(), &0.into()));
    let json = serde_json::to_value(MemoryInfo::default()).unwrap();
    assert!(json.is_object());
    let json = serde_json::to_value(Credentials { pid: 7, uid: 8, gid: 9 }).unwrap();
    assert_eq!(json["pid"], 7);
}
