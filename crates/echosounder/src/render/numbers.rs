//! How numbers are written: groups of thousands, durations, percentages and units. Every format for
//! people uses these functions, so that the same value looks the same in a terminal and in an HTML
//! report.

use std::time::Duration;

/// Returns a number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position != 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns a count and its noun: `1 message`, `2,000 messages`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Returns a rate per second: three decimals below ten, whole numbers from there.
pub(crate) fn rate(per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are positive and below 2^64"
    )]
    if per_second < 10.0 { format!("{per_second:.3}") } else { grouped(per_second.round() as u64) }
}

/// Returns a share from 0 to 1 as a whole percentage: `58 %`.
pub(crate) fn percentage(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Returns the percentage that a part is of a whole: never `0` for a part that exists, nor `100`
/// for a part that is not the whole.
pub(crate) fn percentage_of(part: u64, whole: u64) -> String {
    let percent = part as f64 / whole.max(1) as f64 * 100.0;
    match percent {
        _ if part == 0 => "0".to_owned(),
        _ if percent < 0.01 => "<0.01".to_owned(),
        _ if part != whole && 99.99 < percent => ">99.99".to_owned(),
        _ => ((percent * 100.0).round() / 100.0).to_string(),
    }
}

/// Returns nanoseconds as milliseconds with three decimals and without the unit.
pub(crate) fn millis(nanos: f64) -> String {
    format!("{:.3}", nanos / 1e6)
}

/// Returns nanoseconds as milliseconds with three decimals: `0.274 ms`.
pub(crate) fn in_millis(nanos: f64) -> String {
    format!("{} ms", millis(nanos))
}

/// Returns a duration as its shortest notation with one unit: `200 ms`, `1.5 s`.
pub(crate) fn duration(time: Duration) -> String {
    let text = format!("{time:?}");
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    format!("{} {}", &text[..unit], &text[unit..])
}

/// Returns whole nanoseconds; a duration of more than 584 years becomes the greatest number.
pub(crate) fn whole_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns a duration in nanoseconds for arithmetic and for axes.
pub(crate) fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// Returns a delay in the unit that fits it: `412 µs`, `5.281 ms`.
pub(crate) fn delay(nanos: f64) -> String {
    let unit = Unit::for_delay(nanos);
    format!("{} {}", unit.brief(nanos), unit.name)
}

/// Returns how long something lasted in the unit that fits it: `30 s`, `2.5 h`.
pub(crate) fn span(nanos: f64) -> String {
    let unit = Unit::for_span(nanos);
    format!("{} {}", unit.brief(nanos), unit.name)
}

/// Returns a value without the digits that floating-point arithmetic has added.
pub(crate) fn plain(value: f64) -> String {
    let rounded = format!("{value:.9e}").parse::<f64>().unwrap_or(value);
    with_minus(if rounded == 0.0 { "0".to_owned() } else { rounded.to_string() })
}

/// Replaces a leading hyphen with a minus sign, which has the width of a plus sign.
fn with_minus(number: String) -> String {
    number.strip_prefix('-').map(|number| format!("−{number}")).unwrap_or(number)
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    nanos: f64,
}

impl Unit {
    /// The units of delays, shortest first, each with the shortest delay that is written in it.
    const DELAYS: [(Self, f64); 4] = [
        (Self { name: "ns", nanos: 1.0 }, 0.0),
        (Self { name: "µs", nanos: 1e3 }, 1e3),
        (Self { name: "ms", nanos: 1e6 }, 1e6),
        (Self { name: "s", nanos: 1e9 }, 1e10),
    ];

    /// The units of lengths of time, likewise.
    const SPANS: [(Self, f64); 6] = [
        (Self { name: "µs", nanos: 1e3 }, 0.0),
        (Self { name: "ms", nanos: 1e6 }, 1e6),
        (Self { name: "s", nanos: 1e9 }, 2e9),
        (Self { name: "min", nanos: 6e10 }, 1.8e11),
        (Self { name: "h", nanos: 3.6e12 }, 1.08e13),
        (Self { name: "d", nanos: 8.64e13 }, 2.592e14),
    ];

    /// Returns the unit for delays of this length and more.
    pub(crate) fn for_delay(nanos: f64) -> Self {
        Self::fitting(&Self::DELAYS, nanos)
    }

    /// Returns the unit for the length of a run.
    pub(crate) fn for_span(nanos: f64) -> Self {
        Self::fitting(&Self::SPANS, nanos)
    }

    fn fitting(units: &[(Self, f64)], nanos: f64) -> Self {
        let fits = units.iter().rev().find(|(_, least)| *least <= nanos);
        fits.unwrap_or(&units[0]).0
    }

    /// Converts nanoseconds to this unit.
    fn convert(self, nanos: f64) -> f64 {
        nanos / self.nanos
    }

    /// Returns a round time in this unit with no more digits than it has.
    pub(crate) fn plain(self, nanos: f64) -> String {
        plain(self.convert(nanos))
    }

    /// Returns a measured time in this unit with three decimals; nanoseconds have none.
    pub(crate) fn measured(self, nanos: f64) -> String {
        let decimals = if self.nanos == 1.0 { 0 } else { 3 };
        with_minus(format!("{:.decimals$}", self.convert(nanos)))
    }

    /// Returns a time in this unit with four significant digits.
    pub(crate) fn brief(self, nanos: f64) -> String {
        let value = self.convert(nanos);
        let decimals = match value.abs() {
            _ if self.nanos == 1.0 => 0,
            value if value < 10.0 => 3,
            value if value < 100.0 => 2,
            value if value < 1000.0 => 1,
            _ => 0,
        };
        with_minus(format!("{value:.decimals$}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 12, 999, 1000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!([0.5, 9.9996, 10.0, 1234.6].map(rate), ["0.500", "10.000", "10", "1,235"]);
    }

    #[test]
    fn counts_take_the_right_number_of_their_noun() {
        assert_eq!([0, 1, 2000].map(|count| counted(count, "byte")), ["0 bytes", "1 byte", "2,000 bytes"]);
    }

    #[test]
    fn percentages_are_never_rounded_to_nothing_or_to_everything() {
        let cases = [(0, 10), (1, 1_000_000), (1, 3), (999_999, 1_000_000), (5, 5), (0, 0)];
        let expected = ["0", "<0.01", "33.33", ">99.99", "100", "0"];
        assert_eq!(cases.map(|(part, whole)| percentage_of(part, whole)), expected);
    }

    #[test]
    fn durations_have_one_unit() {
        let texts = [Duration::from_millis(200), Duration::from_micros(1500), Duration::from_secs(60)];
        assert_eq!(texts.map(duration), ["200 ms", "1.5 ms", "60 s"]);
    }

    #[test]
    fn times_are_written_in_the_unit_that_fits() {
        assert_eq!(
            [0.0, 999.0, 1e3, 2e6, 5e9, 2e10].map(|nanos| Unit::for_delay(nanos).name),
            ["ns", "ns", "µs", "ms", "ms", "s"]
        );
        assert_eq!([1e8, 6e10, 6e11, 9e13].map(|nanos| Unit::for_span(nanos).name), ["ms", "s", "min", "h"]);
        let ms = Unit::for_delay(1e6);
        assert_eq!(
            [0.0, 2e5, 6.000_000_000_001e5, 2.5e9, -5e5].map(|nanos| ms.plain(nanos)),
            ["0", "0.2", "0.6", "2500", "−0.5"]
        );
        assert_eq!([412_345.0, 4.12e9].map(|nanos| ms.measured(nanos)), ["0.412", "4120.000"]);
        assert_eq!([412_345.0, 41.21e6, 4.12e9].map(|nanos| ms.brief(nanos)), ["0.412", "41.21", "4120"]);
    }
}
