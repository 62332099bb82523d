//! recvmmsg(2) and sendmmsg(2) over buffers that stay where they are.
#![expect(unsafe_code, reason = "system calls")]

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{check, message};
use crate::address::RawAddress;
use crate::control::BATCH_CONTROL_MAX;

/// Most bytes that an answer may put before the message it answers.
pub(crate) const HEAD_MAX: usize = 128;

/// Room for control messages, aligned as the kernel wants them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct ControlRoom([u8; BATCH_CONTROL_MAX]);

/// Everything that many datagrams in one call need, made once.
///
/// The headers point into the other vectors, none of which ever grows: what they point to neither moves nor
/// goes away before they do.
pub(crate) struct Slots {
    size: usize,
    buffer: Vec<u8>,
    names: Vec<RawAddress>,
    controls: Vec<ControlRoom>,
    heads: Vec<[u8; HEAD_MAX]>,
    received: Vec<libc::mmsghdr>,
    receive_parts: Vec<libc::iovec>,
    answers: Vec<libc::mmsghdr>,
    answer_parts: Vec<[libc::iovec; 2]>,
    answer_controls: Vec<ControlRoom>,
}

// SAFETY: the raw pointers lead into the vectors beside them, which move to the other thread along with them.
unsafe impl Send for Slots {}

impl Slots {
    /// Room for `count` datagrams of at most `size` bytes.
    pub(crate) fn new(count: usize, size: usize) -> Self {
        let mut slots = Self {
            size,
            buffer: vec![0; count * size],
            names: vec![RawAddress::empty(); count],
            controls: vec![ControlRoom([0; BATCH_CONTROL_MAX]); count],
            heads: vec![[0; HEAD_MAX]; count],
            received: vec![empty_header(); count],
            receive_parts: vec![part(ptr::null_mut(), 0); count],
            answers: vec![empty_header(); count],
            answer_parts: vec![[part(ptr::null_mut(), 0); 2]; count],
            answer_controls: vec![ControlRoom([0; BATCH_CONTROL_MAX]); count],
        };
        // A vector's own pointer is no reference to its content, so it stays good when that is borrowed later.
        let (buffer, parts) = (slots.buffer.as_mut_ptr(), slots.receive_parts.as_mut_ptr());
        let (names, controls) = (slots.names.as_mut_ptr(), slots.controls.as_mut_ptr());
        for index in 0..count {
            slots.receive_parts[index] = part(buffer.wrapping_add(index * size), size);
            let header = &mut slots.received[index].msg_hdr;
            header.msg_iov = parts.wrapping_add(index);
            header.msg_iovlen = 1;
            header.msg_name = names.wrapping_add(index).cast();
            header.msg_control = controls.wrapping_add(index).cast();
        }
        slots
    }

    pub(crate) fn count(&self) -> usize {
        self.received.len()
    }

    /// Receives what is there, and returns how many datagrams that was; only for the first is waited, if the
    /// descriptor blocks.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        for message in &mut self.received {
            message.msg_hdr.msg_namelen = RawAddress::CAPACITY;
            message.msg_hdr.msg_controllen = BATCH_CONTROL_MAX;
        }
        let count = libc::c_uint::try_from(self.received.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: each header points to room of the lengths it names, in vectors that `self` owns.
        let received = check(unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.received.as_mut_ptr(),
                count,
                libc::MSG_WAITFORONE | libc::MSG_CMSG_CLOEXEC,
                ptr::null_mut(),
            )
        })?;
        let received = usize::try_from(received).unwrap_or(0);
        for (name, message) in self.names.iter_mut().zip(&self.received[..received]) {
            name.set_len(message.msg_hdr.msg_namelen);
        }
        // Whoever may send to a UNIX socket may send descriptors, and the kernel has made them ours.
        (0..received).for_each(|index| message::close_descriptors(self.control(index)));
        Ok(received)
    }

    /// The bytes of a received datagram.
    pub(crate) fn bytes_mut(&mut self, index: usize) -> &mut [u8] {
        let start = index * self.size;
        let len = (self.received[index].msg_len as usize).min(self.size);
        &mut self.buffer[start..start + len]
    }

    pub(crate) fn name(&self, index: usize) -> &RawAddress {
        &self.names[index]
    }

    pub(crate) fn control(&self, index: usize) -> &[u8] {
        let len = self.received[index].msg_hdr.msg_controllen;
        &self.controls[index].0[..len.min(BATCH_CONTROL_MAX)]
    }

    pub(crate) fn is_truncated(&self, index: usize) -> bool {
        self.received[index].msg_hdr.msg_flags & libc::MSG_TRUNC != 0
    }

    /// Makes the `answer`-th answer: `head` and the bytes of datagram `index`, to where that came from or else to
    /// `to`, with the control messages that `control` writes and tells the length of.
    pub(crate) fn prepare(
        &mut self,
        answer: usize,
        index: usize,
        head: &[u8],
        to: Option<&RawAddress>,
        control: impl FnOnce(&mut [u8; BATCH_CONTROL_MAX]) -> usize,
    ) {
        let head_len = head.len().min(HEAD_MAX);
        self.heads[answer][..head_len].copy_from_slice(&head[..head_len]);
        let control_len = control(&mut self.answer_controls[answer].0);
        let len = self.bytes_mut(index).len();
        let head = self.heads.as_mut_ptr().wrapping_add(answer);
        let body = self.buffer.as_mut_ptr().wrapping_add(index * self.size);
        self.answer_parts[answer] = [part(head.cast(), head_len), part(body, len)];

        let header = &mut self.answers[answer].msg_hdr;
        header.msg_iov = self.answer_parts.as_mut_ptr().wrapping_add(answer).cast();
        header.msg_iovlen = 2;
        if let Some(to) = to {
            self.names[index] = *to;
        }
        header.msg_name = self.names.as_mut_ptr().wrapping_add(index).cast();
        header.msg_namelen = self.names[index].len();
        header.msg_control = self.answer_controls.as_mut_ptr().wrapping_add(answer).cast();
        header.msg_controllen = control_len.min(BATCH_CONTROL_MAX);
    }

    /// Sends the prepared answers in the range without waiting, and returns how many left. An error concerns
    /// the first of them; none has left then.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, range: std::ops::Range<usize>) -> io::Result<usize> {
        let answers = &mut self.answers[range];
        let count = libc::c_uint::try_from(answers.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: each header points to bytes of the lengths it names, in vectors that `self` owns.
        let sent = check(unsafe { libc::sendmmsg(fd.as_raw_fd(), answers.as_mut_ptr(), count, flags) })?;
        Ok(usize::try_from(sent).unwrap_or(0))
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("count", &self.count())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

fn part(base: *mut u8, len: usize) -> libc::iovec {
    libc::iovec { iov_base: base.cast(), iov_len: len }
}

fn empty_header() -> libc::mmsghdr {
    libc::mmsghdr { msg_hdr: message::empty_header(), msg_len: 0 }
}

#[cfg(test)]
mod tests;
