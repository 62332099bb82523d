//! getsockopt(2) and setsockopt(2).
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::check;
use crate::option::{BpfInstruction, GetValue, SetValue, SocketOption};

/// The longest value that is read into the stack.
const SMALL: usize = 512;

/// The length of a `struct sock_fprog`, a count and a pointer.
const PROGRAM_LEN: libc::socklen_t = 16;
const _: () = assert!(size_of::<libc::sock_fprog>() == PROGRAM_LEN as usize);

/// Sets an option; EINVAL if its value cannot be encoded.
pub(crate) fn set<S: SetValue, G>(
    fd: BorrowedFd<'_>,
    option: SocketOption<S, G>,
    value: &S,
) -> io::Result<()> {
    let bytes = value.encode().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    match bytes.as_ref() {
        [] => clear(fd, option.level(), option.name(), 0),
        // SAFETY: whoever has defined the option has promised that its values are only bytes.
        bytes => unsafe { set_bytes(fd, option.level(), option.name(), bytes) },
    }
}

/// Returns the value of an option; `InvalidData` if the kernel returns no value of its type.
pub(crate) fn get<S, G: GetValue>(fd: BorrowedFd<'_>, option: SocketOption<S, G>) -> io::Result<G> {
    let (mut small, mut large);
    let buffer = if G::LEN_MAX <= SMALL {
        small = [0; SMALL];
        &mut small[..G::LEN_MAX]
    } else {
        large = vec![0; G::LEN_MAX];
        &mut large[..]
    };
    let len = get_zeroed(fd, option.level(), option.name(), buffer)?;
    let bytes = buffer.get(..len).unwrap_or(buffer);
    G::decode(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Sets an option with a null pointer as its value and a length.
pub(crate) fn clear(fd: BorrowedFd<'_>, level: i32, name: i32, len: u32) -> io::Result<()> {
    // SAFETY: the kernel checks user pointers and fails with EFAULT if it reads a null pointer.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::null(), len) }).map(drop)
}

/// Reads an option into a buffer of zeros and returns the length of the value, which may exceed the
/// buffer's.
pub(crate) fn get_zeroed(fd: BorrowedFd<'_>, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
    value.fill(0);
    // SAFETY: a buffer of zeros contains no address but null, and no length of memory at an address.
    unsafe { get_bytes(fd, level, name, value) }
}

/// Sets an option.
///
/// # Safety
///
/// A memory address in `value` points to memory that the kernel may use for this option, and a
/// descriptor in it is open.
pub(super) unsafe fn set_bytes(fd: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let len = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `value` has the length passed to the call and outlives it. The caller answers for what
    // is in it.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.as_ptr().cast(), len) }).map(drop)
}

/// Reads an option into `value`, which some options read first, and returns the length of the
/// result, which may exceed the buffer's.
///
/// # Safety
///
/// A memory address in `value` points to memory that the kernel may use for this option, and a
/// descriptor in it is open.
pub(super) unsafe fn get_bytes(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> io::Result<usize> {
    // The length of this option is a number of instructions, not of bytes (net/core/filter.c,
    // sk_get_filter).
    let unit = if (level, name) == (libc::SOL_SOCKET, libc::SO_GET_FILTER) { BpfInstruction::LEN } else { 1 };
    if !value.is_empty() && value.len() < unit {
        // The kernel would take a length of zero for the question how long the program is.
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut len = libc::socklen_t::try_from(value.len() / unit).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `value` has `len` units; the kernel writes no more, and writes their number to `len`.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut len) })?;
    Ok(len as usize * unit)
}

/// Attaches a classic BPF program with SO_ATTACH_FILTER or SO_ATTACH_REUSEPORT_CBPF.
pub(crate) fn attach_program(fd: BorrowedFd<'_>, name: i32, program: &[BpfInstruction]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    let value = (&raw const program).cast();
    // SAFETY: `program` points to `len` instructions of the kernel's layout that outlive the call.
    // The kernel copies them and does not write to them.
    check(unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, value, PROGRAM_LEN) }).map(drop)
}

/// Attaches an eBPF program with SO_ATTACH_BPF or SO_ATTACH_REUSEPORT_EBPF.
pub(crate) fn attach_descriptor(fd: BorrowedFd<'_>, name: i32, program: BorrowedFd<'_>) -> io::Result<()> {
    let number = program.as_raw_fd().to_ne_bytes();
    // SAFETY: the value is a descriptor that is open during the call.
    unsafe { set_bytes(fd, libc::SOL_SOCKET, name, &number) }
}

/// Returns the descriptor that an option creates.
pub(crate) fn descriptor(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<OwnedFd> {
    let mut value = [0; size_of::<i32>()];
    get_zeroed(fd, level, name, &mut value)?;
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::from_ne_bytes(value)) })
}
