//! How much of the send buffer of a UNIX datagram socket each client may fill.
//!
//! A datagram stays charged to the sender's buffer until its receiver reads it or closes its socket:
//! unix(7), SO_SNDBUF. A client that never reads would therefore fill the buffer for all others.
//!
//! While less than a quarter of the buffer is charged, nothing is limited or recorded. Above, each
//! reply is recorded, and the free part is shared: all clients of a user may take half of it, and one
//! client a 16th of what its user may still take. What hostile clients hold never returns, so each of
//! them gets less than the one before, and some remains.

use std::collections::HashMap;
use std::time::Duration;

use echosounder_proto::{DropReason, MonoTime};
use echosounder_socket::Address;
use echosounder_socket::family::unix::UnixName;

/// The part of the buffer that is not limited: 1 of this number.
const UNLIMITED: usize = 4;

/// The share of a user in the free part of the buffer, and of a client in what its user may take: 1
/// of this number.
const USER_SHARE: usize = 2;
const CLIENT_SHARE: usize = 16;

/// Maximum number of clients with a record. The clients of a user may take half of the free ones.
const CLIENTS_MAX: usize = 1024;

/// The shortest time between two looks, and how many times longer than a look it is at least.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
const LOOK_PAUSE: u32 = 20;

/// The shares of the clients of one socket.
#[derive(Debug)]
pub(crate) struct SendBudget {
    /// The size of the send buffer in bytes.
    size: usize,
    /// Bytes that are charged to the buffer.
    charged: usize,
    clients: HashMap<Address, Record>,
    /// Whether a client has used most of its share.
    wants_look: bool,
    next_look: Option<MonoTime>,
}

/// What a client got and may not have read.
#[derive(Debug)]
struct Record {
    user: Option<u32>,
    bytes: usize,
    seen: Seen,
}

/// What the current look at the sockets of this machine has found about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// No socket with its address.
    Nothing,
    /// Sockets with its address, whose receive queues are all empty.
    Empty,
    /// A socket with its address that has something to read.
    Unread,
}

impl SendBudget {
    /// Creates the budget of a buffer of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, charged: 0, clients: HashMap::new(), wants_look: false, next_look: None }
    }

    /// Begins a batch, at whose beginning `charged` bytes of the buffer are charged.
    pub(crate) fn begin(&mut self, charged: usize) {
        self.charged = charged;
        if !self.is_limited() && !self.clients.is_empty() {
            self.clients.clear();
            self.wants_look = false;
        }
    }

    /// Records a reply of `len` bytes to a client of the user `user`.
    ///
    /// # Errors
    ///
    /// [`DropReason::Unread`] if it exceeds the client's share. It is not recorded then.
    pub(crate) fn admit(
        &mut self,
        client: &Address,
        user: Option<u32>,
        len: usize,
    ) -> Result<(), DropReason> {
        let cost = cost(len);
        if self.is_limited() {
            self.admit_limited(client, user, len, cost)?;
        }
        self.charged += cost;
        Ok(())
    }

    #[cold]
    fn admit_limited(
        &mut self,
        client: &Address,
        user: Option<u32>,
        len: usize,
        cost: usize,
    ) -> Result<(), DropReason> {
        let of_user = || self.clients.values().filter(|record| record.user == user);
        let taken: usize = of_user().map(|record| record.bytes).sum();
        let has_place = of_user().count() < CLIENTS_MAX - self.clients.len();
        let free = self.size.saturating_sub(self.charged);
        let share = (free / USER_SHARE).saturating_sub(taken) / CLIENT_SHARE;
        let bytes = cost + self.clients.get(client).map_or(0, |record| record.bytes);
        self.wants_look |= share / 2 < bytes;
        // The kernel does not show whether a client has read an empty message.
        if share < bytes || len == 0 {
            return Err(DropReason::Unread);
        }
        if let Some(record) = self.clients.get_mut(client) {
            record.bytes = bytes;
            return Ok(());
        }
        if !has_place {
            self.wants_look = true;
            return Err(DropReason::Unread);
        }
        self.clients.insert(client.clone(), Record { user, bytes, seen: Seen::Nothing });
        Ok(())
    }

    /// Returns whether to look which clients have read everything: [`on_socket`](Self::on_socket) for
    /// each socket of this machine, then [`end_look`](Self::end_look). Only between two batches.
    pub(crate) fn is_look_due(&self, now: MonoTime) -> bool {
        self.wants_look && self.next_look.is_none_or(|next| next <= now)
    }

    /// Records what a look found.
    pub(crate) fn on_socket(&mut self, address: &Address, is_empty: bool) {
        if let Some(record) = self.clients.get_mut(address) {
            // Another socket may have been bound to the path since.
            let was_empty = record.seen != Seen::Unread;
            record.seen = if is_empty && was_empty { Seen::Empty } else { Seen::Unread };
        }
    }

    /// Ends a look that began at `began`: removes the clients that have read everything, and those
    /// that are gone. An incomplete look removes none.
    pub(crate) fn end_look(&mut self, began: MonoTime, now: MonoTime, is_complete: bool) {
        if is_complete {
            self.clients.retain(|client, record| match record.seen {
                Seen::Empty => false,
                Seen::Unread => true,
                // Abstract names belong to one network namespace, so the client is gone: unix(7).
                Seen::Nothing => matches!(client, Address::Unix(UnixName::Path(_))),
            });
            self.remove_stale();
        }
        self.clients.values_mut().for_each(|record| record.seen = Seen::Nothing);
        self.wants_look = false;
        let pause = (now - began).saturating_mul(LOOK_PAUSE).max(LOOK_INTERVAL);
        self.next_look = Some(now + pause);
    }

    /// Removes clients without a socket in this network namespace as long as all records exceed what
    /// is charged: some of them must be gone.
    fn remove_stale(&mut self) {
        let mut recorded: usize = self.clients.values().map(|record| record.bytes).sum();
        self.clients.retain(|_, record| {
            let is_stale = record.seen == Seen::Nothing && self.charged < recorded;
            recorded -= if is_stale { record.bytes } else { 0 };
            !is_stale
        });
    }

    fn is_limited(&self) -> bool {
        self.size / UNLIMITED < self.charged
    }
}

/// Returns the number of bytes that a datagram of `len` bytes is charged for, or a little more: the
/// packet's descriptors, and memory in powers of two up to 32 KiB, in pages above
/// (`sock_alloc_send_pskb` in net/core/sock.c).
fn cost(len: usize) -> usize {
    const DESCRIPTOR: usize = 256;
    const SHARED_INFO: usize = 320;
    const LINEAR_MAX: usize = 32 * 1024;
    const PAGES: usize = 8 * 1024;
    let linear = len + SHARED_INFO;
    if linear <= LINEAR_MAX { DESCRIPTOR + linear.next_power_of_two() } else { len + PAGES }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 16 << 20;
    const SMALL: usize = 100;
    const LARGE: usize = 64 * 1024;
    const USER: Option<u32> = Some(1000);

    fn client(number: usize) -> Address {
        UnixName::abstract_name(number.to_string()).into()
    }

    fn at_path(number: usize) -> Address {
        UnixName::path(number.to_string()).into()
    }

    fn time(millis: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_millis(millis))
    }

    /// Sends replies to a client until one is refused.
    fn fill(budget: &mut SendBudget, client: &Address, user: Option<u32>, len: usize) {
        while budget.admit(client, user, len).is_ok() {}
    }

    #[test]
    fn replies_are_unlimited_while_little_is_charged() {
        let mut budget = SendBudget::new(SIZE);
        for turn in 0..1000 {
            budget.begin(SIZE / UNLIMITED - 8 * cost(LARGE));
            (0..8).for_each(|_| assert_eq!(budget.admit(&client(1), USER, LARGE), Ok(()), "{turn}"));
            assert!(budget.clients.is_empty() && !budget.is_look_due(time(turn)));
        }
        // An empty buffer takes any message.
        let mut small = SendBudget::new(400_000);
        assert_eq!(small.admit(&client(1), USER, 256 * 1024), Ok(()));
    }

    #[test]
    fn sixty_clients_that_never_read_leave_space_for_others() {
        for len in [SMALL, LARGE] {
            let mut budget = SendBudget::new(SIZE);
            (0..60).for_each(|number| fill(&mut budget, &client(number), USER, len));
            (100..120).for_each(|number| assert_eq!(budget.admit(&client(number), USER, SMALL), Ok(())));
            assert_eq!(budget.admit(&client(0), USER, SMALL), Err(DropReason::Unread));
            assert!(budget.charged < SIZE * 3 / 4);
        }
    }

    #[test]
    fn a_user_with_any_number_of_clients_leaves_space_for_other_users() {
        let mut budget = SendBudget::new(SIZE);
        (0..10_000).for_each(|number| fill(&mut budget, &client(number), USER, SMALL));
        (0..10_000).for_each(|number| fill(&mut budget, &client(10_000 + number), Some(7), SMALL));
        assert!(budget.clients.len() < CLIENTS_MAX);
        assert_eq!(budget.admit(&client(30_000), Some(8), LARGE), Ok(()));
    }

    #[test]
    fn the_clients_of_a_user_have_half_of_the_free_records() {
        let mut budget = SendBudget::new(1 << 40);
        budget.begin(1 << 39);
        for (user, first, records) in [(1, 0, 512), (2, 10_000, 256), (3, 20_000, 128)] {
            let is_admitted =
                |number: &usize| budget.admit(&client(first + *number), Some(user), SMALL).is_ok();
            assert_eq!((0..2000).filter(is_admitted).count(), records);
        }
    }

    #[test]
    fn the_cost_is_a_power_of_two_up_to_32_kib_and_pages_above() {
        assert_eq!([cost(0), cost(192), cost(193)], [256 + 512, 256 + 512, 256 + 1024]);
        assert_eq!([cost(32_448), cost(32_449)], [256 + 32_768, 32_449 + 8192]);
    }

    #[test]
    fn a_client_may_fill_its_share_and_half_of_it_without_a_look() {
        const LEN: usize = 16_000;
        // A share is a 32nd of what is free.
        for (free, admitted, is_look_due) in [
            (32 * cost(LEN) - 1, Err(DropReason::Unread), true),
            (32 * cost(LEN), Ok(()), true),
            (64 * cost(LEN) - 1, Ok(()), true),
            (64 * cost(LEN), Ok(()), false),
        ] {
            let mut budget = SendBudget::new(SIZE);
            budget.begin(SIZE - free);
            assert_eq!(budget.admit(&client(1), USER, LEN), admitted, "{free}");
            assert_eq!(budget.is_look_due(time(0)), is_look_due, "{free}");
        }
    }

    #[test]
    fn a_client_that_has_read_gets_its_share_back() {
        let mut budget = SendBudget::new(SIZE);
        fill(&mut budget, &client(1), USER, SMALL);
        let held = budget.charged;
        for turn in 0..1000 {
            // Client 1 has not read, and client 2 has.
            fill(&mut budget, &client(2), USER, SMALL);
            let now = time(5 * turn);
            assert!(budget.is_look_due(now));
            budget.on_socket(&client(1), false);
            budget.on_socket(&client(2), true);
            budget.end_look(now, now, true);
            budget.begin(held);
            assert_eq!(budget.admit(&client(1), USER, SMALL), Err(DropReason::Unread));
            assert_eq!(budget.admit(&client(2), USER, SMALL), Ok(()));
            assert!(!budget.is_look_due(now), "a look has an interval");
        }
        budget.begin(SIZE / UNLIMITED);
        assert!(budget.clients.is_empty() && !budget.is_look_due(time(10_000)));
        assert_eq!(budget.admit(&client(1), USER, SMALL), Ok(()));
    }

    #[test]
    fn a_long_look_has_a_long_pause() {
        let mut budget = SendBudget::new(SIZE);
        fill(&mut budget, &client(1), USER, SMALL);
        budget.on_socket(&client(1), false);
        budget.end_look(time(0), time(100), true);
        assert!(budget.admit(&client(1), USER, SMALL).is_err());
        assert!(!budget.is_look_due(time(2099)) && budget.is_look_due(time(2100)));
    }

    #[test]
    fn a_path_of_two_sockets_is_empty_if_both_are() {
        for both in [[false, true], [true, false], [true, true]] {
            let mut budget = SendBudget::new(SIZE);
            fill(&mut budget, &at_path(1), USER, SMALL);
            both.iter().for_each(|&is_empty| budget.on_socket(&at_path(1), is_empty));
            budget.end_look(time(0), time(0), true);
            assert_eq!(budget.clients.is_empty(), both == [true, true]);
        }
    }

    #[test]
    fn clients_that_are_gone_have_no_record() {
        let mut budget = SendBudget::new(SIZE);
        budget.begin(SIZE / 2);
        assert_eq!(budget.admit(&client(1), USER, SMALL), Ok(()));
        (2..100).for_each(|number| assert_eq!(budget.admit(&at_path(number), USER, SMALL), Ok(())));
        budget.end_look(time(0), time(0), false);
        assert_eq!(budget.clients.len(), 99);
        // The clients with a path may be in another network namespace.
        budget.end_look(time(0), time(0), true);
        assert_eq!(budget.clients.len(), 98);
        budget.charged = 10 * cost(SMALL);
        budget.end_look(time(0), time(0), true);
        assert_eq!(budget.clients.len(), 10);
    }

    #[test]
    fn empty_replies_are_dropped_when_much_is_charged() {
        let mut budget = SendBudget::new(SIZE);
        assert_eq!(budget.admit(&client(1), USER, 0), Ok(()));
        budget.begin(SIZE / 2);
        assert_eq!(budget.admit(&client(1), USER, 0), Err(DropReason::Unread));
    }
}
