//! recvmmsg(2) and sendmmsg(2) over buffers that are allocated once and do not move.
#![expect(unsafe_code, reason = "system calls")]

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;

use super::message;
use super::socket::without_signal;
use crate::buffer::IoBuffer;
use crate::control::{ControlSpace, put_segment_size};
use crate::raw_address::RawAddress;

/// Maximum length of the prefix of a reply.
pub(crate) const HEAD_MAX: usize = 128;

const _: () =
    assert!(HEAD_MAX % IoBuffer::ALIGN == 0, "a datagram starts on a boundary, because its slot does");

/// Maximum length of the control messages of a reply: a source address, a traffic class and a segment
/// size.
pub(crate) const REPLY_CONTROL_MAX: usize =
    ControlSpace::PACKET_INFO.plus(ControlSpace::TOS).plus(ControlSpace::SEGMENT_SIZE).bytes();

/// A buffer for the control messages of a reply, with the alignment of `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct ReplyControl([u8; REPLY_CONTROL_MAX]);

/// The headers and buffers of a batch, allocated once.
///
/// The headers contain pointers into the other vectors. None of these ever grows, so the pointers
/// stay valid.
pub(crate) struct Slots {
    size: usize,
    /// Number of bytes from one slot to the next.
    stride: usize,
    /// One slot per datagram: [`HEAD_MAX`] bytes for the prefix of the reply, then the datagram, so
    /// that the reply is contiguous. Every datagram starts on a boundary of [`IoBuffer::ALIGN`]
    /// bytes.
    buffer: IoBuffer,
    /// The source of each datagram, then the destination of its reply.
    names: Vec<RawAddress>,
    /// The control messages of each datagram, `control_stride` bytes apart.
    controls: IoBuffer,
    /// Space for the control messages of one datagram in bytes.
    control_len: usize,
    /// `control_len`, rounded up to the alignment of a control message.
    control_stride: usize,
    /// MSG_CMSG_CLOEXEC if the last receive added it, else 0.
    added_flags: i32,
    received: Vec<libc::mmsghdr>,
    receive_parts: Vec<libc::iovec>,
    replies: Vec<libc::mmsghdr>,
    reply_parts: Vec<libc::iovec>,
    reply_controls: Vec<ReplyControl>,
    sends: Vec<libc::mmsghdr>,
    send_controls: Vec<ReplyControl>,
}

// SAFETY: the raw pointers point into the vectors of the same struct, which are sent along with
// them.
unsafe impl Send for Slots {}

impl Slots {
    /// Allocates slots for `count` datagrams of at most `size` bytes, each with `control` space for
    /// control messages.
    pub(crate) fn new(count: usize, size: usize, control: ControlSpace) -> Self {
        let control_len = control.bytes();
        let (control_stride, controls) = control_len
            .checked_next_multiple_of(align_of::<libc::cmsghdr>())
            .and_then(|stride| Some((stride, stride.checked_mul(count)?)))
            .expect("control messages fit the address space");
        let stride = size.checked_add(HEAD_MAX).and_then(|len| len.checked_next_multiple_of(IoBuffer::ALIGN));
        let (stride, total) = stride
            .and_then(|stride| Some((stride, stride.checked_mul(count)?)))
            .expect("the datagrams of a batch fit the address space");
        let mut slots = Self {
            size,
            stride,
            buffer: IoBuffer::zeroed(total),
            names: vec![RawAddress::empty(); count],
            controls: IoBuffer::zeroed(controls),
            control_len,
            control_stride,
            added_flags: 0,
            received: vec![empty_header(); count],
            receive_parts: vec![part(ptr::null_mut(), 0); count],
            replies: vec![empty_header(); count],
            reply_parts: vec![part(ptr::null_mut(), 0); count],
            reply_controls: vec![ReplyControl([0; REPLY_CONTROL_MAX]); count],
            sends: Vec::with_capacity(count),
            send_controls: vec![ReplyControl([0; REPLY_CONTROL_MAX]); count],
        };
        // A pointer from `as_mut_ptr` is not derived from a reference to the content, so later
        // borrows do not invalidate it.
        let (buffer, parts) = (slots.buffer.as_mut_ptr(), slots.receive_parts.as_mut_ptr());
        let (names, controls) = (slots.names.as_mut_ptr(), slots.controls.as_mut_ptr());
        for index in 0..count {
            slots.receive_parts[index] = part(buffer.wrapping_add(slots.start(index)), size);
            let header = &mut slots.received[index].msg_hdr;
            message::set_parts(header, parts.wrapping_add(index), 1);
            header.msg_name = names.wrapping_add(index).cast();
            if control_len != 0 {
                let control = controls.wrapping_add(index * control_stride);
                message::set_control(header, control, control_len);
            }
        }
        slots
    }

    /// Returns the offset of a datagram in the buffer.
    fn start(&self, index: usize) -> usize {
        index * self.stride + HEAD_MAX
    }

    pub(crate) fn count(&self) -> usize {
        self.received.len()
    }

    /// Receives the queued datagrams and returns their number. On a blocking descriptor it waits
    /// for the first only.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, flags: i32) -> io::Result<usize> {
        let buffer = self.buffer.as_mut_ptr();
        for index in 0..self.received.len() {
            // A borrow of the bytes since the last receive may have invalidated the earlier
            // pointer.
            self.receive_parts[index].iov_base = buffer.wrapping_add(self.start(index)).cast();
            let header = &mut self.received[index].msg_hdr;
            header.msg_namelen = RawAddress::CAPACITY;
            let control = header.msg_control.cast();
            message::set_control(header, control, self.control_len);
        }
        let mut receive = |flags: i32| {
            // SAFETY: each header points to buffers of the lengths that it contains, which `self`
            // owns.
            unsafe { message::receive_headers(fd, &mut self.received, flags) }
        };
        // Without buffer space for control messages the kernel installs no descriptors.
        let cloexec = if self.control_len == 0 { 0 } else { libc::MSG_CMSG_CLOEXEC & !flags };
        let received = match receive(flags | cloexec) {
            Err(error) if cloexec != 0 && message::refuses_cloexec(fd, &error) => receive(flags)?,
            received => received?,
        };
        self.added_flags = cloexec;
        for (name, message) in self.names.iter_mut().zip(&self.received[..received]) {
            name.set_len(message.msg_hdr.msg_namelen);
        }
        // Any sender to a UNIX socket can attach descriptors, which the kernel has installed in
        // this process.
        (0..received).for_each(|index| message::close_descriptors(self.control(index)));
        Ok(received)
    }

    /// Returns the bytes of a received datagram.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let start = self.start(index);
        &self.buffer[start..start + self.len(index)]
    }

    /// Returns the bytes of a received datagram, to change them.
    pub(crate) fn bytes_mut(&mut self, index: usize) -> &mut [u8] {
        let (start, len) = (self.start(index), self.len(index));
        &mut self.buffer[start..start + len]
    }

    /// Returns the whole buffer of a received datagram.
    pub(crate) fn buffer_mut(&mut self, index: usize) -> &mut [u8] {
        let start = self.start(index);
        &mut self.buffer[start..start + self.size]
    }

    /// Changes the length of a received datagram.
    pub(crate) fn set_len(&mut self, index: usize, len: usize) {
        self.received[index].msg_len = libc::c_uint::try_from(len.min(self.size)).unwrap_or(0);
    }

    /// Returns the length of the received part of a datagram.
    fn len(&self, index: usize) -> usize {
        self.kernel_len(index).min(self.size)
    }

    /// Returns the length of a datagram that the kernel reported, which exceeds the size of the
    /// buffer if MSG_TRUNC was requested and the datagram was longer.
    pub(crate) fn kernel_len(&self, index: usize) -> usize {
        self.received[index].msg_len as usize
    }

    pub(crate) fn name(&self, index: usize) -> &RawAddress {
        &self.names[index]
    }

    pub(crate) fn control(&self, index: usize) -> &[u8] {
        let len = message::control_len(&self.received[index].msg_hdr);
        let start = index * self.control_stride;
        &self.controls[start..start + len.min(self.control_len)]
    }

    /// Returns the flags that the kernel has set, without one that this crate has passed.
    pub(crate) fn flags(&self, index: usize) -> i32 {
        self.received[index].msg_hdr.msg_flags & !self.added_flags
    }

    /// Prepares reply number `reply`: `head`, then the bytes of datagram `index`, to its source or
    /// to `to`. `control` writes the control messages and returns their length.
    pub(crate) fn prepare(
        &mut self,
        reply: usize,
        index: usize,
        head: &[u8],
        to: Option<&RawAddress>,
        control: impl FnOnce(&mut [u8; REPLY_CONTROL_MAX]) -> usize,
    ) {
        let head_len = head.len().min(HEAD_MAX);
        let start = self.start(index) - head_len;
        self.buffer[start..start + head_len].copy_from_slice(&head[..head_len]);
        let control_len = control(&mut self.reply_controls[reply].0);
        let len = head_len + self.len(index);
        self.reply_parts[reply] = part(self.buffer.as_mut_ptr().wrapping_add(start), len);

        let header = &mut self.replies[reply].msg_hdr;
        message::set_parts(header, self.reply_parts.as_mut_ptr().wrapping_add(reply), 1);
        if let Some(to) = to {
            self.names[index] = *to;
        }
        header.msg_name = self.names.as_mut_ptr().wrapping_add(index).cast();
        header.msg_namelen = self.names[index].len();
        let control = self.reply_controls.as_mut_ptr().wrapping_add(reply).cast();
        message::set_control(header, control, control_len.min(REPLY_CONTROL_MAX));
    }

    /// Returns the length of a prepared reply.
    pub(crate) fn reply_len(&self, reply: usize) -> usize {
        self.reply_parts[reply].iov_len
    }

    /// Returns the control messages of a prepared reply.
    pub(crate) fn reply_control(&self, reply: usize) -> &[u8] {
        &self.reply_controls[reply].0[..message::control_len(&self.replies[reply].msg_hdr)]
    }

    /// Removes all sends.
    pub(crate) fn begin(&mut self) {
        self.sends.clear();
    }

    /// Adds a send of the prepared replies in a range: one reply, or several as segments of one
    /// size.
    pub(crate) fn add(&mut self, replies: std::ops::Range<usize>) {
        let first = replies.start;
        let mut send = self.replies[first];
        if 1 < replies.len() {
            let index = self.sends.len();
            let used = message::control_len(&send.msg_hdr);
            let size = u16::try_from(self.reply_len(first)).unwrap_or(u16::MAX);
            let buffer = &mut self.send_controls[index].0;
            buffer[..used].copy_from_slice(&self.reply_controls[first].0[..used]);
            let len = used + put_segment_size(&mut buffer[used..], size);
            // The parts of consecutive replies are adjacent in `reply_parts`.
            let parts = send.msg_hdr.msg_iov;
            message::set_parts(&mut send.msg_hdr, parts, replies.len());
            let control = self.send_controls.as_mut_ptr().wrapping_add(index).cast();
            message::set_control(&mut send.msg_hdr, control, len);
        }
        self.sends.push(send);
    }

    /// Sends the added sends from `first` on without waiting, and returns how many were sent. An
    /// error concerns the first; none was sent then.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>, first: usize) -> io::Result<usize> {
        without_signal(fd, libc::MSG_DONTWAIT, |flags| {
            // SAFETY: each header points to bytes of the lengths that it contains, which `self`
            // owns.
            unsafe { message::send_headers(fd, &mut self.sends[first..], flags) }
        })
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
