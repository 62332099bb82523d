//! Axes of figures: the position of a value, and round values to label.

/// How values map to positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Linear,
    Log,
    /// Shares of a sample by their distance from the whole: 0 to 0.9 takes as much space as 0.9 to
    /// 0.99.
    Nines,
}

/// An axis from its lowest to its highest value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// Returns an axis on which equal differences have equal lengths.
    pub(super) fn linear(low: f64, high: f64) -> Self {
        Self { scale: Scale::Linear, low, high: if low < high { high } else { low + 1.0 } }
    }

    /// Returns a linear axis that begins and ends at round values.
    pub(super) fn rounded(low: f64, high: f64, most: usize) -> Self {
        let axis = Self::linear(low, high);
        let step = round_step(axis.high - axis.low, most);
        Self::linear((axis.low / step).floor() * step, (axis.high / step).ceil() * step)
    }

    /// Returns an axis on which equal ratios have equal lengths. Values are above zero.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let low = low.max(f64::MIN_POSITIVE);
        Self { scale: Scale::Log, low, high: if low < high { high } else { low * 2.0 } }
    }

    /// Returns an axis for the shares of `count` values, up to half a value below the whole.
    pub(super) fn nines(count: u64) -> Self {
        Self { scale: Scale::Nines, low: 0.0, high: 1.0 - 0.5 / count.max(1) as f64 }
    }

    /// Returns the lowest value.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// Returns the highest value.
    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// Returns whether the axis is logarithmic.
    pub(super) fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }

    /// Returns the position of a value from 0 to 1. A value beyond an end has the position of that
    /// end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let [low, at, high] =
            [self.low, value.clamp(self.low, self.high), self.high].map(|value| self.transform(value));
        (at - low) / (high - low)
    }

    /// Returns the value at a position from 0 to 1.
    pub(super) fn value(&self, position: f64) -> f64 {
        let (low, high) = (self.transform(self.low), self.transform(self.high));
        let at = low + position * (high - low);
        match self.scale {
            Scale::Linear => at,
            Scale::Log => at.exp(),
            Scale::Nines => -(-at).exp_m1(),
        }
    }

    fn transform(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.ln(),
            Scale::Nines => -(-value).ln_1p(),
        }
    }

    /// Returns round values to label, about `most` of them.
    pub(super) fn ticks(&self, most: usize) -> Vec<f64> {
        let ticks = match self.scale {
            Scale::Linear => steps(self.low, self.high, most),
            Scale::Log => self.decades(most),
            Scale::Nines => (1..19).map(nines).collect(),
        };
        let slack = (self.high - self.low) * 1e-9;
        ticks.into_iter().filter(|tick| (self.low - slack..=self.high + slack).contains(tick)).collect()
    }

    /// Returns 1, 2 and 5 of each power of ten, or fewer of them; within a short range, steps of
    /// equal length.
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

/// Returns the share of a tick by its number: a half, then one nine, two nines and so on.
fn nines(tick: i32) -> f64 {
    match tick {
        1 => 0.5,
        _ => 1.0 - 10_f64.powi(1 - tick),
    }
}

/// Returns the multiples of a round step between two values.
fn steps(low: f64, high: f64, most: usize) -> Vec<f64> {
    let step = round_step(high - low, most);
    let first = (low / step - 1e-9).ceil();
    // Beyond 2^53 steps from zero, two consecutive multiples are the same number.
    (0..=2 * u32::try_from(most).unwrap_or(1))
        .map(|number| (first + f64::from(number)) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        .collect()
}

/// Returns the smallest of 1, 2, 5, 10 and so on that divides the span into at most `most` steps.
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
    fn number_of_ticks_is_bounded() {
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
    fn positions_and_values_are_inverses_and_stay_on_the_axis() {
        for axis in [Axis::linear(-2.0, 7.0), Axis::log(0.5, 9000.0), Axis::nines(1_000_000_000)] {
            assert_eq!([axis.position(axis.low()), axis.position(axis.high())], [0.0, 1.0]);
            assert_eq!([axis.position(-1e9), axis.position(1e9)], [0.0, 1.0]);
            for position in [0.0, 0.1, 0.5, 0.9, 1.0] {
                let again = axis.position(axis.value(position));
                assert!((again - position).abs() < 1e-6, "{axis:?} at {position}");
            }
        }
        assert!((Axis::nines(500).position(0.9) - Axis::nines(500).position(0.99) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn axis_of_one_value_has_finite_positions() {
        for axis in [Axis::linear(5.0, 5.0), Axis::rounded(0.0, 0.0, 5), Axis::log(3.0, 3.0), Axis::nines(0)]
        {
            assert!(axis.position(axis.low()).is_finite() && axis.position(4.0).is_finite(), "{axis:?}");
        }
    }
}
