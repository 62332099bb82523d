//! Histograms of a load's times.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Creates a histogram of nanoseconds up to one hour with three significant digits. Its memory is
/// allocated at once, so that recording allocates nothing.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("these bounds and this precision are valid")
}

/// Returns a time in nanoseconds.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
