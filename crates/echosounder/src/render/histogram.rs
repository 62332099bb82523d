//! Distributions as histograms of HdrHistogram, for its log format and for counts between limits.

use echosounder_client::Distribution;
use hdrhistogram::Histogram;

/// Times above one hour, in nanoseconds, count as one hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Significant decimal digits of values.
const DIGITS: u8 = 3;

/// Returns the times as a histogram in nanoseconds; negative times are there as zero.
pub(crate) fn of(times: &Distribution) -> Histogram<u64> {
    let mut histogram = Histogram::new(DIGITS).expect("three digits are a valid precision");
    for (nanos, count) in times.buckets() {
        // The histogram grows as needed, up to the longest time.
        let _ = histogram.record_n(u64::try_from(nanos).unwrap_or(0).min(LONGEST_NS), count);
    }
    histogram
}
