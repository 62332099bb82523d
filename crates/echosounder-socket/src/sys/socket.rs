//! socket(2) and the calls on single sockets.
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr;

use super::option::get_zeroed;
use super::sigmask::without_sigpipe;
use super::{check, is_missing, length};
use crate::family::Family;
use crate::raw_address::RawAddress;

pub(crate) fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = check(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    // SAFETY: the kernel has just created this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn socketpair(family: i32, kind: i32, protocol: i32) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has space for the two descriptors that the call writes.
    check(unsafe { libc::socketpair(family, kind | libc::SOCK_CLOEXEC, protocol, fds.as_mut_ptr()) })?;
    // SAFETY: the kernel has just created this descriptor for us.
    let one = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    // SAFETY: as above.
    let other = unsafe { OwnedFd::from_raw_fd(fds[1]) };
    Ok((one, other))
}

/// Refuses an address that contains the number of a descriptor, which safe code might not own:
/// AF_XDP with XDP_SHARED_UMEM (linux/if_xdp.h) in a bind, and L2TP (linux/if_pppox.h) in a connect.
/// The kernel does not check the family of the latter, only its length and protocol.
fn refuse_descriptors(address: &RawAddress) -> io::Result<()> {
    const XDP_SHARED_UMEM: u16 = 1;
    const PX_PROTO_OL2TP: u32 = 1;
    /// The lengths of `sockaddr_pppol2tp`, `_pppol2tpv3`, `_pppol2tpin6` and `_pppol2tpv3in6`.
    const L2TP: [u32; 4] = [38, 46, 50, 58];
    let flags = address.field(2).map_or(0, u16::from_ne_bytes);
    let shares_memory = address.family() == Family::XDP && flags & XDP_SHARED_UMEM != 0;
    let protocol = address.field(2).map(u32::from_ne_bytes);
    if shares_memory || L2TP.contains(&address.len()) && protocol == Some(PX_PROTO_OL2TP) {
        let reason = "an address cannot contain the number of a descriptor";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}

pub(crate) fn bind(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    refuse_descriptors(address)?;
    // SAFETY: the pointer points to `len()` bytes that outlive the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), address.as_ptr().cast(), address.len()) }).map(drop)
}

pub(crate) fn connect(fd: BorrowedFd<'_>, address: &RawAddress) -> io::Result<()> {
    refuse_descriptors(address)?;
    // SAFETY: the pointer points to `len()` bytes that outlive the call.
    check(unsafe { libc::connect(fd.as_raw_fd(), address.as_ptr().cast(), address.len()) }).map(drop)
}

pub(crate) fn listen(fd: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// Accepts a connection with accept4(2), or with accept(2) and fcntl(2) where that is missing.
pub(crate) fn accept(fd: BorrowedFd<'_>, flags: i32) -> io::Result<(OwnedFd, RawAddress)> {
    match accept_with_flags(fd, flags) {
        // EPERM may also come from a packet filter (accept(2)), which then returns it again.
        Err(error) if is_missing(&error) => {}
        result => return result,
    }
    let mut len = RawAddress::CAPACITY;
    let mut peer = RawAddress::empty();
    // SAFETY: `peer` has `len` bytes; the kernel writes no more, and writes the length of the
    // address to `len`.
    let fd = check(unsafe { libc::accept(fd.as_raw_fd(), peer.as_mut_ptr().cast(), &raw mut len) })?;
    peer.set_len(len);
    // SAFETY: the kernel has just created this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_inheritable(fd.as_fd(), false)?;
    if flags & libc::SOCK_NONBLOCK != 0 {
        set_nonblocking(fd.as_fd(), true)?;
    }
    Ok((fd, peer))
}

fn accept_with_flags(fd: BorrowedFd<'_>, flags: i32) -> io::Result<(OwnedFd, RawAddress)> {
    let flags = flags | libc::SOCK_CLOEXEC;
    let mut len = RawAddress::CAPACITY;
    let mut peer = RawAddress::empty();
    // SAFETY: `peer` has `len` bytes; the kernel writes no more, and writes the length of the
    // address to `len`.
    let accepted =
        check(unsafe { libc::accept4(fd.as_raw_fd(), peer.as_mut_ptr().cast(), &raw mut len, flags) });
    let accepted = match accepted {
        // Peers of AF_ALG have no address, and accept(2) fails if one is requested.
        Err(error)
            if error.raw_os_error() == Some(libc::ECONNABORTED) && family(fd) == Some(libc::AF_ALG) =>
        {
            peer = RawAddress::of_family(Family(libc::AF_ALG));
            len = peer.len();
            // SAFETY: with null pointers the call writes no address.
            check(unsafe { libc::accept4(fd.as_raw_fd(), ptr::null_mut(), ptr::null_mut(), flags) })?
        }
        accepted => accepted?,
    };
    peer.set_len(len);
    // SAFETY: the kernel has just created this descriptor for us.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, peer))
}

/// Returns the address family, if the kernel reports it: SO_DOMAIN.
pub(super) fn family(fd: BorrowedFd<'_>) -> Option<i32> {
    let mut value = [0; size_of::<i32>()];
    let len = get_zeroed(fd, libc::SOL_SOCKET, libc::SO_DOMAIN, &mut value).ok()?;
    (len == value.len()).then(|| i32::from_ne_bytes(value))
}

/// Sends without raising SIGPIPE.
///
/// Some families refuse MSG_NOSIGNAL: RDS with EOPNOTSUPP; X.25, AX.25, NET/ROM and Rose with
/// EINVAL. For these the send is repeated without the flag while SIGPIPE is blocked.
///
/// # Errors
///
/// `InvalidInput` for MSG_ZEROCOPY: the kernel would read the memory after the borrow has ended.
pub(super) fn without_signal<T>(
    fd: BorrowedFd<'_>,
    flags: i32,
    send: impl FnMut(i32) -> io::Result<T>,
) -> io::Result<T> {
    if flags & libc::MSG_ZEROCOPY != 0 {
        let reason = "MSG_ZEROCOPY needs the unsafe Socket::send_msg_zerocopy";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    with_any_flags(fd, flags, send)
}

/// Sends like [`without_signal`], also with MSG_ZEROCOPY.
pub(super) fn with_any_flags<T>(
    fd: BorrowedFd<'_>,
    flags: i32,
    mut send: impl FnMut(i32) -> io::Result<T>,
) -> io::Result<T> {
    match send(flags | libc::MSG_NOSIGNAL) {
        Err(error) if refuses_flags(fd, &error) => without_sigpipe(|| send(flags))?,
        result => result,
    }
}

fn refuses_flags(fd: BorrowedFd<'_>, error: &io::Error) -> bool {
    /// Families that accept MSG_NOSIGNAL and return these errors for other reasons.
    const TAKERS: [i32; 6] =
        [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_TIPC, libc::AF_VSOCK];
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
        && family(fd).is_some_and(|family| !TAKERS.contains(&family))
}

pub(crate) fn local_address(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    let mut len = RawAddress::CAPACITY;
    let mut address = RawAddress::empty();
    // SAFETY: `address` has `len` bytes; the kernel writes no more, and writes the length of the
    // address to `len`.
    check(unsafe { libc::getsockname(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len) })?;
    address.set_len(len);
    Ok(address)
}

pub(crate) fn peer_address(fd: BorrowedFd<'_>) -> io::Result<RawAddress> {
    let mut len = RawAddress::CAPACITY;
    let mut address = RawAddress::empty();
    // SAFETY: `address` has `len` bytes; the kernel writes no more, and writes the length of the
    // address to `len`.
    check(unsafe { libc::getpeername(fd.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut len) })?;
    address.set_len(len);
    Ok(address)
}

pub(crate) fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: `buffer` has the length passed to the call.
    length(unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

/// Receives into the spare capacity of a vector and returns the number of bytes.
pub(crate) fn recv_append(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>, flags: i32) -> io::Result<usize> {
    let before = buffer.len();
    let spare = buffer.spare_capacity_mut();
    // SAFETY: `spare` has the length passed to the call.
    let len = length(unsafe { libc::recv(fd.as_raw_fd(), spare.as_mut_ptr().cast(), spare.len(), flags) })?;
    // Without MSG_TRUNC a receive returns the number of bytes written.
    let len = len.min(buffer.capacity() - before);
    // SAFETY: the kernel has initialised the first `len` bytes of the spare capacity.
    unsafe { buffer.set_len(before + len) };
    Ok(len)
}

pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8], flags: i32) -> io::Result<usize> {
    without_signal(fd, flags, |flags| {
        // SAFETY: `bytes` has the length passed to the call and outlives it.
        length(unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
    })
}

pub(crate) fn send_to(fd: BorrowedFd<'_>, bytes: &[u8], flags: i32, to: &RawAddress) -> io::Result<usize> {
    let (start, len) = (bytes.as_ptr().cast(), bytes.len());
    without_signal(fd, flags, |flags| {
        // SAFETY: both pointers point to the numbers of bytes passed to the call, which outlive it.
        length(unsafe { libc::sendto(fd.as_raw_fd(), start, len, flags, to.as_ptr().cast(), to.len()) })
    })
}

pub(crate) fn recv_from(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
) -> io::Result<(usize, RawAddress)> {
    let mut len = RawAddress::CAPACITY;
    let mut from = RawAddress::empty();
    // SAFETY: `buffer` and `from` have the lengths passed to the call.
    let received = length(unsafe {
        libc::recvfrom(
            fd.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            flags,
            from.as_mut_ptr().cast(),
            &raw mut len,
        )
    })?;
    from.set_len(len);
    Ok((received, from))
}

pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: i32) -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::shutdown(fd.as_raw_fd(), how) }).map(drop)
}

pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut flag = libc::c_int::from(nonblocking);
    // SAFETY: FIONBIO reads the one int that the pointer points to.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw mut flag) }).map(drop)
}

/// Returns the number of bytes in the receive queue.
pub(crate) fn recv_queue_len(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut len: libc::c_int = 0;
    // SAFETY: FIONREAD writes the one int that the pointer points to.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut len) })?;
    Ok(usize::try_from(len).unwrap_or(0))
}

/// Returns the number of bytes in the send queue.
pub(crate) fn send_queue_len(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut len: libc::c_int = 0;
    // SIOCOUTQ of <linux/sockios.h> is the same number.
    // SAFETY: TIOCOUTQ writes the one int that the pointer points to.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut len) })?;
    Ok(usize::try_from(len).unwrap_or(0))
}

/// Returns whether the socket is at the urgent mark.
pub(crate) fn is_at_mark(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut at_mark: libc::c_int = 0;
    // SIOCATMARK of <asm-generic/sockios.h>, which the libc crate lacks, is 0x8905.
    // SAFETY: SIOCATMARK writes the one int that the pointer points to.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), 0x8905, &raw mut at_mark) })?;
    Ok(at_mark != 0)
}

pub(crate) fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::fchmod(fd.as_raw_fd(), mode) }).map(drop)
}

pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: the call takes no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags & libc::O_NONBLOCK != 0)
}

pub(crate) fn is_inheritable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // SAFETY: the call takes no pointers.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) })?;
    Ok(flags & libc::FD_CLOEXEC == 0)
}

pub(crate) fn set_inheritable(fd: BorrowedFd<'_>, inheritable: bool) -> io::Result<()> {
    let flags = if inheritable { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: the call takes no pointers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }).map(drop)
}

pub(crate) fn close(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is ours, and is given away here.
    check(unsafe { libc::close(fd.into_raw_fd()) }).map(drop)
}
