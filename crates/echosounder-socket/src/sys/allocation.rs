//! An allocator that counts, to test that hot calls do not allocate.
#![expect(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends has no counter any more.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the rules of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Returns the number of allocations of this thread during a call.
fn allocations(call: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    call();
    ALLOCATIONS.get() - before
}

mod tests {
    use std::io::IoSlice;
    use std::net::Ipv4Addr;

    use super::allocations;
    use crate::option;
    use crate::{
        Batch, ControlSpace, Family, MessageFlags, Outgoing, Protocol, SendBatch, SendControl, Socket, Type,
    };

    #[test]
    fn batches_do_not_allocate_after_the_first_call() {
        let receiver = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT).expect("a socket");
        receiver.bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        for option in [option::IP_PKTINFO, option::IP_RECVTTL, option::SO_TIMESTAMPNS] {
            receiver.set_option(option, true).expect("an option of every kernel");
        }
        let to = receiver.local_addr().expect("an address");
        let sender = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT).expect("a socket");
        let mut memory = SendBatch::new();
        let mut batch = Batch::with_control(8, 64, ControlSpace::ALL);
        let mut round = || {
            let (parts, control) = ([IoSlice::new(b"ahoy")], [SendControl::Ttl(7), SendControl::Tos(8)]);
            let message = Outgoing::new(&parts).with_control(&control).to(&to);
            let messages = [message, Outgoing::new(&parts).to(&to)];
            let sent = sender.send_many_with(&mut memory, &messages, MessageFlags::NONE);
            assert_eq!(sent.expect("two sends"), 2);
            let mut received = 0;
            while received < 2 {
                received += receiver.recv_many(&mut batch).expect("a datagram");
                for datagram in &batch {
                    assert!(datagram.packet_info().is_some() && datagram.timestamp().is_some());
                    assert!(datagram.from().is_some() && datagram.ttl().is_some());
                    assert_eq!(datagram.segments().map(Iterator::count), Some(1));
                }
            }
        };
        assert!(0 < allocations(&mut round), "the first call allocates the memory");
        assert_eq!(allocations(|| (0..100).for_each(|_| round())), 0);
    }
}
