//! Chance that is the same in every run.

use std::hash::{BuildHasher, RandomState};

/// Pseudo-random numbers that depend on the seed alone: SplitMix64 by Steele, Lea and Flood.
///
/// ```
/// use echosounder_testkit::Random;
///
/// assert_eq!(Random::new(7).next_u64(), Random::new(7).next_u64());
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Returns the generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a seed that differs from run to run. The test must print it when it fails.
    pub fn fresh_seed() -> u64 {
        RandomState::new().hash_one(0)
    }

    /// Returns a number of the whole range.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number from 0 up to but not including `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }

    /// Returns `true` in this percentage of all cases.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Returns a number from 0 up to but not including 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a f64 holds exactly")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs of the reference implementation for seed 1234567.
    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let first = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([random.next_u64(), random.next_u64(), random.next_u64()], first);
    }

    #[test]
    fn shares_are_about_right() {
        let mut random = Random::new(5);
        let hits = (0..10_000).filter(|_| random.percent(20)).count();
        assert!((1900..2100).contains(&hits), "{hits}");
        assert!((0..10_000).all(|_| (0.0..1.0).contains(&random.unit())));
    }
}
