use std::error::Error as _;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::slice;

use echosounder_socket::family::inet::Host;
use echosounder_socket::family::netlink::NetlinkAddress;
use echosounder_socket::family::tipc::{TipcAddress, TipcScope};
use echosounder_socket::family::unix::UnixName;
use echosounder_socket::family::vsock::VsockAddress;
use echosounder_socket::{Address, Endpoint, EndpointError, IpVersion, Kind, Name, Side, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::skip;

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn inet(host: Host, port: u16) -> Name {
    Name::Inet(host, port)
}

const HOSTS: [&str; 17] = [
    "",
    "*",
    "localhost",
    "127.1",
    "21567",
    "0x7f.1",
    "0.0.0.0",
    "::1",
    "[::]",
    "[]",
    "[1:2:3:4:5:6:7:8]",
    "[::ffff:1.2.3.4]",
    "[::1%0]",
    "[fe80::1%",
    "[fe80::1%br-1.2@x]",
    "[fe80::1%25eth0]",
    "[fe80::1%2525g]",
];

/// Endpoints as users write them, mostly valid.
fn written() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        select(&HOSTS).prop_map(str::to_owned),
        "[a-zA-Z0-9._-]{1,30}",
        any::<Ipv4Addr>().prop_map(|ip| ip.to_string()),
        any::<Ipv6Addr>().prop_map(|ip| format!("[{ip}]")),
    ];
    let port =
        prop_oneof![Just(String::new()), any::<u16>().prop_map(|port| format!(":{port}")), ":[0-9]{0,6}"];
    prop_oneof![
        (select(vec!["", "tcp://", "udp://"]), host, port)
            .prop_map(|(scheme, host, port)| format!("{scheme}{host}{port}")),
        (
            select(vec!["unix:", "unix-dgram:", "unix-seqpacket:", ""]),
            "[/@.]{0,2}([ -~]|%[0-9a-fA-F]{2}|é|☃){0,20}"
        )
            .prop_map(|(scheme, name)| format!("{scheme}{name}")),
    ]
}

fn unix_name() -> impl Strategy<Value = UnixName> {
    prop_oneof![
        vec(1..=u8::MAX, 1..=108).prop_map(|path| UnixName::Path(path.into())),
        vec(select(b"/@%.:ab ".to_vec()), 1..=9).prop_map(|path| UnixName::Path(path.into())),
        vec(any::<u8>(), 0..=107).prop_map(|name| UnixName::Abstract(name.into())),
    ]
}

/// Checks that the printed endpoint parses to the same endpoint and consists of printable
/// characters.
fn check_printed(endpoint: &Endpoint) -> Result<(), TestCaseError> {
    let printed = endpoint.to_string();
    prop_assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()), "{}", printed);
    prop_assert!(printed.starts_with(endpoint.transport().scheme()));
    let parsed = printed.parse::<Endpoint>();
    prop_assert_eq!(parsed.as_ref(), Ok(endpoint));
    prop_assert_eq!(parsed.unwrap().to_string(), printed);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn printed_endpoint_parses_to_itself(text in written()) {
        if let Ok(endpoint) = text.parse::<Endpoint>() {
            check_printed(&endpoint)?;
        }
    }

    #[test]
    fn parsing_never_panics(text: String, scheme in select(vec!["tcp://", "udp://", "unix:", "unix-dgram:@", "[", "%"])) {
        for text in [&text, &format!("{scheme}{text}")] {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                check_printed(&endpoint)?;
            }
        }
    }

    #[test]
    fn every_unix_name_round_trips(
        name in unix_name(),
        transport in select(vec![Transport::UnixStream, Transport::UnixDatagram, Transport::UnixSeqpacket]),
    ) {
        let address = Address::Unix(name.clone());
        let endpoint = Endpoint::at(transport, &address).unwrap();
        prop_assert_eq!(endpoint.name(), &Name::Unix(name));
        check_printed(&endpoint)?;
        prop_assert_eq!(endpoint.resolve(Side::Client, IpVersion::Any).unwrap(), vec![address]);
    }

    #[test]
    fn every_inet_address_round_trips(
        ip: IpAddr, port: u16, scope in prop_oneof![Just(0), any::<u32>()],
        transport in select(vec![Transport::Tcp, Transport::Udp]), side in select(vec![Side::Server, Side::Client]),
    ) {
        let address = Address::from(match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
        });
        let endpoint = Endpoint::at(transport, &address).unwrap();
        check_printed(&endpoint)?;
        let pasted: Endpoint = endpoint.to_string().parse().unwrap();
        prop_assert_eq!(pasted.resolve(side, IpVersion::Any).unwrap(), vec![address]);
    }
}

#[test]
fn hosts_are_printed_in_canonical_form() {
    for (written, printed) in [
        ("tcp://", "tcp://*:21567"),
        ("udp://", "udp://*:21567"),
        ("*", "tcp://*:21567"),
        (":80", "tcp://*:80"),
        ("*:0", "tcp://*:0"),
        ("b", "tcp://b:21567"),
        ("b:7", "tcp://b:7"),
        ("tcp://b.example.:007", "tcp://b.example.:7"),
        ("udp://under_score-1:65535", "udp://under_score-1:65535"),
        ("10.0.3.7", "tcp://10.0.3.7:21567"),
        ("udp://10.0.3.7:9", "udp://10.0.3.7:9"),
        ("[::1]", "tcp://[::1]:21567"),
        ("[0:0::0001]:9", "tcp://[::1]:9"),
        ("udp://[fe80::1%eth0]", "udp://[fe80::1%eth0]:21567"),
        ("[fe80::1%2]:9", "tcp://[fe80::1%2]:9"),
        ("[::ffff:127.0.0.1]:9", "tcp://[::ffff:127.0.0.1]:9"),
        ("unix", "tcp://unix:21567"),
        ("8080", "tcp://*:8080"),
        ("udp://53", "udp://*:53"),
        ("0", "tcp://*:0"),
        ("tcp://1.node:7", "tcp://1.node:7"),
        ("TCP://B:7", "tcp://B:7"),
        ("Udp://[::1]", "udp://[::1]:21567"),
        ("[fe80::1%25eth0]:9", "tcp://[fe80::1%eth0]:9"),
        ("[fe80::1%2525g]:9", "tcp://[fe80::1%2525g]:9"),
        ("[fe80::1%25]:9", "tcp://[fe80::1%25]:9"),
        ("[fe80::1%251]:9", "tcp://[fe80::1%251]:9"),
    ] {
        assert_eq!(endpoint(written).to_string(), printed, "{written}");
    }
}

#[test]
fn unix_names_are_printed_in_canonical_form() {
    for (written, printed) in [
        ("/run/x", "unix:/run/x"),
        ("./x", "unix:./x"),
        ("@x", "unix:@x"),
        ("@", "unix:@"),
        ("unix:x", "unix:x"),
        ("unix:80", "unix:80"),
        ("unix:@x", "unix:@x"),
        ("unix:/run/%78", "unix:/run/x"),
        ("unix:%40x", "unix:%40x"),
        ("unix:a@b", "unix:a@b"),
        ("unix:a b", "unix:a%20b"),
        ("unix:100%25", "unix:100%25"),
        ("unix:é", "unix:%C3%A9"),
        ("unix:%c3%a9", "unix:%C3%A9"),
        ("unix:@a%00b", "unix:@a%00b"),
        ("unix:@@", "unix:@@"),
        ("unix:@\x1b[2J\u{202e}", "unix:@%1B[2J%E2%80%AE"),
        ("unix-dgram:/x", "unix-dgram:/x"),
        ("unix-dgram:@x", "unix-dgram:@x"),
        ("unix-seqpacket:./x", "unix-seqpacket:./x"),
        ("UNIX-Dgram:@X", "unix-dgram:@X"),
    ] {
        assert_eq!(endpoint(written).to_string(), printed, "{written}");
    }
}

#[test]
fn other_names_are_printed_in_canonical_form() {
    for (written, printed) in [
        ("vsock://", "vsock://any:21567"),
        ("vsock://*:7", "vsock://any:7"),
        ("vsock://any:0", "vsock://any:0"),
        ("vsock://:0", "vsock://any:0"),
        ("vsock://1", "vsock://local:21567"),
        ("vsock://1:7", "vsock://local:7"),
        ("vsock://2:7", "vsock://host:7"),
        ("vsock-seqpacket://16:4294967294", "vsock-seqpacket://16:4294967294"),
        ("tipc://0070:1", "tipc://70:1"),
        ("tipc://70:1?scope=cluster", "tipc://70:1"),
        ("tipc-rdm://4294967295:4294967295?scope=node", "tipc-rdm://4294967295:4294967295?scope=node"),
        ("tipc-seqpacket://64:0", "tipc-seqpacket://64:0"),
        ("netlink://007", "netlink://7"),
        ("netlink://0", "netlink://0"),
        ("mptcp://[::1]", "mptcp://[::1]:21567"),
        ("sctp://b:7", "sctp://b:7"),
        ("VSOCK://2:7", "vsock://host:7"),
        ("Tipc-RDM://70:1", "tipc-rdm://70:1"),
    ] {
        let endpoint = endpoint(written);
        assert_eq!(endpoint.to_string(), printed, "{written}");
        assert_eq!(printed.parse(), Ok(endpoint));
    }
}

#[test]
fn any_context_id_means_this_machine_for_a_client() {
    for (text, side, cid) in [
        ("vsock://any:7", Side::Server, VsockAddress::CID_ANY),
        ("vsock://any:7", Side::Client, VsockAddress::CID_LOCAL),
        ("vsock://host:7", Side::Client, VsockAddress::CID_HOST),
        ("vsock://3:7", Side::Client, 3),
    ] {
        let addresses = endpoint(text).resolve(side, IpVersion::Any).unwrap();
        assert_eq!(addresses, [VsockAddress { cid, port: 7 }.into()], "{text}");
    }
    let any = VsockAddress { cid: VsockAddress::CID_ANY, port: VsockAddress::PORT_ANY };
    let addresses = endpoint("vsock://any:0").resolve(Side::Server, IpVersion::Any).unwrap();
    assert_eq!(addresses, [any.into()]);
}

#[test]
fn other_addresses_round_trip() {
    let tipc = |scope| TipcAddress::Service { service: 70, instance: 7, scope, domain: 0 };
    for (transport, address) in [
        (Transport::VsockStream, Address::from(VsockAddress { cid: 5, port: 7 })),
        (Transport::TipcRdm, tipc(TipcScope::Cluster).into()),
        (Transport::TipcStream, tipc(TipcScope::Node).into()),
        (Transport::Netlink, NetlinkAddress { port_id: 7, groups: 0 }.into()),
    ] {
        let endpoint = Endpoint::at(transport, &address).unwrap();
        let pasted: Endpoint = endpoint.to_string().parse().unwrap();
        assert_eq!(pasted.resolve(Side::Client, IpVersion::Any).unwrap(), slice::from_ref(&address));
        assert_eq!(Endpoint::display(transport, &address), endpoint.to_string());
    }
    for (transport, address, shown) in [
        (Transport::TipcStream, TipcAddress::Socket { node: 0xab, reference: 9 }.into(), "ab/9"),
        (
            Transport::TipcRdm,
            TipcAddress::Range { service: 70, lower: 1, upper: 2, scope: TipcScope::Node }.into(),
            "70:1-2?scope=node",
        ),
        (Transport::TipcRdm, TipcAddress::service(1, 1).into(), "1:1"),
        (Transport::Netlink, NetlinkAddress { port_id: 7, groups: 1 }.into(), "7?groups=0x1"),
        (Transport::Tcp, Address::from(VsockAddress { cid: 2, port: 7 }), "host:7"),
    ] {
        assert_eq!(Endpoint::at(transport, &address).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(Endpoint::display(transport, &address), shown);
    }
}

#[test]
fn texts_parse_to_the_expected_names() {
    let zone = Some("eth0".into());
    for (text, name) in [
        ("tcp://", inet(Host::Any, 21567)),
        ("*:9", inet(Host::Any, 9)),
        ("b", inet(Host::Name("b".into()), 21567)),
        ("0.0.0.0:0", inet(Host::V4(Ipv4Addr::UNSPECIFIED), 0)),
        ("[::]", inet(Host::V6(Ipv6Addr::UNSPECIFIED, None), 21567)),
        ("udp://[fe80::1%eth0]:9", inet(Host::V6("fe80::1".parse().unwrap(), zone), 9)),
        ("@a%00", Name::Unix(UnixName::Abstract(b"a\0"[..].into()))),
        ("unix:%40%ff", Name::Unix(UnixName::Path(b"@\xff"[..].into()))),
        ("./@x", Name::Unix(UnixName::Path(b"./@x"[..].into()))),
    ] {
        assert_eq!(endpoint(text).name(), &name, "{text}");
    }
}

#[test]
fn transports_have_schemes_and_kinds() {
    for (text, transport, kind) in [
        ("tcp", Transport::Tcp, Kind::Stream),
        ("udp", Transport::Udp, Kind::Datagrams),
        ("unix", Transport::UnixStream, Kind::Stream),
        ("unix-dgram", Transport::UnixDatagram, Kind::Datagrams),
        ("unix-seqpacket", Transport::UnixSeqpacket, Kind::Messages),
        ("vsock", Transport::VsockStream, Kind::Stream),
        ("vsock-seqpacket", Transport::VsockSeqpacket, Kind::Messages),
        ("tipc", Transport::TipcStream, Kind::Stream),
        ("tipc-seqpacket", Transport::TipcSeqpacket, Kind::Messages),
        ("tipc-rdm", Transport::TipcRdm, Kind::Datagrams),
        ("tipc-dgram", Transport::TipcDatagram, Kind::Datagrams),
        ("netlink", Transport::Netlink, Kind::Datagrams),
        ("mptcp", Transport::Mptcp, Kind::Stream),
        ("sctp", Transport::Sctp, Kind::Stream),
    ] {
        let name = match text.split_once('-').map_or(text, |(family, _)| family) {
            "unix" => ":x",
            "vsock" => "://local:7",
            "tipc" => "://70:7",
            "netlink" => "://7",
            _ => "://x:7",
        };
        assert_eq!(endpoint(&format!("{text}{name}")).transport(), transport);
        assert_eq!((transport.scheme(), transport.kind()), (text, kind));
        assert_eq!(transport.has_connections(), kind != Kind::Datagrams);
        assert_eq!(Transport::all().filter(|known| *known == transport).count(), 1);
    }
    assert_eq!(Transport::all().count(), 14);
}

fn no_scheme(name: &str) -> String {
    format!(
        "no scheme is named {name:?}; there are tcp:// udp:// unix: unix-dgram: unix-seqpacket: vsock:// \
         vsock-seqpacket:// tipc:// tipc-seqpacket:// tipc-rdm:// tipc-dgram:// netlink:// mptcp:// sctp://"
    )
}

#[test]
fn parse_errors_name_the_wrong_part() {
    let path = format!("unix:/{}", "p".repeat(108));
    let name = format!("@{}", "n".repeat(108));
    let long = "h".repeat(254);
    for (text, error, sentence) in [
        ("", EndpointError::Empty, "the endpoint is empty"),
        ("http://b", EndpointError::UnknownScheme("http".into()), &no_scheme("http")),
        ("b:65536", EndpointError::BadPort("65536".into()), "port \"65536\" is not a number from 0 to 65535"),
        ("b:", EndpointError::BadPort(String::new()), "port \"\" is not a number from 0 to 65535"),
        ("[::1]:+7", EndpointError::BadPort("+7".into()), "port \"+7\" is not a number from 0 to 65535"),
        ("b:7:8", EndpointError::BadPort("7:8".into()), "port \"7:8\" is not a number from 0 to 65535"),
        ("a b", EndpointError::BadHost("a b".into()), "host \"a b\" is neither a name nor an address"),
        ("unix-stream:/x", EndpointError::UnknownScheme("unix-stream:".into()), &no_scheme("unix-stream:")),
        ("tcp:b:7", EndpointError::UnknownScheme("tcp:".into()), &no_scheme("tcp:")),
        (
            "[::1]7",
            EndpointError::BadHost("[::1]7".into()),
            "host \"[::1]7\" is neither a name nor an address",
        ),
        (
            &long,
            EndpointError::BadHost(long.clone()),
            &format!("host \"{long}\" is neither a name nor an address"),
        ),
        (
            "127.1",
            EndpointError::BadV4("127.1".into()),
            "host \"127.1\" is not an IPv4 address, which has four decimal numbers from 0 to 255",
        ),
        ("65536", EndpointError::BadPort("65536".into()), "port \"65536\" is not a number from 0 to 65535"),
        ("[b]", EndpointError::BadV6("b".into()), "\"b\" in brackets is not an IPv6 address"),
        ("[::1%]", EndpointError::BadV6("::1%".into()), "\"::1%\" in brackets is not an IPv6 address"),
        (
            "[::1%0123456789abcdef]",
            EndpointError::BadV6("::1%0123456789abcdef".into()),
            "\"::1%0123456789abcdef\" in brackets is not an IPv6 address",
        ),
        ("[::1:7", EndpointError::UnclosedBracket, "the bracket [ of the IPv6 address is not closed"),
        ("udp://::1", EndpointError::BareV6("::1".into()), "an IPv6 address must be in brackets: [::1]"),
        ("unix:", EndpointError::NoPath, "the path is empty"),
        ("/a%00b", EndpointError::NulInPath, "the path contains a NUL byte"),
        (
            &path,
            EndpointError::PathTooLong(109),
            "the path is 109 bytes long, over the 108 that a UNIX socket can have",
        ),
        (
            &name,
            EndpointError::NameTooLong(108),
            "the name is 108 bytes long, over the 107 that an abstract socket can have",
        ),
        (
            "@50%gain",
            EndpointError::BadPercent("ga".into()),
            "%ga is not % and two hexadecimal digits (write a percent sign as %25)",
        ),
        (
            "/50%+5",
            EndpointError::BadPercent("+5".into()),
            "%+5 is not % and two hexadecimal digits (write a percent sign as %25)",
        ),
        (
            "@50%",
            EndpointError::BadPercent(String::new()),
            "% is not % and two hexadecimal digits (write a percent sign as %25)",
        ),
        (
            "vsock://here:1",
            EndpointError::BadCid("here".into()),
            "context id \"here\" is neither a number nor any, local or host",
        ),
        (
            "vsock-seqpacket://local:4294967296",
            EndpointError::BadVsockPort("4294967296".into()),
            "port \"4294967296\" is not a number from 0 to 4294967295",
        ),
        (
            "tipc://70",
            EndpointError::BadService("70".into()),
            "\"70\" is not TYPE:INSTANCE, two numbers from 0 to 4294967295",
        ),
        (
            "tipc-rdm://70:+1",
            EndpointError::BadService("70:+1".into()),
            "\"70:+1\" is not TYPE:INSTANCE, two numbers from 0 to 4294967295",
        ),
        (
            "tipc-dgram://63:1",
            EndpointError::ReservedService(63),
            "type 63 is one of the kernel's own, below 64",
        ),
        (
            "tipc://70:1?scope=zone",
            EndpointError::BadScope("scope=zone".into()),
            "\"scope=zone\" is neither scope=node nor scope=cluster",
        ),
        (
            "netlink://-1",
            EndpointError::BadPortId("-1".into()),
            "port id \"-1\" is not a number from 0 to 4294967295",
        ),
    ] {
        let result = text.parse::<Endpoint>();
        assert_eq!(result.as_ref(), Err(&error), "{text}");
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn numeric_host_must_be_an_ipv4_address() {
    for host in ["127.1", "0x7f.1", "0X7F000001", "017.0.0.1", "256.0.0.1", "1.2.3.4.5", "127.1."] {
        for text in [host.to_owned(), format!("udp://{host}:9")] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::BadV4(host.into())), "{text}");
        }
    }
    assert_eq!("8080:80".parse::<Endpoint>(), Err(EndpointError::BadV4("8080".into())));
    for text in ["1a", "1.example", "127.1.example", "0x7g"] {
        assert_eq!(endpoint(text).name(), &inet(Host::Name(text.into()), 21567));
    }
}

#[test]
fn service_name_resolves_to_its_port() {
    if std::fs::metadata("/etc/services").is_err() {
        skip("services by name", "there is no /etc/services");
        return;
    }
    for (written, printed) in [
        ("b:http", "tcp://b:80"),
        ("udp://[::1]:domain", "udp://[::1]:53"),
        ("udp://:ntp", "udp://*:123"),
        ("mptcp://b:https", "mptcp://b:443"),
        ("sctp://b:http", "sctp://b:80"),
    ] {
        assert_eq!(endpoint(written).to_string(), printed, "{written}");
    }
}

#[test]
fn service_of_another_protocol_is_refused() {
    for (text, name, protocol) in [
        ("b:no-such-service", "no-such-service", "tcp"),
        ("udp://b:no-such-service", "no-such-service", "udp"),
        ("tcp://b:0x50", "0x50", "tcp"),
    ] {
        let error = EndpointError::UnknownService { name: name.into(), protocol };
        assert_eq!(text.parse::<Endpoint>(), Err(error.clone()), "{text}");
        let sentence = format!(
            "port \"{name}\" is neither a number from 0 to 65535 nor a {protocol} service in /etc/services"
        );
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn longest_names_are_accepted() {
    for text in [
        format!("tcp://{}:1", "h".repeat(253)),
        format!("unix:/{}", "p".repeat(106)),
        format!("unix:{}", "%01".repeat(108)),
        format!("unix:@{}", "%00".repeat(107)),
        "tcp://[fe80::1%0123456789abcde]:1".into(),
    ] {
        assert_eq!(endpoint(&text).to_string(), text);
    }
}

#[test]
fn endpoint_refuses_addresses_of_other_families() {
    let inet = Address::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 9)));
    let unix = Address::Unix(UnixName::Path(b"/x"[..].into()));
    let other = Address::Other(b"\xff\xff"[..].into());
    for (transport, address) in [
        (Transport::Tcp, &unix),
        (Transport::Udp, &other),
        (Transport::UnixStream, &inet),
        (Transport::UnixSeqpacket, &other),
    ] {
        assert_eq!(Endpoint::at(transport, address).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

fn resolved(text: &str, side: Side, version: IpVersion) -> Vec<SocketAddr> {
    let addresses = endpoint(text).resolve(side, version).unwrap();
    let inet = addresses.into_iter().map(|address| match address {
        Address::Inet(address) => SocketAddr::V4(address),
        Address::Inet6(address) => SocketAddr::V6(address),
        other => panic!("{text} is not at {other}"),
    });
    inet.collect()
}

#[test]
fn star_means_every_address_for_a_server() {
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 9));
    for text in ["*:9", ":9", "udp://:9"] {
        assert_eq!(resolved(text, Side::Server, IpVersion::Any), [v4, v6]);
        assert_eq!(resolved(text, Side::Server, IpVersion::V4), [v4]);
        assert_eq!(resolved(text, Side::Server, IpVersion::V6), [v6]);
    }
}

#[test]
fn star_means_localhost_for_a_client() {
    for (text, side) in [
        ("localhost:9", Side::Server),
        ("localhost:9", Side::Client),
        ("*:9", Side::Client),
        ("udp://:9", Side::Client),
    ] {
        let addresses = resolved(text, side, IpVersion::Any);
        assert!(!addresses.is_empty(), "{text}");
        for (index, address) in addresses.iter().enumerate() {
            assert!(address.ip().is_loopback() && address.port() == 9, "{text} is at {address}");
            assert!(!addresses[..index].contains(address), "{text} is at {address} twice");
        }
        for (version, is_wanted) in [
            (IpVersion::V4, SocketAddr::is_ipv4 as fn(&SocketAddr) -> bool),
            (IpVersion::V6, SocketAddr::is_ipv6),
        ] {
            let wanted: Vec<SocketAddr> = addresses.iter().copied().filter(is_wanted).collect();
            match endpoint(text).resolve(side, version) {
                Ok(_) => assert_eq!(resolved(text, side, version), wanted),
                Err(error) => {
                    assert_eq!(error.cause().kind(), ErrorKind::NotFound);
                    assert!(wanted.is_empty());
                }
            }
        }
    }
}

#[test]
fn ip_version_filters_addresses() {
    for (text, version, operation, reason) in [
        ("127.0.0.1", IpVersion::V6, "cannot resolve 127.0.0.1", "the name has no IPv6 address"),
        ("[::1]", IpVersion::V4, "cannot resolve [::1]", "the name has no IPv4 address"),
    ] {
        let error = endpoint(text).resolve(Side::Client, version).unwrap_err();
        assert_eq!(error.cause().kind(), ErrorKind::NotFound);
        assert_eq!(error.to_string(), operation);
        assert_eq!(error.source().unwrap().to_string(), reason);
    }
}

#[test]
fn unknown_host_is_an_error() {
    let error = endpoint("does-not-exist.invalid").resolve(Side::Client, IpVersion::Any).unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve does-not-exist.invalid");
    assert!(!error.cause().to_string().is_empty());
}

#[test]
fn zone_is_an_interface_name_or_index() {
    // The loopback interface has index 1 in every network namespace.
    for (text, scope) in [("[fe80::1%lo]:9", 1), ("[fe80::1%7]:9", 7), ("[fe80::1]:9", 0)] {
        let address = SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, scope);
        assert_eq!(resolved(text, Side::Client, IpVersion::Any), [SocketAddr::V6(address)]);
    }

    let error = endpoint("[fe80::1%no-such-iface]").resolve(Side::Client, IpVersion::Any).unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve [fe80::1%no-such-iface]");
    assert_eq!(error.cause().raw_os_error(), Some(libc::ENODEV));
}

#[test]
fn services_have_names_both_ways() {
    for (transport, service, port) in
        [(Transport::Tcp, "ssh", 22), (Transport::Udp, "ntp", 123), (Transport::Sctp, "ssh", 22)]
    {
        let Some(found) = transport.service_port(service) else {
            skip("services", service);
            continue;
        };
        assert_eq!(found, port);
        assert_eq!(transport.service_name(port).as_deref(), Some(service));
    }
    // Dynamic ports have no service: RFC 6335.
    assert_eq!(Transport::Udp.service_name(65_432), None);
    assert_eq!(Transport::Tcp.service_port("nul\0"), None);
    assert_eq!(Transport::UnixStream.service_port("ssh"), None);
    assert_eq!(Transport::UnixStream.service_name(22), None);
}

#[test]
fn ip_address_has_a_host_name() {
    match Address::from((Ipv4Addr::LOCALHOST, 0)).lookup_name() {
        Ok(name) => {
            let addresses = resolved(&format!("{name}:1"), Side::Client, IpVersion::V4);
            assert!(addresses.contains(&SocketAddr::from((Ipv4Addr::LOCALHOST, 1))), "{name}");
        }
        Err(error) => skip("host name", error),
    }
    // An address for documentation, which no file lists: RFC 5737.
    assert!(Address::from((Ipv4Addr::new(192, 0, 2, 1), 0)).lookup_name().is_err());
    let unix = Address::Unix(UnixName::Unnamed).lookup_name().unwrap_err();
    assert_eq!(unix.raw_os_error(), Some(libc::EAFNOSUPPORT));
}
