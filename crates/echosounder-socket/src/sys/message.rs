//! recvmsg(2) and sendmsg(2).
#![expect(unsafe_code, reason = "system calls")]

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use super::socket::{family, with_any_flags, without_signal};
use super::{check, is_missing, length};
use crate::control::{ControlMessage, RawControl, SCM_PIDFD, SendControl};
use crate::message::Outgoing;
use crate::raw_address::RawAddress;

/// A message as recvmsg(2) returns it.
pub(crate) struct Received {
    /// The result of the call, which exceeds the length of the buffers if MSG_TRUNC was requested
    /// and the message was longer.
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
    let mut space = vec![0_u64; control.div_ceil(size_of::<u64>())];
    let mut header = empty_header();
    header.msg_name = from.as_mut_ptr().cast();
    header.msg_namelen = RawAddress::CAPACITY;
    set_parts(&mut header, buffers.as_mut_ptr().cast(), buffers.len());
    let start = if control == 0 { ptr::null_mut() } else { space.as_mut_ptr().cast() };
    set_control(&mut header, start, control);
    let mut receive = |flags| {
        // SAFETY: the header points to buffers of the lengths that it contains, borrowed or owned
        // here.
        length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, flags) })
    };
    // Without buffer space for control messages the kernel installs no descriptors.
    let cloexec = if control == 0 { 0 } else { libc::MSG_CMSG_CLOEXEC & !flags };
    let len = match receive(flags | cloexec) {
        Err(error) if cloexec != 0 && refuses_cloexec(fd, &error) => receive(flags)?,
        result => result?,
    };
    from.set_len(header.msg_namelen);
    let written = control_len(&header).min(control);
    // SAFETY: `space` has at least `control` bytes, all of them initialised.
    let bytes = unsafe { std::slice::from_raw_parts(space.as_ptr().cast::<u8>(), written) };
    // The kernel returns this flag, which the caller has not passed.
    Ok(Received { len, from, control: take(bytes), flags: header.msg_flags & !cloexec })
}

/// Returns whether a receive failed because its family refuses MSG_CMSG_CLOEXEC: AF_PACKET and
/// AF_KEY refuse unknown flags. Only AF_UNIX passes descriptors, and it accepts the flag.
pub(super) fn refuses_cloexec(fd: BorrowedFd<'_>, error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP))
        && family(fd).is_some_and(|family| family != libc::AF_UNIX)
}

/// Decodes control messages that the kernel has just written, and takes ownership of their
/// descriptors. Must be called once per receive.
pub(super) fn take(bytes: &[u8]) -> Vec<ControlMessage> {
    RawControl::walk(bytes)
        .map(|raw| descriptors(raw).unwrap_or_else(|| ControlMessage::decode(raw)))
        .collect()
}

/// Closes the descriptors in control messages that the kernel has just written. Must be called once
/// per receive.
pub(super) fn close_descriptors(bytes: &[u8]) {
    RawControl::walk(bytes).for_each(|raw| drop(descriptors(raw)));
}

/// Takes ownership of the descriptors of a control message, if it has any.
fn descriptors(raw: RawControl<'_>) -> Option<ControlMessage> {
    let carries = raw.level == libc::SOL_SOCKET && [libc::SCM_RIGHTS, SCM_PIDFD].contains(&raw.kind);
    if !carries {
        return None;
    }
    // If the kernel could not create a pidfd, it writes a negative error number instead.
    let numbers = raw.data.chunks_exact(size_of::<RawFd>()).filter_map(|number| number.first_chunk());
    let numbers = numbers.map(|number| RawFd::from_ne_bytes(*number)).filter(|fd| 0 <= *fd);
    // SAFETY: the kernel has just created these descriptors for us and reports each of them once.
    let mut fds: Vec<OwnedFd> = numbers.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
    match (raw.kind, fds.len()) {
        (SCM_PIDFD, 1) => fds.pop().map(ControlMessage::Pidfd),
        (SCM_PIDFD, _) => None,
        _ => Some(ControlMessage::Rights(fds)),
    }
}

/// Sends one message, to `to` or to the peer.
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    control: &[u8],
    to: Option<&RawAddress>,
    flags: i32,
) -> io::Result<usize> {
    let header = sending(buffers, control, to);
    without_signal(fd, flags, |flags| {
        // SAFETY: the header points to bytes of the lengths that it contains, which outlive the
        // call.
        length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) })
    })
}

/// Sends one message with MSG_ZEROCOPY, to `to` or to the peer.
///
/// # Safety
///
/// The kernel reads the memory of `buffers` until it reports the completion of the send.
pub(super) unsafe fn send_zerocopy(
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    control: &[u8],
    to: Option<&RawAddress>,
    flags: i32,
) -> io::Result<usize> {
    let header = sending(buffers, control, to);
    with_any_flags(fd, flags | libc::MSG_ZEROCOPY, |flags| {
        // SAFETY: the header points to bytes of the lengths that it contains, which outlive the
        // call. The caller promises that those of the message also outlive the transmission.
        length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header, flags) })
    })
}

/// Maximum number of messages that sendmmsg(2) sends in one call: UIO_MAXIOV.
const SEND_MAX: usize = 1024;

/// Memory for [`Socket::send_many_with`](crate::Socket::send_many_with), which reuses it in every
/// call, so that a call allocates nothing once the memory has grown to its messages.
///
/// See [`Socket::send_many_with`](crate::Socket::send_many_with) for an example.
#[derive(Default)]
pub struct SendBatch {
    /// The control messages of all messages, one after the other.
    control: Vec<u8>,
    /// For each message the end of its control messages, and its destination, if any.
    encoded: Vec<(usize, Option<RawAddress>)>,
    /// Pointers to the memory of the messages. Empty between calls.
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the raw pointers are in `headers`, which is empty between calls.
unsafe impl Send for SendBatch {}

// SAFETY: as above.
unsafe impl Sync for SendBatch {}

impl SendBatch {
    /// Returns memory that grows as needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes the control messages and destinations of messages, up to one that has no encoding.
    /// An error concerns the first message.
    pub(crate) fn encode(&mut self, messages: &[Outgoing<'_>]) -> io::Result<()> {
        self.control.clear();
        self.encoded.clear();
        for message in messages.iter().take(SEND_MAX) {
            let control = SendControl::append_all(message.control, &mut self.control);
            match control.and_then(|()| message.to.map(RawAddress::try_from).transpose()) {
                Ok(to) => self.encoded.push((self.control.len(), to)),
                Err(error) if self.encoded.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Sends messages that were encoded before, and returns how many were sent. An error concerns
    /// the first message; none was sent then.
    pub(crate) fn send(
        &mut self,
        fd: BorrowedFd<'_>,
        messages: &[Outgoing<'_>],
        flags: i32,
    ) -> io::Result<usize> {
        let mut start = 0;
        for (message, (end, to)) in messages.iter().zip(&self.encoded) {
            let msg_hdr = sending(message.buffers, &self.control[start..*end], to.as_ref());
            self.headers.push(libc::mmsghdr { msg_hdr, msg_len: 0 });
            start = *end;
        }
        let sent = without_signal(fd, flags, |flags| {
            // SAFETY: each header points to bytes of the lengths that it contains, in `messages` or
            // in `self`.
            unsafe { send_headers(fd, &mut self.headers, flags) }
        });
        self.headers.clear();
        sent
    }
}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch").finish_non_exhaustive()
    }
}

/// Sends messages with sendmmsg(2), or one by one with sendmsg(2) where that is missing, and
/// returns how many were sent. An error concerns the first message; none was sent then.
///
/// # Safety
///
/// Each header points to bytes of the lengths that it contains.
pub(super) unsafe fn send_headers(
    fd: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
    flags: i32,
) -> io::Result<usize> {
    let count = libc::c_uint::try_from(headers.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the caller guarantees valid headers.
    let sent = check(unsafe { sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags) });
    match sent {
        // EPERM may also come from a packet filter; sendmsg(2) then returns it again.
        Err(error) if is_missing(&error) => {}
        sent => return Ok(usize::try_from(sent?).unwrap_or(0)),
    }
    one_by_one(headers, |_, header| {
        // SAFETY: as above.
        length(unsafe { libc::sendmsg(fd.as_raw_fd(), &raw const header.msg_hdr, flags) })
    })
}

/// Calls sendmmsg(2).
///
/// # Safety
///
/// As [`send_headers`], for `count` headers.
#[cfg(not(target_env = "musl"))]
unsafe fn sendmmsg(fd: RawFd, headers: *mut libc::mmsghdr, count: libc::c_uint, flags: i32) -> i32 {
    // SAFETY: the caller guarantees valid headers.
    unsafe { libc::sendmmsg(fd, headers, count, flags) }
}

/// Calls sendmmsg(2). musl's function calls sendmsg(2) for each message, because it must clear the
/// padding of the headers; [`empty_header`] has cleared it.
///
/// # Safety
///
/// As [`send_headers`], for `count` headers.
#[cfg(target_env = "musl")]
unsafe fn sendmmsg(fd: RawFd, headers: *mut libc::mmsghdr, count: libc::c_uint, flags: i32) -> i32 {
    // SAFETY: the caller guarantees valid headers.
    let sent = unsafe { libc::syscall(libc::SYS_sendmmsg, fd, headers, count, flags) };
    i32::try_from(sent).unwrap_or(i32::MAX)
}

/// Receives messages with recvmmsg(2), or one by one with recvmsg(2) where that is missing, and
/// returns their number. It waits for the first message only.
///
/// # Safety
///
/// Each header points to buffers of the lengths that it contains.
pub(super) unsafe fn receive_headers(
    fd: BorrowedFd<'_>,
    headers: &mut [libc::mmsghdr],
    flags: i32,
) -> io::Result<usize> {
    let count = libc::c_uint::try_from(headers.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let all = flags | libc::MSG_WAITFORONE;
    // SAFETY: the caller guarantees valid headers.
    let received = check(unsafe {
        libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, all as _, ptr::null_mut())
    });
    match received {
        Err(error) if is_missing(&error) => {}
        received => return Ok(usize::try_from(received?).unwrap_or(0)),
    }
    one_by_one(headers, |index, header| {
        let flags = if index == 0 { flags } else { flags | libc::MSG_DONTWAIT };
        // SAFETY: as above.
        let len = length(unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header.msg_hdr, flags) })?;
        header.msg_len = libc::c_uint::try_from(len).unwrap_or(libc::c_uint::MAX);
        Ok(len)
    })
}

/// Processes one message after the other until one fails, and returns the number processed. Fails
/// if the first does.
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

/// Returns the header of a message to send. The kernel only reads the memory that it points to
/// (sendmsg(2)).
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

/// Returns an empty header. Some C libraries have private padding fields, so it cannot be written
/// as a literal.
pub(super) fn empty_header() -> libc::msghdr {
    // SAFETY: null pointers and zero lengths are a valid header.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Sets the buffers of a message. The kernel and glibc use `size_t` for counts and lengths in a
/// header, musl shorter types.
pub(super) fn set_parts(header: &mut libc::msghdr, parts: *mut libc::iovec, count: usize) {
    header.msg_iov = parts;
    header.msg_iovlen = count as _;
}

/// Returns the number of buffers of a message.
#[cfg(test)]
pub(super) fn part_count(header: &libc::msghdr) -> usize {
    header.msg_iovlen as _
}

/// Sets the buffer of the control messages and its length.
pub(super) fn set_control(header: &mut libc::msghdr, control: *mut u8, len: usize) {
    header.msg_control = control.cast();
    header.msg_controllen = len as _;
}

/// Returns the length of the control messages.
pub(super) fn control_len(header: &libc::msghdr) -> usize {
    header.msg_controllen as _
}
