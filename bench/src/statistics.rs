//! Medians and their confidence intervals.

/// Pseudo-random numbers for shuffling and resampling (Knuth's MMIX).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// Returns the numbers below `count` in random order (Fisher and Yates).
    pub fn shuffled(&mut self, count: usize) -> Vec<usize> {
        let mut numbers: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            numbers.swap(last, self.below(last + 1));
        }
        numbers
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

/// A confidence interval.
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Returns the 95 % bootstrap interval of the median, from ten thousand resamples.
pub fn interval(values: &[f64], random: &mut Random) -> Interval {
    let draw =
        |random: &mut Random| median(values.iter().map(|_| values[random.below(values.len())]).collect());
    let mut medians: Vec<f64> = (0..10_000).map(|_| draw(random)).collect();
    medians.sort_by(f64::total_cmp);
    Interval { low: medians[250], high: medians[9_749] }
}
