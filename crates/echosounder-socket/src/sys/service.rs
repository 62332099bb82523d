//! Names of hosts and services: getaddrinfo(3), getnameinfo(3), services(5).
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use crate::raw_address::RawAddress;

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

/// Returns the names of the host and the service of an IP address. `flags` are the NI_ flags of
/// getnameinfo(3).
pub(crate) fn names(address: &RawAddress, flags: libc::c_int) -> io::Result<(String, String)> {
    // Miri has no resolver.
    if cfg!(miri) {
        return Err(io::ErrorKind::NotFound.into());
    }
    // NI_MAXHOST and NI_MAXSERV, with which no name is truncated.
    let (mut host, mut service) = ([0_u8; 1025], [0_u8; 32]);
    // SAFETY: the address and the buffers have these lengths and outlive the call.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            host.as_mut_ptr().cast(),
            1025,
            service.as_mut_ptr().cast(),
            32,
            flags,
        )
    };
    match code {
        0 => Ok((text(&host), text(&service))),
        libc::EAI_SYSTEM => Err(io::Error::last_os_error()),
        libc::EAI_FAMILY => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        libc::EAI_NONAME => Err(io::Error::new(io::ErrorKind::NotFound, "the address has no name")),
        code => {
            // SAFETY: the call takes every number.
            let reason = unsafe { libc::gai_strerror(code) };
            // SAFETY: the call has returned a constant text that ends in NUL.
            let reason = unsafe { CStr::from_ptr(reason) };
            Err(io::Error::other(reason.to_string_lossy().into_owned()))
        }
    }
}

/// Returns the text before the first NUL. Names are bytes that a name server may choose.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
