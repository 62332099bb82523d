//! Scales of figures: where a value stands, which values are marked, and how they are written.

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
    /// Shares of all, by how few are beyond: as far from 0 to 0.9 as from 0.9 to 0.99.
    Nines,
}

/// An axis: what it begins and ends with, and how it goes on between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// All steps are equally long.
    pub(super) fn linear(low: f64, high: f64) -> Self {
        Self { scale: Scale::Linear, low, high: if low < high { high } else { low + 1.0 } }
    }

    /// It ends at round values.
    pub(super) fn rounded(low: f64, high: f64, most: usize) -> Self {
        let axis = Self::linear(low, high);
        let step = round_step(axis.high - axis.low, most);
        Self::linear((axis.low / step).floor() * step, (axis.high / step).ceil() * step)
    }

    /// Each step is so many times the one before; values are above zero.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let low = low.max(f64::MIN_POSITIVE);
        Self { scale: Scale::Log, low, high: if low < high { high } else { low * 2.0 } }
    }

    /// Shares of so many values, up to that which only the greatest exceeds by half.
    pub(super) fn nines(count: u64) -> Self {
        Self { scale: Scale::Nines, low: 0.0, high: 1.0 - 0.5 / count.max(1) as f64 }
    }

    /// What it begins with.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// What it ends with.
    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// Whether values are laid out by their logarithm.
    pub(super) fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }

    /// Where a value stands, from 0 to 1; what is beyond an end stands there.
    pub(super) fn place(&self, value: f64) -> f64 {
        let [low, at, high] =
            [self.low, value.clamp(self.low, self.high), self.high].map(|value| self.lay(value));
        (at - low) / (high - low)
    }

    /// The value that stands at a place from 0 to 1.
    pub(super) fn value(&self, place: f64) -> f64 {
        let (low, high) = (self.lay(self.low), self.lay(self.high));
        let at = low + place * (high - low);
        match self.scale {
            Scale::Linear => at,
            Scale::Log => at.exp(),
            Scale::Nines => -(-at).exp_m1(),
        }
    }

    fn lay(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.ln(),
            Scale::Nines => -(-value).ln_1p(),
        }
    }

    /// Round values to mark, not many more than `most`.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let ticks = match self.scale {
            Scale::Linear => steps(self.low, self.high, most),
            Scale::Log => self.decades(most),
            Scale::Nines => (1..19).map(nines).collect(),
        };
        let slack = (self.high - self.low) * 1e-9;
        ticks.into_iter().filter(|tick| (self.low - slack..=self.high + slack).contains(tick)).collect()
    }

    /// 1, 2 and 5 of each power of ten, or fewer of them; within a short range, steps of equal length.
    fn decades(&self, most: usize) -> Vec<f64> {
        let span = (self.high / self.low).log10();
        if span < 0.8 {
            return steps(self.low, self.high, most);
        }
        let each: &[f64] = match most as f64 / span {
            many if 3.0 <= many => &[1.0, 2.0, 5.0],
            many if 2.0 <= many => &[1.0, 3.0],
            _ => &[1.0],
        };
        let every = (span / most as f64).ceil().max(1.0);
        let first = (self.low.log10() / every).floor() * every;
        let powers = (0..=64).map(|step| first + f64::from(step) * every);
        let powers = powers.take_while(|power| *power <= self.high.log10());
        powers.flat_map(|power| each.iter().map(move |digit| digit * 10_f64.powf(power))).collect()
    }
}

/// The share that the tick of a number has: half of all, then one nine, two, three …
fn nines(tick: i32) -> f64 {
    match tick {
        1 => 0.5,
        _ => 1.0 - 10_f64.powi(1 - tick),
    }
}

/// The multiples of a round step between two values.
fn steps(low: f64, high: f64, most: usize) -> Vec<f64> {
    let step = round_step(high - low, most);
    let first = (low / step - 1e-9).ceil();
    // Beyond 2^53 steps from zero a multiple is no longer told from the next.
    (0..=2 * u32::try_from(most).unwrap_or(1))
        .map(|number| (first + f64::from(number)) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        .collect()
}

/// The least of 1, 2, 5, 10 … of which at most so many make the span.
fn round_step(span: f64, most: usize) -> f64 {
    let least = span / most.max(1) as f64;
    let power = 10_f64.powf(least.log10().floor());
    let digits = [1.0, 2.0, 5.0].into_iter().find(|digits| least <= digits * power * (1.0 + 1e-9));
    digits.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(Axis::linear(0.0, 1.0).ticks(5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(Axis::linear(3.0, 18.0).ticks(4), [5.0, 10.0, 15.0]);
        assert_eq!(Axis::linear(-1.0, 1.0).ticks(4), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(Axis::log(1.0, 100.0).ticks(9), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(Axis::log(1e3, 1e9).ticks(6), [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]);
        assert_eq!(Axis::log(1000.0, 1010.0).ticks(5), [1000.0, 1002.0, 1004.0, 1006.0, 1008.0, 1010.0]);
        assert_eq!(Axis::nines(1000).ticks(9), [0.5, 0.9, 0.99, 0.999]);
    }

    #[test]
    fn there_are_never_many_ticks_nor_none() {
        let spans = (-3..12).flat_map(|power| [1.0, 1.7, 4.2, 9.9].map(|digits| digits * 10_f64.powi(power)));
        for span in spans {
            for axis in
                [Axis::linear(0.0, span), Axis::linear(-span, span), Axis::rounded(0.3 * span, span, 5)]
            {
                assert!((2..=6).contains(&axis.ticks(5).len()), "{axis:?}: {:?}", axis.ticks(5));
            }
            let log = Axis::log(1.0, 1.0 + span);
            assert!((1..=8).contains(&log.ticks(6).len()), "{log:?}: {:?}", log.ticks(6));
        }
    }

    #[test]
    fn places_and_values_are_inverses_and_nothing_leaves_the_axis() {
        for axis in [Axis::linear(-2.0, 7.0), Axis::log(0.5, 9000.0), Axis::nines(1_000_000_000)] {
            assert_eq!([axis.place(axis.low()), axis.place(axis.high())], [0.0, 1.0]);
            assert_eq!([axis.place(-1e9), axis.place(1e9)], [0.0, 1.0]);
            for place in [0.0, 0.1, 0.5, 0.9, 1.0] {
                assert!((axis.place(axis.value(place)) - place).abs() < 1e-6, "{axis:?} at {place}");
            }
        }
        assert!((Axis::nines(500).place(0.9) - Axis::nines(500).place(0.99) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn an_axis_of_nothing_is_still_one() {
        for axis in [Axis::linear(5.0, 5.0), Axis::rounded(0.0, 0.0, 5), Axis::log(3.0, 3.0), Axis::nines(0)]
        {
            assert!(axis.place(axis.low()).is_finite() && axis.place(4.0).is_finite(), "{axis:?}");
        }
    }
}
