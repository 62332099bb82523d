//! A path between two hosts that delays, loses, duplicates, reorders and damages packets. What
//! happens to a packet depends on a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use echosounder_socket::{Interest, MessageFlags, option, ready};
use echosounder_testkit::Random;

use crate::faults::frame::checksum;
use crate::faults::lab::Namespace;
use crate::faults::wire::Wire;

/// The header that the kernel puts before frames of unfinished checksums or of several segments:
/// `struct virtio_net_hdr`, linux/virtio_net.h.
const VNET_LEN: usize = 10;
/// The checksum is unfinished: VIRTIO_NET_HDR_F_NEEDS_CSUM.
const NEEDS_CHECKSUM: u8 = 1;

/// How long the relay waits at most before it looks whether it has to end.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// What happens to packets, each way. Shares are in thousandths of all packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Path {
    pub(crate) delay: Duration,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// How many packets are held for [`HOLD`] longer, so that later ones overtake them.
    pub(crate) held: u64,
    /// How many packets have a byte changed behind their headers.
    pub(crate) damaged: u64,
    pub(crate) seed: u64,
}

/// How much longer a packet is held that others overtake.
pub(crate) const HOLD: Duration = Duration::from_millis(8);

/// What has happened to the packets that the peer sent, and to those that the server sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) held: u64,
    pub(crate) damaged: u64,
}

/// A running path.
#[derive(Debug)]
pub(crate) struct Relay {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<[Counts; 2]>>,
}

impl Relay {
    /// Starts to pass frames between eth0 and eth1 of a namespace.
    pub(crate) fn start(middle: &Namespace, path: Path) -> Result<Self> {
        let open = |name| -> Result<Wire> {
            let wire = Wire::open_interface(middle, name)?;
            wire.socket().set_option(option::PACKET_VNET_HDR, true)?;
            wire.socket().set_option(option::PACKET_IGNORE_OUTGOING, true)?;
            wire.socket().set_nonblocking(true)?;
            Ok(wire)
        };
        let ends = [open("eth1")?, open("eth0")?];
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            Ends {
                ends,
                path,
                random: Random::new(path.seed),
                queue: BinaryHeap::new(),
                counts: <_>::default(),
            }
            .pass(&until)
        });
        Ok(Self { stop, thread })
    }

    /// Ends the path and returns what happened to the peer's and to the server's packets.
    pub(crate) fn stop(self) -> Result<[Counts; 2]> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the relay panicked"))?
    }
}

/// A frame with the time at which it is due, its number, and the end that it leaves by.
type Pending = (Instant, u64, usize, Vec<u8>);

/// Both interfaces, and the frames between them.
struct Ends {
    /// The peer's end and the server's end.
    ends: [Wire; 2],
    path: Path,
    random: Random,
    queue: BinaryHeap<Reverse<Pending>>,
    counts: [Counts; 2],
}

impl Ends {
    fn pass(mut self, stop: &AtomicBool) -> Result<[Counts; 2]> {
        let mut buffer = vec![0; 1 << 17];
        let mut order = 0;
        while !stop.load(Ordering::Relaxed) {
            let now = Instant::now();
            let due = self.queue.peek().map(|Reverse((due, ..))| due.saturating_duration_since(now));
            let wait = due.unwrap_or(CHECK_INTERVAL).min(CHECK_INTERVAL);
            let [one, other] = self.ends.each_ref().map(|end| (end.socket().as_fd(), Interest::READ));
            ready([one, other], Some(wait))?;
            for end in 0..2 {
                // Some at a time, so that due frames leave in between.
                for _ in 0..64 {
                    match self.ends[end].socket().recv_with(&mut buffer, MessageFlags::DONTWAIT) {
                        Ok(len) => self.accept(end, &buffer[..len], &mut order),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error).context("the relay cannot receive"),
                    }
                }
            }
            self.send_due();
        }
        Ok(self.counts)
    }

    /// Decides what happens to a frame. ARP and neighbor discovery always pass.
    fn accept(&mut self, end: usize, frame: &[u8], order: &mut u64) {
        let Path { delay, lost, duplicated, held, damaged, .. } = self.path;
        let mut frame = frame.to_vec();
        let due = Instant::now() + delay;
        let mut happens = |share: u64| self.random.below(1000) < share;
        let (is_lost, is_twice) = (happens(lost), happens(duplicated));
        let (is_held, is_damaged) = (happens(held), happens(damaged));
        let counts = &mut self.counts[end];
        if !is_request_or_reply(&frame) {
            *order += 1;
            self.queue.push(Reverse((due, *order, 1 - end, frame)));
            return;
        }
        if is_lost {
            counts.lost += 1;
            return;
        }
        counts.passed += 1;
        // A frame of several segments cannot be damaged, since the kernel makes their checksums.
        if is_damaged && frame[1] == 0 {
            finish_checksum(&mut frame);
            *frame.last_mut().expect("it has a header") ^= 0x55;
            counts.damaged += 1;
        }
        if is_twice {
            counts.duplicated += 1;
            *order += 1;
            self.queue.push(Reverse((due, *order, 1 - end, frame.clone())));
        }
        counts.held += u64::from(is_held);
        *order += 1;
        let due = if is_held { due + HOLD } else { due };
        self.queue.push(Reverse((due, *order, 1 - end, frame)));
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        while self.queue.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Some(Reverse((_, _, end, frame))) = self.queue.pop() else { return };
            // A full queue of the device loses a packet, as on any path.
            let _ = self.ends[end].socket().send(&frame);
        }
    }
}

/// Returns whether a frame with its header carries TCP or UDP.
fn is_request_or_reply(frame: &[u8]) -> bool {
    let ethernet = frame.get(VNET_LEN..).unwrap_or_default();
    matches!(
        (ethernet.get(12..14), ethernet.get(23), ethernet.get(20)),
        (Some([0x08, 0x00]), Some(6 | 17), _) | (Some([0x86, 0xdd]), _, Some(6 | 17))
    )
}

/// Finishes the checksum that the sender has left to its device.
fn finish_checksum(frame: &mut [u8]) {
    if frame[0] & NEEDS_CHECKSUM == 0 {
        return;
    }
    let number = |at: usize| usize::from(u16::from_ne_bytes([frame[at], frame[at + 1]]));
    let (start, field) = (VNET_LEN + number(6), number(8));
    let sum = checksum([&frame[start..]]);
    frame[start + field..][..2].copy_from_slice(&sum.to_be_bytes());
    frame[0] &= !NEEDS_CHECKSUM;
}
