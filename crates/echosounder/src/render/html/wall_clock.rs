//! Ticks of a time axis at round times of the day, in the time zone of the report.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

const MILLI: i128 = 1_000_000;
const SECOND: i128 = 1_000 * MILLI;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;

/// Rather than a much longer step, this many times as many ticks as asked for are used.
const SLACK: f64 = 1.25;

/// Distances between two ticks, shortest first.
const STEPS: [i128; 33] = [
    MILLI,
    2 * MILLI,
    5 * MILLI,
    10 * MILLI,
    20 * MILLI,
    50 * MILLI,
    100 * MILLI,
    200 * MILLI,
    500 * MILLI,
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
    10 * DAY,
    20 * DAY,
    50 * DAY,
    100 * DAY,
];

/// Returns about `most` ticks within `span` nanoseconds after `start`, each with its distance from
/// the start in nanoseconds and its label. Spans below a few milliseconds have none: their labels
/// would be mostly digits.
pub(super) fn ticks(start: &ZonedDateTime, span: f64, most: usize) -> Vec<(f64, String)> {
    let Some(step) = STEPS.into_iter().find(|step| span <= *step as f64 * most as f64 * SLACK) else {
        return Vec::new();
    };
    if span < (2 * MILLI) as f64 {
        return Vec::new();
    }
    let local = start.timestamp().as_nanosecond() + i128::from(start.offset().seconds()) * SECOND;
    let first = local.div_euclid(step) * step + if local.rem_euclid(step) == 0 { 0 } else { step };
    (0..)
        .map(|number| first - local + number * step)
        .take_while(|distance| *distance as f64 <= span)
        .filter_map(|distance| Some((distance as f64, label(&after(start, distance)?, step))))
        .collect()
}

/// Returns the time of day, with decimals if the span is short, for a readout.
pub(super) fn reading(start: &ZonedDateTime, distance: f64, span: f64) -> Option<String> {
    #[expect(clippy::cast_possible_truncation, reason = "distances are far below 2^127")]
    let time = after(start, distance as i128)?;
    let format = match span {
        _ if span < 1e8 => "%H:%M:%S%.6f",
        _ if span < 1e11 => "%H:%M:%S%.3f",
        _ if span < DAY as f64 => "%H:%M:%S",
        _ => "%b %d %H:%M:%S",
    };
    Some(time.strftime(format).to_string())
}

/// Returns the time zone of the labels: `UTC+01:00`.
pub(super) fn zone(start: &ZonedDateTime) -> String {
    start.strftime("UTC%:z").to_string()
}

fn after(start: &ZonedDateTime, nanos: i128) -> Option<ZonedDateTime> {
    let distance = SignedDuration::try_from_nanos_i128(nanos)?;
    start.checked_add(distance).ok()
}

fn label(time: &ZonedDateTime, step: i128) -> String {
    let is_midnight = time.hour() == 0 && time.minute() == 0 && time.second() == 0;
    let format = match step {
        _ if MINUTE <= step && (DAY <= step || is_midnight) => "%b %d",
        _ if MINUTE <= step => "%H:%M",
        _ if SECOND <= step => "%H:%M:%S",
        _ if 100 * MILLI <= step => "%H:%M:%S%.1f",
        _ if 10 * MILLI <= step => "%H:%M:%S%.2f",
        _ => "%H:%M:%S%.3f",
    };
    time.strftime(format).to_string()
}

/// Returns a time in nanoseconds since the Unix epoch in a time zone.
pub(crate) fn zoned(unix_nanos: u64, zone: TimeZone) -> ZonedDateTime {
    // The greatest u64 is in the year 2554, which a timestamp can hold.
    Timestamp::from_nanosecond(i128::from(unix_nanos)).unwrap_or(Timestamp::MAX).to_zoned_datetime(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(start: &str, span_seconds: f64) -> Vec<String> {
        let start: ZonedDateTime = start.parse().unwrap();
        ticks(&start, span_seconds * 1e9, 6).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_times_of_the_day() {
        let start = "2026-11-27T20:20:29.3+01:00[+01:00]";
        assert_eq!(labels(start, 10.0), ["20:20:30", "20:20:32", "20:20:34", "20:20:36", "20:20:38"]);
        assert_eq!(
            labels(start, 0.5),
            ["20:20:29.3", "20:20:29.4", "20:20:29.5", "20:20:29.6", "20:20:29.7", "20:20:29.8"]
        );
        assert_eq!(labels(start, 3600.0), ["20:30", "20:40", "20:50", "21:00", "21:10", "21:20"]);
        assert_eq!(
            labels(start, 86_400.0 * 6.0),
            ["Nov 28", "Nov 29", "Nov 30", "Dec 01", "Dec 02", "Dec 03"]
        );
    }

    #[test]
    fn midnight_is_labelled_with_the_new_date() {
        let start = "2026-11-27T22:00:00+00:00[UTC]";
        assert_eq!(labels(start, 4.0 * 3600.0), ["22:00", "23:00", "Nov 28", "01:00", "02:00"]);
    }

    #[test]
    fn ticks_stand_where_their_times_are() {
        let start: ZonedDateTime = "2026-11-27T20:20:29.3+01:00[+01:00]".parse().unwrap();
        let positions: Vec<f64> = ticks(&start, 3e9, 6).into_iter().map(|(at, _)| at).collect();
        assert_eq!(positions, [0.2e9, 0.7e9, 1.2e9, 1.7e9, 2.2e9, 2.7e9]);
        assert!(ticks(&start, 1e6, 6).is_empty());
    }

    #[test]
    fn number_of_ticks_is_bounded() {
        let start: ZonedDateTime = "2026-11-27T20:20:29.3+01:00[+01:00]".parse().unwrap();
        for power in 7..16 {
            for digits in [1.0, 1.7, 4.2, 9.9] {
                let ticks = ticks(&start, digits * 10_f64.powi(power), 6);
                assert!((2..=8).contains(&ticks.len()), "{power} {digits}: {ticks:?}");
            }
        }
    }
}
