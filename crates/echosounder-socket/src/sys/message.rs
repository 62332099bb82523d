//! recvmsg(2) and sendmsg(2).
#![expect(unsafe_code, reason = "system calls")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::{check, length};
use crate::address::RawAddress;
use crate::control::{ControlMessage, RawControl, SCM_PIDFD};

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
    header.msg_iov = buffers.as_mut_ptr().cast();
    header.msg_iovlen = buffers.len();
    header.msg_control = if control == 0 { ptr::null_mut() } else { room.as_mut_ptr().cast() };
    header.msg_controllen = control;
    // SAFETY: the header points to room of the lengths it names, borrowed or owned here.
    let len =
        length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags | libc::MSG_CMSG_CLOEXEC) })?;
    from.set_len(header.msg_namelen);
    let written = header.msg_controllen.min(control);
    // SAFETY: `room` has at least `control` bytes, all of them set.
    let bytes = unsafe { std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), written) };
    Ok(Received { len, from, control: take(bytes), flags: header.msg_flags })
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
    // SAFETY: the header points to bytes of the lengths it names, which outlive the call.
    length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags | libc::MSG_NOSIGNAL) })
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
    let count = libc::c_uint::try_from(headers.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: each header points to bytes of the lengths it names, borrowed by `messages`.
    let sent = check(unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags) })?;
    Ok(usize::try_from(sent).unwrap_or(0))
}

/// The header of what is to be sent. What it points to is only read (sendmsg(2)).
fn sending(buffers: &[IoSlice<'_>], control: &[u8], to: Option<&RawAddress>) -> libc::msghdr {
    let mut header = empty_header();
    if let Some(to) = to {
        header.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_namelen = to.len();
    }
    header.msg_iov = buffers.as_ptr().cast_mut().cast();
    header.msg_iovlen = buffers.len();
    if !control.is_empty() {
        header.msg_control = control.as_ptr().cast_mut().cast();
        header.msg_controllen = control.len();
    }
    header
}

/// A header without anything. Some systems pad it with fields that have no name.
pub(super) fn empty_header() -> libc::msghdr {
    // SAFETY: null pointers and zero lengths are a header.
    unsafe { MaybeUninit::zeroed().assume_init() }
}
