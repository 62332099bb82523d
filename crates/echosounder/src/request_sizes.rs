//! The sizes of the requests of a ping.

/// The size of requests in bytes, or a range of sizes that are measured one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestSizes {
    pub(crate) min: usize,
    /// At least `min`.
    pub(crate) max: usize,
    /// The difference between a size and the next; at least 1.
    pub(crate) step: usize,
}

impl RequestSizes {
    /// The most sizes of a range.
    pub(crate) const COUNT_MAX: usize = 1000;

    /// Returns whether it is a range.
    pub(crate) fn is_range(self) -> bool {
        self.min < self.max
    }

    /// Returns the number of sizes.
    pub(crate) fn count(self) -> usize {
        (self.max - self.min) / self.step + 1
    }

    /// Returns the sizes from the smallest on. The last one is `max` if the step leads there.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        (self.min..=self.max).step_by(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rise_by_the_step() {
        let sizes = RequestSizes { min: 100, max: 130, step: 12 };
        assert_eq!(sizes.iter().collect::<Vec<_>>(), [100, 112, 124]);
        assert_eq!(sizes.count(), 3);
        let one = RequestSizes { min: 64, max: 64, step: 1 };
        assert_eq!((one.iter().collect::<Vec<_>>(), one.count(), one.is_range()), (vec![64], 1, false));
    }
}
