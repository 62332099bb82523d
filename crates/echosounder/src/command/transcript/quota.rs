//! How many lines and bytes of a transcript the peers of a server may cause, and which peers get
//! them. Nothing here reads a clock or waits.
//!
//! Half of the lines and bytes are reserved for hosts that have had no line in the current second,
//! so that a host that floods the server does not hide the others. A host with many addresses can
//! still use up the reserve.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use echosounder_socket::Address;

/// The number of lines per second in each half.
const LINES_PER_SECOND: u32 = 50;

/// The number of bytes per second in each half, on average.
const BYTES_PER_SECOND: i64 = 32 * 1024;

/// The maximum number of bytes in each half at once.
const BYTES_MAX: i64 = 128 * 1024;

/// The number of hosts that a worker remembers for a second.
const HOSTS: usize = 256;

/// The half of the quota that a line is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    /// For every host.
    Common,
    /// For hosts that have had no line in this second.
    Reserved,
}

/// The quota, which all workers share. The thread that writes the lines renews it once a second and
/// charges the bytes of each line, which are known only then.
#[derive(Debug)]
pub(super) struct Quota {
    /// The number of the current second.
    second: AtomicU64,
    /// When the second began, in nanoseconds since the start of the transcript.
    began_nanos: AtomicU64,
    common: Allowance,
    reserved: Allowance,
    is_closed: AtomicBool,
}

/// What is left of one half. The bytes are negative if the last line was longer than they were.
#[derive(Debug)]
struct Allowance {
    lines: AtomicU32,
    bytes: AtomicI64,
}

impl Quota {
    pub(super) fn new() -> Self {
        Self {
            second: AtomicU64::new(1),
            began_nanos: AtomicU64::new(0),
            common: Allowance::new(),
            reserved: Allowance::new(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Takes a line for a peer. Returns the half that its bytes are to be charged to, or `None` if
    /// the line is to be left out.
    pub(super) fn take(&self, recent: &mut RecentHosts, peer: &Address) -> Option<Half> {
        let has_any = !self.common.is_used_up() || !self.reserved.is_used_up();
        if !has_any || self.is_closed() {
            return None;
        }
        let is_new = recent.add(self.second.load(Ordering::Relaxed), peer);
        if self.common.take() {
            Some(Half::Common)
        } else if is_new && self.reserved.take() {
            Some(Half::Reserved)
        } else {
            None
        }
    }

    /// Charges the bytes of a line that was taken. Only one thread may charge and renew.
    pub(super) fn charge(&self, half: Half, bytes: usize) {
        let allowance = match half {
            Half::Common => &self.common,
            Half::Reserved => &self.reserved,
        };
        allowance.bytes.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Begins a new second if the current one is over at the time `now` since the start. Returns
    /// whether it did.
    pub(super) fn renew(&self, now: Duration) -> bool {
        let began = Duration::from_nanos(self.began_nanos.load(Ordering::Relaxed));
        let elapsed = now.saturating_sub(began);
        if elapsed < Duration::from_secs(1) {
            return false;
        }
        self.began_nanos.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.second.fetch_add(1, Ordering::Relaxed);
        self.common.renew(elapsed);
        self.reserved.renew(elapsed);
        true
    }

    /// Returns how long the current second lasts at the time `now` since the start.
    pub(super) fn until_renewal(&self, now: Duration) -> Duration {
        let began = Duration::from_nanos(self.began_nanos.load(Ordering::Relaxed));
        (began + Duration::from_secs(1)).saturating_sub(now)
    }

    /// Refuses all further lines.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Returns whether all further lines are refused.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

impl Allowance {
    fn new() -> Self {
        Self { lines: AtomicU32::new(LINES_PER_SECOND), bytes: AtomicI64::new(BYTES_MAX) }
    }

    fn is_used_up(&self) -> bool {
        self.lines.load(Ordering::Relaxed) == 0 || self.bytes.load(Ordering::Relaxed) <= 0
    }

    /// Takes one of the lines. Returns whether there was one left.
    fn take(&self) -> bool {
        let one_less = |lines: u32| lines.checked_sub(1);
        !self.is_used_up() && self.lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    fn renew(&self, elapsed: Duration) {
        self.lines.store(LINES_PER_SECOND, Ordering::Relaxed);
        let millis = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let more = millis.saturating_mul(BYTES_PER_SECOND) / 1000;
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_add(more);
        self.bytes.store(bytes.min(BYTES_MAX), Ordering::Relaxed);
    }
}

/// The hosts that have had a line in the current second, as one worker knows them. A keyed hash
/// gives each host a place. If two hosts share one, each makes the worker forget the other, which
/// costs a line of the reserve.
#[derive(Clone, Debug)]
pub(super) struct RecentHosts {
    second: u64,
    hashes: Box<[u64]>,
    key: RandomState,
}

impl RecentHosts {
    pub(super) fn new() -> Self {
        Self { second: 0, hashes: vec![0; HOSTS].into(), key: RandomState::new() }
    }

    /// Adds the peer's host. Returns whether it was missing.
    fn add(&mut self, second: u64, peer: &Address) -> bool {
        if self.second != second {
            self.second = second;
            self.hashes.fill(0);
        }
        // Zero means that the place is free.
        let hash = self.hash(peer) | 1;
        let place = (hash >> 1) as usize % HOSTS;
        std::mem::replace(&mut self.hashes[place], hash) != hash
    }

    /// Hashes the address without its port, and of IPv6 the /64 network, which one host usually
    /// has.
    fn hash(&self, peer: &Address) -> u64 {
        match (peer, peer.ip().map(|ip| ip.to_canonical())) {
            (_, Some(IpAddr::V4(ip))) => self.key.hash_one(ip.to_bits()),
            (_, Some(IpAddr::V6(ip))) => self.key.hash_one(ip.to_bits() >> 64),
            (Address::Vsock(address), _) => self.key.hash_one(address.cid),
            _ => self.key.hash_one(peer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn host(number: u8, port: u16) -> Address {
        (Ipv4Addr::new(192, 0, 2, number), port).into()
    }

    /// Lets a host flood until its lines are used up. Returns the number of its lines.
    fn flood(quota: &Quota, recent: &mut RecentHosts, line_bytes: usize) -> u32 {
        let mut lines = 0;
        for port in 0..10_000 {
            if let Some(half) = quota.take(recent, &host(1, port)) {
                quota.charge(half, line_bytes);
                lines += 1;
            }
        }
        lines
    }

    #[test]
    fn flood_never_hides_the_first_line_of_another_host() {
        for line_bytes in [50, 3000, 16_000] {
            let quota = Quota::new();
            let mut recent = RecentHosts::new();
            for second in 1..=1000_u64 {
                assert!(flood(&quota, &mut recent, line_bytes) <= LINES_PER_SECOND + 1);
                for quiet in 2..=10 {
                    let half = quota.take(&mut recent, &host(quiet, 7));
                    assert!(half.is_some(), "second {second}, host {quiet}, {line_bytes} bytes");
                    quota.charge(half.unwrap(), 200);
                }
                assert!(quota.renew(Duration::from_secs(second)));
            }
        }
    }

    #[test]
    fn second_line_of_a_host_is_not_taken_from_the_reserve() {
        let (quota, mut recent) = (Quota::new(), RecentHosts::new());
        assert_eq!(flood(&quota, &mut recent, 10), LINES_PER_SECOND);
        assert_eq!(quota.take(&mut recent, &host(2, 7)), Some(Half::Reserved));
        assert_eq!(quota.take(&mut recent, &host(2, 8)), None);
        quota.renew(Duration::from_secs(1));
        assert_eq!(quota.take(&mut recent, &host(2, 7)), Some(Half::Common));
    }

    #[test]
    fn lines_and_bytes_are_bounded_whoever_sends() {
        for line_bytes in [1, 500, 3000, 70_000] {
            let (quota, mut recent) = (Quota::new(), RecentHosts::new());
            let (mut lines, mut bytes) = (0, 0);
            let seconds = 100;
            for tick in 0..seconds * 10_u64 {
                for address in 0..1000_u64 {
                    let ip = Ipv6Addr::from_bits(u128::from(tick * 1000 + address) << 64);
                    if let Some(half) = quota.take(&mut recent, &(ip, 7).into()) {
                        quota.charge(half, line_bytes);
                        lines += 1;
                        bytes += line_bytes;
                    }
                }
                quota.renew(Duration::from_millis(tick * 100));
            }
            let mean = usize::try_from(2 * BYTES_PER_SECOND).unwrap() * 100;
            let burst = usize::try_from(2 * BYTES_MAX).unwrap();
            assert!(lines <= 100 * seconds, "{lines} lines of {line_bytes} bytes");
            assert!(bytes <= mean + burst + 2 * line_bytes, "{bytes} bytes in lines of {line_bytes}");
            assert!(mean.min(100 * 90 * line_bytes) <= bytes, "{bytes} bytes in lines of {line_bytes}");
        }
    }

    #[test]
    fn debt_of_a_long_line_is_paid_before_the_next() {
        let (quota, mut recent) = (Quota::new(), RecentHosts::new());
        quota.charge(Half::Common, 128 * 1024 + 32 * 1024 * 3);
        for second in 1..=3 {
            quota.renew(Duration::from_secs(second));
            assert_ne!(quota.take(&mut recent, &host(1, 1)), Some(Half::Common), "second {second}");
        }
        quota.renew(Duration::from_secs(4));
        assert_eq!(quota.take(&mut recent, &host(1, 1)), Some(Half::Common));
    }

    #[test]
    fn addresses_of_one_host_are_one_host() {
        let v6 = |low: u128, port| Address::from((Ipv6Addr::from_bits((0x2001_0db8 << 96) | low), port));
        let mapped = Address::from((Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped(), 9));
        for (one, other, is_same) in [
            (host(1, 1), host(1, 2), true),
            (host(1, 1), host(2, 1), false),
            (host(1, 1), mapped, true),
            (v6(1, 1), v6(2, 2), true),
            (v6(1, 1), v6(1 << 64, 1), false),
        ] {
            let mut recent = RecentHosts::new();
            assert!(recent.add(1, &one));
            assert_eq!(recent.add(1, &other), !is_same, "{one} {other}");
        }
    }

    #[test]
    fn second_ends_when_it_may_be_renewed() {
        let quota = Quota::new();
        for (millis, left, is_over) in
            [(0, 1000, false), (700, 300, false), (1500, 0, true), (1600, 900, false)]
        {
            let now = Duration::from_millis(millis);
            assert_eq!(quota.until_renewal(now), Duration::from_millis(left));
            assert_eq!(quota.renew(now), is_over);
        }
    }

    #[test]
    fn closed_quota_has_no_lines() {
        let (quota, mut recent) = (Quota::new(), RecentHosts::new());
        quota.close();
        quota.renew(Duration::from_secs(1));
        assert_eq!(quota.take(&mut recent, &host(1, 1)), None);
    }
}
