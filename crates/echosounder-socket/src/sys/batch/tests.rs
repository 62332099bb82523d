//! The headers point to the buffers of their slots. These tests read and write through the headers
//! as the kernel does, so that Miri can check the accesses.

use std::ptr;
use std::thread;

use super::{HEAD_MAX, Slots, message};
use crate::buffer::IoBuffer;
use crate::control::ControlSpace;
use crate::raw_address::RawAddress;

/// Writes a datagram through its header, as recvmmsg(2) does.
fn deliver(slots: &mut Slots, index: usize, bytes: &[u8], from: &[u8], control: &[u8]) {
    let message = &mut slots.received[index];
    let header = &mut message.msg_hdr;
    // SAFETY: the header leads to one part, in a vector that the slots own.
    let part = unsafe { *header.msg_iov };
    for (target, written) in [(part.iov_base, bytes), (header.msg_name, from), (header.msg_control, control)]
    {
        // SAFETY: each pointer points to a buffer of the slots that is longer than the bytes
        // written.
        unsafe { ptr::copy_nonoverlapping(written.as_ptr(), target.cast(), written.len()) };
    }
    message.msg_len = u32::try_from(bytes.len()).expect("a short datagram");
    let start = header.msg_control.cast();
    message::set_control(header, start, control.len());
    slots.names[index].set_len(u32::try_from(from.len()).expect("a short name"));
}

/// Reads a reply through its header, as sendmmsg(2) does: where it goes to, its bytes, its control
/// messages.
fn sent(slots: &Slots, reply: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let header = slots.replies[reply].msg_hdr;
    let read = |start: *const u8, len: usize| {
        // SAFETY: the header contains the length of the buffer, which the slots own.
        unsafe { std::slice::from_raw_parts(start, len) }.to_vec()
    };
    let mut bytes = Vec::new();
    for index in 0..message::part_count(&header) {
        // SAFETY: the header contains the number of parts.
        let part = unsafe { *header.msg_iov.wrapping_add(index) };
        bytes.extend(read(part.iov_base.cast(), part.iov_len));
    }
    let to = read(header.msg_name.cast(), header.msg_namelen as usize);
    (to, bytes, read(header.msg_control.cast(), message::control_len(&header)))
}

#[test]
fn headers_point_to_the_received_and_sent_bytes() {
    let mut slots = Slots::new(3, 16, ControlSpace::ALL);
    for round in 0..2_u8 {
        for (index, number) in [0, 1, 2].into_iter().enumerate() {
            deliver(&mut slots, index, &[b'a' + round; 7], &[9, number, round], &[round; 8]);
        }
        slots.bytes_mut(1)[0] = b'!';
        assert_eq!(slots.bytes_mut(2), [b'a' + round; 7]);
        assert_eq!(slots.name(2).as_bytes(), [9, 2, round]);
        assert_eq!(slots.control(2), [round; 8]);

        let elsewhere = RawAddress::from_bytes(&[8, 8]);
        slots.prepare(0, 1, b"> ", None, |_| 0);
        slots.prepare(1, 2, b"", Some(&elsewhere), |control| {
            control[..2].copy_from_slice(&[4, 5]);
            2
        });
        assert_eq!(
            sent(&slots, 0),
            (vec![9, 1, round], [b"> !".as_slice(), &[b'a' + round; 6]].concat(), vec![])
        );
        assert_eq!(sent(&slots, 1), (vec![8, 8], vec![b'a' + round; 7], vec![4, 5]));
        // Moving the slots, to another thread even, does not move the buffers of the headers.
        slots = thread::spawn(|| slots).join().expect("nothing can go wrong");
    }
}

#[test]
fn every_datagram_is_aligned_and_has_space_for_a_prefix() {
    for size in [0, 1, 63, 64, 1500, 2048, 65_535, 256 * 1024] {
        let slots = Slots::new(5, size, ControlSpace::NONE);
        let places = || slots.receive_parts.iter().map(|part| part.iov_base.addr());
        assert!(places().all(|place| place % IoBuffer::ALIGN == 0), "{size} bytes");
        assert!(slots.receive_parts.iter().all(|part| part.iov_len == size));
        for (one, next) in places().zip(places().skip(1)) {
            assert!(one + size + HEAD_MAX <= next, "{size} bytes: a datagram and the next one's head");
        }
        let (first, last) = (places().min().unwrap_or(0), places().max().unwrap_or(0));
        let buffer = slots.buffer.as_ptr_range();
        assert!(buffer.start.addr() + HEAD_MAX <= first && last + size <= buffer.end.addr());
    }
}

#[test]
#[should_panic(expected = "fit the address space")]
fn overflowing_total_length_panics() {
    // Without overflow checks, as in a release build, this was a buffer of 4 KiB with slots of 6
    // EiB.
    let size = (usize::MAX / 3) - 128 + 1366;
    let _ = Slots::new(3, size, ControlSpace::TTL);
}

#[test]
#[should_panic(expected = "fit the address space")]
fn overflowing_slot_length_panics() {
    let _ = Slots::new(1, usize::MAX, ControlSpace::TTL);
}
