//! recvmsg(2) and sendmsg(2).
#![expect(unsafe_code, reason = "system calls")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::socket::{family, without_signal};
use super::{check, is_missing, length};
use crate::control::{ControlMessage, RawControl, SCM_PIDFD};
use crate::raw_address::RawAddress;

/// A message as recvmsg(2) tells it.
pub(crate) struct Received {
    pub(crate) len: usize,
    pub(crate) from: RawAddress,
    pub(crate) control: Vec<ControlMessage>,
    pub(crate) flags: i32,
}

/// Receives one message, with at most `control` bytes of control messages.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    control: usize,
    flags: i32,
) -> io::Result<Received> {
    let mut from = RawAddress::empty();
    // Whole words, since the kernel writes headers that begin with one.
    let mut room = vec![0_u64; control.div_ceil(size_of::<u64>())];
    let mut header = empty_header();
    header.msg_name = from.as_mut_ptr().cast();
    header.msg_namelen = RawAddress::CAPACITY;
    set_parts(&mut header, buffers.as_mut_ptr().cast(), buffers.len());
    let start = if control == 0 { ptr::null_mut() } else { room.as_mut_ptr().cast() };
    set_control(&mut header, start, control);
    let mut receive = |flags| {
        // SAFETY: the header points to room of the lengths it names, borrowed or owned here.
        length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) })
    };
    // Without room for control messages the kernel makes no descriptors.
    let cloexec = if control == 0 { 0 } else { libc::MSG_CMSG_CLOEXEC & !flags };
    let len = match receive(flags | cloexec) {
        Err(error) if cloexec != 0 && refuses_cloexec(fd, &error) => receive(flags)?,
        result => result?,
    };
    from.set_len(header.msg_namelen);
    let written = control_len(&header).min(control);
    // SAFETY: `room` has at least `control` bytes, all of them set.
    let bytes = unsafe { std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), written) };
    // The kernel repeats the flag, which nobody but us has asked for.
    Ok(Received { len, from, control: take(bytes), flags: header.msg_flags & !cloexec })
}

/// Whether a receive failed because its family does not take MSG_CMSG_CLOEXEC: AF_PACKET and AF_KEY refuse flags that
/// they do not know. Descriptors come over AF_UNIX alone, which takes it.
pub(super) fn refuses_cloexec(fd: BorrowedFd<'_>, error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
        && family(fd).is_some_and(|family| family != libc::AF_UNIX)
}

/// Decodes what the kernel has just written, and takes the descriptors in it into possession. To be called once.
pub(super) fn take(bytes: &[u8]) -> Vec<ControlMessage> {
    RawControl::walk(bytes)
        .map(|raw| descriptors(raw).unwrap_or_else(|| ControlMessage::decode(raw)))
        .collect()
}

/// Closes the descriptors among control messages that the kernel has just written. To be called once.
pub(super) fn close_descriptors(bytes: &[u8]) {
    RawControl::walk(bytes).for_each(|raw| drop(descriptors(raw)));
}

/// Takes the descriptors of a control message into possession, if it has any.
fn descriptors(raw: RawControl<'_>) -> Option<ControlMessage> {
    let carries = raw.level == libc::SOL_SOCKET && [libc::SCM_RIGHTS, SCM_PIDFD].contains(&raw.kind);
    if !carries {
        return None;
    }
    // Where the kernel could not make one, it tells the error instead, as a negative number.
    let numbers =
        raw.data.as_chunks().0.iter().map(|number| RawFd::from_ne_bytes(*number)).filter(|fd| 0 <= *fd);
    // SAFETY: the kernel has just made these descriptors for us, and told each of them once.
    let mut fds: Vec<OwnedFd> = numbers.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    match (raw.kind, fds.len()) {
        (SCM_PIDFD, 1) => fds.pop().map(ControlMessage::Pidfd),
        (SCM_PIDFD, _) => None,
        _ => Some(ControlMessage::Rights(fds)),
    }
}

/// Sends one message, to `to` if that is given.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    control: &[u8],
    to: Option<&RawAddress>,
    flags: i32,
) -> io::Result<usize> {
    let header = sending(buffers, control, to);
    without_signal(fd, flags, |flags| {
        // SAFETY: the header points to bytes of the lengths it names, which outlive the call.
        length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) })
    })
}

/// A message that is to be sent with others.
pub(crate) struct Outgoing<'a> {
    pub(crate) buffers: &'a [IoSlice<'a>],
    pub(crate) control: Vec<u8>,
    pub(crate) to: Option<RawAddress>,
}

/// Sends messages, and returns how many left. An error concerns the first; none has left then.
pub(crate) fn send_many(fd: BorrowedFd<'_>, messages: &[Outgoing<'_>], flags: i32) -> io::Result<usize> {
    let header = |message: &Outgoing<'_>| libc::mmsghdr {
        msg_hdr: sending(message.buffers, &message.control, message.to.as_ref()),
        msg_len: 0,
    };
    let mut headers: Vec<libc::mmsghdr> = messages.iter().map(header).collect();
    without_signal(fd, flags, |flags| {
        // SAFETY: each header points to bytes of the lengths it names, borrowed by `messages`.
        unsafe { send_headers(fd, &mut headers, flags) }
    })
}

/// Sends messages with sendmmsg(2), or where that is missing one by one with sendmsg(2), and returns how many left. An
/// error concerns the first; none has left then.
///
/// # Safety
///
/// Each header points to bytes of the lengths that it names.
pub(super) unsafe fn send_headers(
    fd: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
    flags: i32,
) -> io::Result<usize> {
    let count = libc::c_uint::try_from(headers.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the caller promises that the headers are good.
    let sent = check(unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags as _) });
    match sent {
        // EPERM also means that a firewall says no, and then it says so once more.
        Err(error) if is_missing(&error) => {}
        sent => return Ok(usize::try_from(sent?).unwrap_or(0)),
    }
    one_by_one(headers, |_, header| {
        // SAFETY: likewise.
        length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header.msg_hdr, flags) })
    })
}

/// Receives messages with recvmmsg(2), or where that is missing one by one with recvmsg(2), and returns how many came.
/// Only the first is waited for.
///
/// # Safety
///
/// Each header points to room of the lengths that it names.
pub(super) unsafe fn receive_headers(
    fd: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
    flags: i32,
) -> io::Result<usize> {
    let count = libc::c_uint::try_from(headers.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let all = flags | libc::MSG_WAITFORONE;
    // SAFETY: the caller promises that the headers are good.
    let received = check(unsafe {
        libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, all as _, ptr::null_mut())
    });
    match received {
        Err(error) if is_missing(&error) => {}
        received => return Ok(usize::try_from(received?).unwrap_or(0)),
    }
    one_by_one(headers, |index, header| {
        let flags = if index == 0 { flags } else { flags | libc::MSG_DONTWAIT };
        // SAFETY: likewise.
        let len = length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header.msg_hdr, flags) })?;
        header.msg_len = libc::c_uint::try_from(len).unwrap_or(libc::c_uint::MAX);
        Ok(len)
    })
}

/// Does one message after the other until one fails, and returns how many were done. An error is that of the first.
fn one_by_one(
    headers: &mut [libc::mmsghdr],
    mut operation: impl FnMut(usize, &mut libc::mmsghdr) -> io::Result<usize>,
) -> io::Result<usize> {
    for (index, header) in headers.iter_mut().enumerate() {
        match operation(index, header) {
            Err(error) if index == 0 => return Err(error),
            Err(_) => return Ok(index),
            Ok(_) => {}
        }
    }
    Ok(headers.len())
}

/// The header of what is to be sent. What it points to is only read (sendmsg(2)).
fn sending(buffers: &[IoSlice<'_>], control: &[u8], to: Option<&RawAddress>) -> libc::msghdr {
    let mut header = empty_header();
    if let Some(to) = to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
    }
    set_parts(&mut header, buffers.as_ptr().cast_mut().cast(), buffers.len());
    if !control.is_empty() {
        set_control(&mut header, control.as_ptr().cast_mut(), control.len());
    }
    header
}

/// A header without anything. Some systems pad it with fields that have no name.
pub(super) fn empty_header() -> libc::msghdr {
    // SAFETY: null pointers and zero lengths are a header.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Says where the pieces of a message are. Counts and lengths of a header are `size_t` to the kernel and to glibc; musl
/// has shorter types for them, and so have its flags another sign.
pub(super) fn set_parts(header: &mut libc::msghdr, parts: *mut libc::iovec, count: usize) {
    header.msg_iov = parts;
    header.msg_iovlen = count as _;
}

/// Says where the control messages are, and how many bytes they take or may take.
pub(super) fn set_control(header: &mut libc::msghdr, control: *mut u8, len: usize) {
    header.msg_control = control.cast();
    header.msg_controllen = len as _;
}

/// How many bytes of control messages there are.
pub(super) fn control_len(header: &libc::msghdr) -> usize {
    header.msg_controllen as _
}
