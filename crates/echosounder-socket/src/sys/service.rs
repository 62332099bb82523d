//! Ports of named services: getaddrinfo(3), services(5).
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr;

/// Returns the port of a service. `kind` is the socket type of its protocol, SOCK_STREAM or
/// SOCK_DGRAM.
pub(crate) fn port(name: &str, kind: libc::c_int) -> Option<u16> {
    // Miri has no resolver.
    if cfg!(miri) {
        return None;
    }
    let name = CString::new(name).ok()?;
    // SAFETY: the structure consists of integers and pointers, for which zero is valid.
    let mut hints: libc::addrinfo = unsafe { MaybeUninit::zeroed().assume_init() };
    hints.ai_family = libc::AF_INET;
    hints.ai_socktype = kind;
    let mut list = ptr::null_mut();
    // SAFETY: the name ends in NUL, the hints and the list outlive the call, and the host pointer
    // is null.
    if unsafe { libc::getaddrinfo(ptr::null(), name.as_ptr(), &raw const hints, &raw mut list) } != 0 {
        return None;
    }
    // SAFETY: a successful call returns a list of at least one entry.
    let address = unsafe { (*list).ai_addr };
    // SAFETY: the address of the entry has the requested family and lives as long as the list.
    let address = unsafe { address.cast::<libc::sockaddr_in>().read() };
    // SAFETY: getaddrinfo(3) returned the list, and nothing refers to it any more.
    unsafe { libc::freeaddrinfo(list) };
    Some(u16::from_be(address.sin_port))
}
