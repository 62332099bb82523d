//! The network interfaces of this machine: names, indices, flags and addresses. See netdevice(7).

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use bitflags::bitflags;

use crate::address::Address;
use crate::family::packet::HardwareAddress;
use crate::raw_address::RawAddress;
use crate::sys;

bitflags! {
    /// The state and the abilities of a network interface: the IFF_ flags of netdevice(7).
    ///
    /// ```
    /// use echosounder_socket::{InterfaceFlags, interfaces};
    ///
    /// let list = interfaces()?;
    /// let loopback = list.iter().find(|interface| interface.flags.contains(InterfaceFlags::LOOPBACK));
    /// assert_eq!(loopback.map(|interface| interface.index), Some(1));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct InterfaceFlags: u32 {
        /// The interface is up: IFF_UP.
        const UP = 1 << 0;
        /// It has broadcast addresses: IFF_BROADCAST.
        const BROADCAST = 1 << 1;
        /// It is the loopback interface: IFF_LOOPBACK.
        const LOOPBACK = 1 << 3;
        /// It leads to one peer: IFF_POINTOPOINT.
        const POINT_TO_POINT = 1 << 4;
        /// It is operational, for example because a cable is plugged in: IFF_RUNNING.
        const RUNNING = 1 << 6;
        /// It has no ARP: IFF_NOARP.
        const NO_ARP = 1 << 7;
        /// It receives all frames, also those to other hosts: IFF_PROMISC.
        const PROMISCUOUS = 1 << 8;
        /// It receives all multicast frames: IFF_ALLMULTI.
        const ALL_MULTICAST = 1 << 9;
        /// It has multicast: IFF_MULTICAST.
        const MULTICAST = 1 << 12;

        const _ = !0;
    }
}

/// A network interface.
///
/// See [`interfaces`] for an example.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Interface {
    /// Its index, as in scope ids and [`PacketInfo`](crate::PacketInfo).
    pub index: u32,
    /// Its name, for example `eth0`. Names are bytes, in practice ASCII.
    pub name: OsString,
    /// Its state and its abilities.
    pub flags: InterfaceFlags,
    /// Its hardware address, if it has one. That of the loopback interface is all zero.
    pub hardware: Option<HardwareAddress>,
    /// Its IP addresses.
    pub addresses: Vec<InterfaceAddress>,
}

/// An IP address of a network interface.
///
/// See [`interfaces`] for an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InterfaceAddress {
    /// The address.
    pub ip: IpAddr,
    /// The number of bits of the address that are those of its network: 24 for 255.255.255.0.
    pub prefix_len: u8,
    /// The broadcast address of the network.
    pub broadcast: Option<Ipv4Addr>,
    /// The peer's address on a point-to-point interface.
    pub peer: Option<IpAddr>,
}

/// Returns every network interface of this network namespace, in the order of their indices:
/// getifaddrs(3).
///
/// # Errors
///
/// As if_nameindex(3) and getifaddrs(3).
///
/// ```
/// use echosounder_socket::interfaces;
///
/// for interface in interfaces()? {
///     println!("{}: {}", interface.index, interface.name.to_string_lossy());
///     for address in &interface.addresses {
///         println!("    {}/{}", address.ip, address.prefix_len);
///     }
/// }
/// # assert!(interfaces()?.iter().any(|interface| interface.name == "lo"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "getifaddrs")]
#[doc(alias = "if_nameindex")]
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let new = |(index, name)| Interface {
        index,
        name: os_string(name),
        flags: InterfaceFlags::empty(),
        hardware: None,
        addresses: Vec::new(),
    };
    let mut found: Vec<Interface> = sys::interface::all()?.into_iter().map(new).collect();
    found.sort_unstable_by_key(|interface| interface.index);
    for entry in sys::interface::addresses()? {
        // The label of an IPv4 address may be the name, a colon and more: ip-address(8).
        let label = entry.name.as_bytes();
        let name = label.split(|&byte| byte == b':').next().unwrap_or(label);
        let is_of = |name: &[u8]| found.iter().position(|interface| interface.name.as_bytes() == name);
        // An interface may have come since.
        let Some(index) = is_of(label).or_else(|| is_of(name)) else { continue };
        let Some(interface) = found.get_mut(index) else { continue };
        interface.flags = InterfaceFlags::from_bits_retain(entry.flags);
        let Some(raw) = &entry.address else { continue };
        match Address::from(raw) {
            Address::Packet(address) => {
                interface.hardware =
                    Some(address.hardware()).filter(|address| !address.as_bytes().is_empty());
            }
            // A hardware address of more than 8 bytes.
            Address::Other(bytes) => interface.hardware = bytes.get(12..).and_then(HardwareAddress::new),
            address => interface.addresses.extend(address.ip().map(|ip| interface_address(ip, &entry))),
        }
    }
    Ok(found)
}

fn interface_address(ip: IpAddr, entry: &sys::interface::Entry) -> InterfaceAddress {
    let ip_of = |raw: &Option<RawAddress>| raw.as_ref().and_then(|raw| Address::from(raw).ip());
    let ones = match ip_of(&entry.netmask) {
        Some(IpAddr::V4(mask)) => mask.to_bits().count_ones(),
        Some(IpAddr::V6(mask)) => mask.to_bits().count_ones(),
        None => 0,
    };
    let destination = ip_of(&entry.destination);
    let flags = InterfaceFlags::from_bits_retain(entry.flags);
    let is_point_to_point = flags.contains(InterfaceFlags::POINT_TO_POINT);
    let broadcast = match destination {
        Some(IpAddr::V4(broadcast)) if flags.contains(InterfaceFlags::BROADCAST) => Some(broadcast),
        _ => None,
    };
    InterfaceAddress {
        ip,
        prefix_len: u8::try_from(ones).unwrap_or(128),
        broadcast,
        peer: destination.filter(|_| is_point_to_point),
    }
}

/// Returns the index of an interface.
///
/// # Errors
///
/// ENODEV if no interface has this name; `InvalidInput` if the name contains a NUL byte.
///
/// ```
/// use echosounder_socket::{interface_index, interface_name};
///
/// assert_eq!(interface_name(interface_index("lo")?)?, "lo");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "if_nametoindex")]
pub fn interface_index(name: impl AsRef<OsStr>) -> io::Result<u32> {
    sys::interface::index(&CString::new(name.as_ref().as_bytes())?)
}

/// Returns the name of an interface. See [`interface_index`] for an example.
///
/// # Errors
///
/// ENXIO if no interface has this index.
#[doc(alias = "if_indextoname")]
pub fn interface_name(index: u32) -> io::Result<OsString> {
    sys::interface::name(index).map(os_string)
}

fn os_string(name: CString) -> OsString {
    OsString::from_vec(name.into_bytes())
}
