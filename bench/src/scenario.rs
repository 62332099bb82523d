//! The scenarios: transport, connections, message size and depth.

use crate::load::Load;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
    Unix,
    UnixDatagram,
}

pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    pub transport: Transport,
    pub load: Load,
}

const TCP: Load = Load { connections: 50, size: 64, depth: 1, idle: 0, segments: false };
const DATAGRAMS: Load = Load { connections: 16, ..TCP };

pub const SCENARIOS: [Scenario; 13] = [
    tcp("tcp-1x64", "TCP, 1 connection, 64 B, lockstep", Load { connections: 1, ..TCP }),
    tcp("tcp-50x64", "TCP, 50 connections, 64 B, lockstep", TCP),
    tcp("tcp-50x64x16", "TCP, 50 connections, 64 B, 16 deep", Load { depth: 16, ..TCP }),
    tcp("tcp-50x1kx16", "TCP, 50 connections, 1 KiB, 16 deep", Load { size: 1024, depth: 16, ..TCP }),
    tcp("tcp-50x16k", "TCP, 50 connections, 16 KiB, lockstep", Load { size: 16 * 1024, ..TCP }),
    tcp("tcp-1000x64", "TCP, 1000 connections, 64 B, lockstep", Load { connections: 1000, ..TCP }),
    tcp(
        "tcp-10000-idle",
        "TCP, 10,000 idle connections, 100 active, 64 B, lockstep",
        Load { connections: 100, idle: 10_000, ..TCP },
    ),
    udp("udp-1x64", "UDP, 1 socket, 64 B, lockstep", Load { connections: 1, ..DATAGRAMS }),
    udp("udp-16x64", "UDP, 16 sockets, 64 B, lockstep", DATAGRAMS),
    udp("udp-16x64x16", "UDP, 16 sockets, 64 B, 16 deep", Load { depth: 16, ..DATAGRAMS }),
    udp(
        "udp-16x64x16-segments",
        "UDP, 16 sockets, 64 B, 16 deep, sent with UDP_SEGMENT",
        Load { depth: 16, segments: true, ..DATAGRAMS },
    ),
    Scenario {
        name: "unix-50x64",
        title: "UNIX stream, 50 connections, 64 B, lockstep",
        transport: Transport::Unix,
        load: TCP,
    },
    Scenario {
        name: "unix-dgram-16x64",
        title: "UNIX datagram, 16 sockets, 64 B, lockstep",
        transport: Transport::UnixDatagram,
        load: DATAGRAMS,
    },
];

const fn tcp(name: &'static str, title: &'static str, load: Load) -> Scenario {
    Scenario { name, title, transport: Transport::Tcp, load }
}

const fn udp(name: &'static str, title: &'static str, load: Load) -> Scenario {
    Scenario { name, title, transport: Transport::Udp, load }
}

impl Transport {
    /// Returns the name that our own peers take as an argument.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Unix => "unix",
            Self::UnixDatagram => "unix-dgram",
        }
    }

    pub fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix)
    }

    pub fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }

    /// Returns the endpoint at a port of this host, or at a path.
    pub fn endpoint(self, place: &str) -> String {
        match self {
            Self::Tcp | Self::Udp => format!("{}://127.0.0.1:{place}", self.name()),
            Self::Unix | Self::UnixDatagram => format!("{}:{place}", self.name()),
        }
    }
}
