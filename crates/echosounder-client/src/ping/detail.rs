//! How much is remembered of each target, depending on how many there are.

use crate::distribution::Distribution;

/// Up to so many targets are measured in full detail.
const FULL_TARGETS_MAX: usize = 64;

/// How much the statistics of a target may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Percentiles with three digits, and up to 1,024 points over time.
    Full,
    /// What fits into 16 KiB for a target: percentiles with about one digit, and up to 31 points
    /// over time.
    Compact,
}

impl Detail {
    /// Returns the detail in which that many targets are measured.
    pub(super) fn of_targets(count: usize) -> Self {
        if count <= FULL_TARGETS_MAX { Self::Full } else { Self::Compact }
    }

    /// Returns an empty distribution for delays.
    pub(super) fn distribution(self) -> Distribution {
        match self {
            Self::Full => Distribution::default(),
            Self::Compact => Distribution::with_buckets_max(63),
        }
    }

    /// Returns an empty distribution for times that matter less than delays.
    pub(super) fn minor_distribution(self) -> Distribution {
        match self {
            Self::Full => Distribution::default(),
            Self::Compact => Distribution::with_buckets_max(15),
        }
    }

    /// Returns an empty distribution for times of the kernel, which show how precise delays are.
    pub(super) fn coarse_distribution(self) -> Distribution {
        match self {
            Self::Full => Distribution::default(),
            Self::Compact => Distribution::with_buckets_max(7),
        }
    }

    /// Returns how many points a series may have.
    pub(super) fn points_max(self) -> usize {
        match self {
            Self::Full => 1024,
            Self::Compact => 31,
        }
    }

    /// Returns how many replies of a peer with an unrelated clock wait until more is known of the
    /// clock.
    pub(super) fn pending_max(self) -> usize {
        match self {
            Self::Full => 64,
            // One more waits for a moment, and eight fill the memory of a queue that has doubled.
            Self::Compact => 7,
        }
    }
}
