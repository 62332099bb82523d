//! Names, indices and addresses of network interfaces: if_nameindex(3), if_nametoindex(3),
//! if_indextoname(3), getifaddrs(3).
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::io;
use std::ptr;

use crate::family::Family;
use crate::raw_address::RawAddress;

/// Returns the index and name of every interface.
pub(crate) fn all() -> io::Result<Vec<(u32, CString)>> {
    // SAFETY: the call has no arguments.
    let list = unsafe { libc::if_nameindex() };
    if list.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    for place in 0.. {
        let entry = list.wrapping_add(place);
        // SAFETY: the list ends with an entry without a name, and no earlier entry was that one.
        let entry = unsafe { entry.read() };
        if entry.if_name.is_null() {
            break;
        }
        // SAFETY: the name of an entry ends in NUL and lives as long as the list.
        let name = unsafe { CStr::from_ptr(entry.if_name) };
        found.push((entry.if_index, name.to_owned()));
    }
    // SAFETY: if_nameindex(3) returned the list, and nothing refers to it any more.
    unsafe { libc::if_freenameindex(list) };
    Ok(found)
}

/// An address of an interface, or the flags of one without addresses.
pub(crate) struct Entry {
    /// The name of the interface; for an IPv4 address its label, which begins with the name.
    pub(crate) name: CString,
    /// The IFF_ flags of netdevice(7).
    pub(crate) flags: u32,
    pub(crate) address: Option<RawAddress>,
    pub(crate) netmask: Option<RawAddress>,
    /// The broadcast address, or the peer's on a point-to-point interface.
    pub(crate) destination: Option<RawAddress>,
}

/// Returns the addresses of every interface.
pub(crate) fn addresses() -> io::Result<Vec<Entry>> {
    // Miri has no getifaddrs(3).
    if cfg!(miri) {
        return Ok(Vec::new());
    }
    let mut list = ptr::null_mut();
    // SAFETY: the call writes the pointer to the list, which outlives it.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut found = Vec::new();
    let mut next: *const libc::ifaddrs = list;
    while !next.is_null() {
        // SAFETY: a pointer of the list that is not null points to an entry.
        let entry = unsafe { next.read() };
        next = entry.ifa_next;
        // SAFETY: the name of an entry ends in NUL and lives as long as the list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) }.to_owned();
        // SAFETY: the pointers of an entry are null or point to an address of the length that its
        // family has, and live as long as the list.
        let [address, netmask, destination] =
            unsafe { [entry.ifa_addr, entry.ifa_netmask, entry.ifa_ifu].map(|address| copied(address)) };
        found.push(Entry { name, flags: entry.ifa_flags, address, netmask, destination });
    }
    // SAFETY: getifaddrs(3) returned the list, and nothing refers to it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(found)
}

/// Copies an address of AF_INET, AF_INET6 or AF_PACKET; `None` for null and for other families,
/// whose length is not known.
///
/// # Safety
///
/// The pointer must be null or point to a `sockaddr` of the length that its family has. An AF_PACKET
/// address of getifaddrs(3) has room for 24 bytes of a hardware address.
unsafe fn copied(address: *const libc::sockaddr) -> Option<RawAddress> {
    const HARDWARE_MAX: usize = 24;
    if address.is_null() {
        return None;
    }
    // SAFETY: every address begins with the family.
    let family = unsafe { address.cast::<libc::sa_family_t>().read_unaligned() };
    let len = match Family(family.into()) {
        Family::INET => size_of::<libc::sockaddr_in>(),
        Family::INET6 => size_of::<libc::sockaddr_in6>(),
        Family::PACKET => {
            // SAFETY: an address of the family has its length field.
            let len = unsafe { address.cast::<u8>().wrapping_add(11).read() };
            12 + usize::from(len).min(HARDWARE_MAX)
        }
        _ => return None,
    };
    // SAFETY: the address has this length.
    Some(RawAddress::from_bytes(unsafe { std::slice::from_raw_parts(address.cast(), len) }))
}

pub(crate) fn index(name: &CStr) -> io::Result<u32> {
    if libc::IF_NAMESIZE <= name.to_bytes().len() {
        // musl truncates a longer name and would find another interface.
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    // SAFETY: `name` ends in NUL and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

pub(crate) fn name(index: u32) -> io::Result<CString> {
    let mut name = [0_u8; libc::IF_NAMESIZE];
    // SAFETY: `name` has the IF_NAMESIZE bytes that the call may write.
    if unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) }.is_null() {
        return Err(io::Error::last_os_error());
    }
    CStr::from_bytes_until_nul(&name).map(CStr::to_owned).map_err(io::Error::other)
}
