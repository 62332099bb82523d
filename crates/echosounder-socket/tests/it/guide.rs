//! The tables of the guide state what the table of transports does. The suites of `family.rs` test
//! that the kernel does it, too.

use std::io::IoSliceMut;

use echosounder_socket::internal::Timestamping;
use echosounder_socket::{Batch, ControlSpace, Family, Kind, MessageFlags, Transport, option};

/// Returns the cells of the rows of a table, which begin with a cell in backticks.
fn rows(page: &str) -> Vec<Vec<String>> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("//! | `"));
    lines
        .map(|line| line.trim_end_matches(" |").split(" | ").map(|cell| cell.replace('`', "")).collect())
        .collect()
}

fn word(holds: bool) -> &'static str {
    if holds { "yes" } else { "–" }
}

#[test]
fn table_of_families_states_the_facts_of_each_transport() {
    let rows = rows(include_str!("../../src/guide/families.rs"));
    for transport in Transport::all() {
        let row = rows.iter().find(|row| row[0] == transport.scheme());
        let row = row.unwrap_or_else(|| panic!("no row for {transport}"));
        let family = transport.loopback_addresses()[0].family();
        let name = format!("{family}").trim_start_matches("AF_").to_owned();
        let name = if family == Family::INET { "INET, INET6".to_owned() } else { name };
        let kind = format!("{}", transport.socket_type());
        let carries = match transport.kind() {
            Kind::Stream => "stream",
            Kind::Messages => "messages",
            Kind::Datagrams => "datagrams",
        };
        let timestamps = match transport.timestamping() {
            Timestamping::None => "–",
            Timestamping::Receive => "rx",
            Timestamping::SendAndReceive => "rx, tx",
        };
        let expected = [
            transport.scheme(),
            &format!("{name} {}", kind.trim_start_matches("SOCK_")),
            carries,
            word([Family::UNIX, Family::TIPC].contains(&family)),
            word(transport.has_connections() && transport.half_closes()),
            word(transport.kind() == Kind::Datagrams),
            word(transport.has_packet_info()),
            timestamps,
        ];
        assert_eq!(row[..8], expected, "{transport}");
        // `doctor` names the module of a transport that a kernel may lack.
        let module = transport.requirement();
        assert_eq!(row[8] == "every", module.is_none(), "{transport}: {module:?}");
    }
}

#[test]
fn unix_messages_have_arrival_times_and_come_in_batches() {
    for transport in [Transport::UnixDatagram, Transport::UnixSeqpacket] {
        let (one, other) = transport.pair().unwrap();
        other.set_option(option::SO_TIMESTAMPNS, true).unwrap();
        one.send(b"one").unwrap();
        one.send(b"two").unwrap();
        let mut batch = Batch::with_control(4, 64, ControlSpace::TIMESTAMP);
        assert_eq!(other.recv_many(&mut batch).unwrap(), 2, "{transport}");
        for datagram in &batch {
            assert!(datagram.timestamp().is_some(), "{transport}");
        }
    }
    let (one, other) = Transport::UnixStream.pair().unwrap();
    other.set_option(option::SO_TIMESTAMPNS, true).unwrap();
    one.send(b"one").unwrap();
    let mut buffer = [0; 8];
    let space = ControlSpace::TIMESTAMP;
    let message = other.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE).unwrap();
    assert_eq!(message.timestamp(), None);
}
