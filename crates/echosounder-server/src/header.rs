//! Header fields of datagrams: which of them the kernel reports.

use std::io;

use echosounder_proto::HeaderFields;
use echosounder_socket::internal::Received;
use echosounder_socket::{Address, ControlSpace, Socket, option};

/// The upper six bits of a traffic class. The others are ECN (RFC 3168 section 5).
const DSCP_MASK: u8 = 0xfc;

/// Space for the control messages of a UDP datagram.
pub(crate) const UDP_CONTROL: ControlSpace = ControlSpace::PACKET_INFO
    .plus(ControlSpace::OVERFLOW)
    .plus(ControlSpace::TIMESTAMP)
    .plus(ControlSpace::TTL)
    .plus(ControlSpace::TOS);

/// Makes the kernel report the traffic class of datagrams.
pub(crate) fn report_traffic_class(socket: &Socket, address: &Address) -> io::Result<()> {
    if let Address::Inet(_) = address {
        return socket.set_option(option::IP_RECVTOS, true);
    }
    // IPv4 packets need the option of IPv4. A socket that receives only IPv6 may refuse it.
    let _ = socket.set_option(option::IP_RECVTOS, true);
    socket.set_option(option::IPV6_RECVTCLASS, true)
}

/// Makes the kernel report the time to live or hop limit of datagrams.
pub(crate) fn report_ttl(socket: &Socket, address: &Address) -> io::Result<()> {
    if let Address::Inet(_) = address {
        return socket.set_option(option::IP_RECVTTL, true);
    }
    let _ = socket.set_option(option::IP_RECVTTL, true);
    socket.set_option(option::IPV6_RECVHOPLIMIT, true)
}

/// Returns the traffic class with the DSCP of a request and without its ECN.
pub(crate) fn reflected_class(received: &Received) -> u8 {
    received.traffic_class.unwrap_or(0) & DSCP_MASK
}

/// Returns the header fields of a request, if the kernel reports its time to live.
pub(crate) fn header_fields(received: &Received) -> Option<HeaderFields> {
    let traffic_class = received.traffic_class.unwrap_or(0);
    received.ttl.map(|ttl| HeaderFields { ttl, traffic_class })
}
