//! Sending and receiving whole frames on a link.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use echosounder_socket::family::packet::{ETH_P_ALL, PacketAddress};
use echosounder_socket::{Address, Family, Outgoing, Protocol, Socket, Type, interface_index, option};

use crate::faults::frame::{self, Datagram, Mac};
use crate::faults::lab::{LINK, Namespace, PEER_MAC, SERVER_MAC};

/// Frames that one system call sends at most.
const BATCH: usize = 256;

/// The link of a host, seen with its Ethernet headers.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    interface: u32,
}

impl Wire {
    /// Opens the link of a namespace. What arrives or leaves from then on can be received.
    pub(crate) fn open(namespace: &Namespace) -> Result<Self> {
        Self::open_interface(namespace, LINK)
    }

    /// Opens an interface of a namespace.
    pub(crate) fn open_interface(namespace: &Namespace, name: &str) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let interface = interface_index(name)?;
            let socket = Socket::new(Family::PACKET, Type::RAW, Protocol::DEFAULT)?;
            socket.set_option(option::SO_RCVBUFFORCE, 64 << 20)?;
            socket.bind(Address::from(PacketAddress::new(ETH_P_ALL, interface)))?;
            Ok(Self { socket, interface })
        };
        namespace.run(open).context("cannot open a packet socket")
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Sends frames.
    pub(crate) fn send(&self, frames: &[Vec<u8>]) -> Result<()> {
        let to = Address::from(PacketAddress::new(0, self.interface));
        for frames in frames.chunks(BATCH) {
            let buffers: Vec<[IoSlice<'_>; 1]> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
            let messages: Vec<Outgoing<'_>> =
                buffers.iter().map(|buffer| Outgoing::new(buffer).to(&to)).collect();
            let mut sent = 0;
            while sent < messages.len() {
                match self.socket.send_many(&messages[sent..]) {
                    Ok(count) => sent += count,
                    // The device's queue is full: packet(7).
                    Err(error) if error.raw_os_error() == Some(105) => {}
                    Err(error) => return Err(error).context("cannot send frames"),
                }
            }
        }
        Ok(())
    }

    /// Sends a datagram from the peer's side to the server, with a source of one's choice.
    pub(crate) fn forge(&self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Result<()> {
        self.send(&[forged(from, to, payload)])
    }

    /// Calls `see` with each datagram of the link that arrives or leaves, until the link has been
    /// quiet for `quiet` or `limit` has passed. Datagrams that arrived have `true`.
    pub(crate) fn watch(
        &self,
        quiet: Duration,
        limit: Duration,
        mut see: impl FnMut(Datagram<'_>, bool),
    ) -> Result<()> {
        let start = Instant::now();
        let mut buffer = vec![0; 1 << 17];
        let mut last = start;
        loop {
            let now = Instant::now();
            let left = (start + limit).min(last + quiet).saturating_duration_since(now);
            if left.is_zero() {
                return Ok(());
            }
            self.socket.set_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, address)) => {
                    let Some(datagram) = Datagram::of(&buffer[..len]) else { continue };
                    last = Instant::now();
                    let outgoing = matches!(&address, Address::Packet(address)
                        if address.packet_type == PacketAddress::OUTGOING);
                    see(datagram, !outgoing);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error).context("cannot receive frames"),
            }
        }
    }
}

/// Returns the frame of a datagram from the peer's side to the server.
pub(crate) fn forged(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    to_mac(SERVER_MAC, from, to, payload)
}

/// Returns the frame of a datagram from the peer's side to this hardware address.
pub(crate) fn to_mac(mac: Mac, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    frame::ethernet(PEER_MAC, mac, &frame::udp(from, to, payload))
}
