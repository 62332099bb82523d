//! The direction in which packets were lost, from the sequence numbers of a stateful reflector.

/// Sequence numbers that are remembered, to recognise those that come out of order or twice.
const REMEMBERED: u64 = 128;

/// A request may be overtaken by fewer than this many later ones before the first reply arrives.
const OVERTAKING: u64 = 16;

/// How many requests and replies were lost in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossDirection {
    /// Requests that did not reach the reflector.
    pub up: u64,
    /// Requests whose replies did not reach the sender.
    pub down: u64,
    /// Lost requests whose direction is unknown: no later reply has arrived, or the reflector was
    /// restarted meanwhile.
    pub unknown: u64,
}

/// Finds out in which direction packets are lost.
///
/// A stateful reflector numbers its replies by session. If it has sent as many replies as requests
/// were sent, those that are missing were lost on the way back, and otherwise on the way there. A
/// stateless reflector repeats the numbers of the requests, from which no direction follows, and it
/// cannot be told from a stateful one before a request is lost. So there is no result until the
/// numbers differ once, or the reflector is [known](Self::confirm_stateful) to be stateful.
///
/// ```
/// use echosounder_proto::stamp::{LossDirection, LossDirections};
///
/// let mut losses = LossDirections::new();
/// // Of five requests, 1 was lost on the way there, the reply to 2 on the way back, and 4 somewhere.
/// for (sequence, count) in [(0, 0), (3, 2)] {
///     losses.replied(sequence, count);
/// }
/// assert_eq!(losses.direction(3), Some(LossDirection { up: 1, down: 1, unknown: 1 }));
/// ```
#[derive(Clone, Debug, Default)]
pub struct LossDirections {
    is_stateful: bool,
    /// Losses before the reflector last restarted.
    earlier: LossDirection,
    epoch: Option<Epoch>,
}

/// The replies since the reflector began to count.
#[derive(Clone, Debug)]
struct Epoch {
    sequences: Numbers,
    counts: Numbers,
    /// The first request that may belong to the epoch.
    least: u64,
    /// The first request and the first count that belong to it, as far as is known.
    first_sequence: u64,
    first_count: u64,
    /// Requests that were replied to.
    replied: u64,
    /// Requests that the network duplicated on the way there.
    duplicated: u64,
}

impl LossDirections {
    /// Creates the result of no reply.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the reflector is stateful.
    pub fn confirm_stateful(&mut self) {
        self.is_stateful = true;
    }

    /// Takes notice of a reply: the sequence number of the request, and that of the reflector. They
    /// may come in any order and more than once, and begin at zero again after 2³².
    pub fn replied(&mut self, sequence: u32, count: u32) {
        self.is_stateful |= sequence != count;
        let Some(epoch) = &mut self.epoch else {
            self.epoch = Some(Epoch::new(u64::from(sequence), count, 0));
            return;
        };
        let (sequence, count_here) = (epoch.sequences.extend(sequence), epoch.counts.extend(count));
        if epoch.has_ended(sequence, count_here) {
            let lost = epoch.lost();
            self.earlier.up += lost.up;
            self.earlier.down += lost.down;
            self.epoch = sequence.map(|sequence| Epoch::new(sequence, count, epoch.sequences.highest + 1));
        } else if let (Some(sequence), Some(count)) = (sequence, count_here) {
            epoch.add(sequence, count);
        }
    }

    /// Returns the direction of the loss of `lost` requests, which do not include those with a late
    /// reply. Returns `None` if the reflector is not known to be stateful.
    pub fn direction(&self, lost: u64) -> Option<LossDirection> {
        let current = self.epoch.as_ref().filter(|_| self.is_stateful)?.lost();
        let up = lost.min(self.earlier.up + current.up);
        let down = (lost - up).min(self.earlier.down + current.down);
        Some(LossDirection { up, down, unknown: lost - up - down })
    }
}

impl Epoch {
    /// Creates an epoch whose first known reply has these numbers.
    fn new(sequence: u64, count: u32, least: u64) -> Self {
        let count = u64::from(count);
        let (first_sequence, first_count) = beginning(sequence, count, least);
        let (sequences, counts) = (Numbers::new(sequence), Numbers::new(count));
        Self { sequences, counts, least, first_sequence, first_count, replied: 1, duplicated: 0 }
    }

    /// Returns whether these numbers cannot follow those before: a reflector that restarts, or that
    /// has evicted the session, begins at zero again.
    fn has_ended(&self, sequence: Option<u64>, count: Option<u64>) -> bool {
        let Some(sequence) = sequence.filter(|sequence| self.sequences.highest < *sequence) else {
            // An old reply, or one with impossible numbers.
            return false;
        };
        let Some(count) = count else { return true };
        let new_requests = sequence - self.sequences.highest;
        let is_too_old = self.counts.is_forgotten(count) || count + OVERTAKING <= self.first_count;
        let is_too_high = self.counts.highest + new_requests + REMEMBERED < count;
        is_too_old || is_too_high || self.counts.contains(count)
    }

    fn add(&mut self, sequence: u64, count: u64) {
        if sequence < self.least {
            return;
        }
        if sequence < self.first_sequence || count < self.first_count {
            let first = (sequence.min(self.first_sequence), count.min(self.first_count));
            (self.first_sequence, self.first_count) = beginning(first.0, first.1, self.least);
        }
        match (self.counts.insert(count), self.sequences.insert(sequence)) {
            (true, true) => self.replied += 1,
            (true, false) => self.duplicated += 1,
            (false, _) => {}
        }
    }

    /// Returns the losses up to the highest sequence number that was replied to.
    fn lost(&self) -> LossDirection {
        let sent = self.sequences.highest + 1 - self.first_sequence;
        let received = (self.counts.highest + 1 - self.first_count).saturating_sub(self.duplicated);
        let up = sent.saturating_sub(received);
        LossDirection { up, down: (sent - up).saturating_sub(self.replied), unknown: 0 }
    }
}

/// Returns the first request and the first count of an epoch that has the given ones. Earlier requests
/// belong to it from `least` on, as many as the reflector has counted. If it has counted more than
/// that, it has continued a session.
fn beginning(sequence: u64, count: u64, least: u64) -> (u64, u64) {
    match count <= sequence - least {
        // The first epoch begins with the first request. A later one begins when the reflector has
        // restarted, which may be after requests that it never received.
        true if least == 0 => (0, 0),
        true => (sequence - count, 0),
        false => (sequence, count),
    }
}

/// Numbers of 32 bits, extended to 64, and which of the most recent have come.
#[derive(Clone, Debug)]
struct Numbers {
    highest: u64,
    /// Bit `n` stands for `highest - n`.
    recent: u128,
}

impl Numbers {
    fn new(first: u64) -> Self {
        Self { highest: first, recent: 1 }
    }

    /// Returns the number nearest to the highest that ends in these 32 bits; `None` if it would be
    /// negative.
    fn extend(&self, number: u32) -> Option<u64> {
        let era = 1_i128 << 32;
        let highest = i128::from(self.highest);
        let ahead = (i128::from(number) - highest + era / 2).rem_euclid(era) - era / 2;
        u64::try_from(highest + ahead).ok()
    }

    /// Returns whether the number is too old to know whether it has come.
    fn is_forgotten(&self, number: u64) -> bool {
        number + REMEMBERED <= self.highest
    }

    fn contains(&self, number: u64) -> bool {
        let ago = self.highest.checked_sub(number).and_then(|ago| u32::try_from(ago).ok());
        ago.and_then(|ago| self.recent.checked_shr(ago)).is_some_and(|recent| recent & 1 == 1)
    }

    /// Inserts a number. Returns whether it is new; one that is forgotten counts as new, since a
    /// reply that late is more likely than one that comes twice that late.
    fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        if self.highest < number {
            let shift = u32::try_from(number - self.highest).unwrap_or(u32::MAX);
            self.recent = self.recent.checked_shl(shift).unwrap_or(0) | 1;
            self.highest = number;
        } else if !self.is_forgotten(number) {
            let ago = u32::try_from(self.highest - number).unwrap_or(0);
            self.recent |= 1 << ago;
        }
        true
    }
}
