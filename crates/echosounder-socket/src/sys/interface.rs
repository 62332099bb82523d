//! Names and indices of network interfaces: if_nameindex(3), if_nametoindex(3), if_indextoname(3).
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, CString};
use std::io;

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
