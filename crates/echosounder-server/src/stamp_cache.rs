//! The local time as text, rendered once per second instead of once per message.

use std::fmt::{self, Display, Write};
use std::sync::Arc;

use echosounder_proto::{LocalTime, Template, WallTime};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::time_zone::local_time_zone;

/// The current local time as text and, if it is the same for all messages of a second, the whole
/// timestamp prefix.
///
/// A new second allocates nothing. A buffer that is allocated and enlarged every second would leave
/// small free pieces behind, which glibc does not join until its arena is full: each thread would
/// grow for half an hour.
#[derive(Debug)]
pub(crate) struct StampCache {
    zone: TimeZone,
    template: Template,
    host: Arc<str>,
    time: LocalTime,
    prefix: Option<Vec<u8>>,
}

impl StampCache {
    /// Creates a cache for the local time zone at the time `wall`.
    pub(crate) fn new(wall: WallTime, template: &Template, host: &Arc<str>) -> Self {
        let zone = local_time_zone();
        let time = render(&zone, wall);
        let prefix = template.render_per_second(&time, host, Vec::new());
        Self { zone, template: template.clone(), host: Arc::clone(host), time, prefix }
    }

    /// Returns the rendered prefix if it is the same for all messages of this second.
    pub(crate) fn prefix(&self) -> Option<&[u8]> {
        self.prefix.as_deref()
    }

    /// Returns the current local time.
    pub(crate) fn time(&self) -> &LocalTime {
        &self.time
    }

    /// Sets the current time, which may be earlier than before.
    pub(crate) fn set(&mut self, wall: WallTime) {
        if wall.seconds() == self.time.wall.seconds() {
            self.time.wall = wall;
        } else {
            self.time = render(&self.zone, wall);
            let buffer = self.prefix.take().unwrap_or_default();
            self.prefix = self.template.render_per_second(&self.time, &self.host, buffer);
        }
    }
}

fn render(zone: &TimeZone, wall: WallTime) -> LocalTime {
    let seconds = i64::try_from(wall.seconds()).unwrap_or(i64::MAX);
    let local = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_zoned_datetime(zone.clone());
    LocalTime {
        wall,
        ctime: bytes(local.strftime("%a %b %e %H:%M:%S %Y")),
        date_time: bytes(local.strftime("%Y-%m-%dT%H:%M:%S")),
        // RFC 3339 has no seconds in an offset, so they are cut off.
        offset: bytes(local.strftime("%:z")),
    }
}

/// Returns the first `N` bytes of a text that has them: years have four digits as far as jiff's
/// calendar reaches.
fn bytes<const N: usize>(text: impl Display) -> [u8; N] {
    let mut first = FirstBytes { bytes: [0; N], len: 0 };
    match write!(first, "{text}") {
        Ok(()) if first.len == N => first.bytes,
        _ => [b'?'; N],
    }
}

/// The first `N` bytes of what is written.
struct FirstBytes<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Write for FirstBytes<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let len = text.len().min(N - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local_time(zone: &str, seconds: u64) -> String {
        let zone = TimeZone::get(zone).unwrap();
        let time = render(&zone, WallTime::from_nanos(seconds * 1_000_000_000));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        format!("{} | {}{}", text(&time.ctime), text(&time.date_time), text(&time.offset))
    }

    #[test]
    fn changes_of_the_zone_offset_are_followed() {
        let [before, after] = [1_792_889_999, 1_792_890_000].map(|time| local_time("Europe/Berlin", time));
        assert_eq!(before, "Sun Oct 25 02:59:59 2026 | 2026-10-25T02:59:59+02:00");
        assert_eq!(after, "Sun Oct 25 02:00:00 2026 | 2026-10-25T02:00:00+01:00");
    }

    #[test]
    fn days_are_padded_with_a_space() {
        let time = local_time("UTC", 1_793_534_706);
        assert_eq!(time, "Sun Nov  1 12:05:06 2026 | 2026-11-01T12:05:06+00:00");
    }

    #[test]
    fn every_time_can_be_rendered() {
        for (seconds, expected) in [
            (0, "Thu Jan  1 00:00:00 1970 | 1970-01-01T00:00:00+00:00"),
            (4_294_967_296, "Sun Feb  7 06:28:16 2106 | 2106-02-07T06:28:16+00:00"),
            (9_999_999_999, "Sat Nov 20 17:46:39 2286 | 2286-11-20T17:46:39+00:00"),
        ] {
            assert_eq!(local_time("UTC", seconds), expected);
        }
    }

    #[test]
    fn the_prefix_has_the_same_buffer_in_every_second() {
        let at = |second: u64| WallTime::from_nanos(second * 1_000_000_000);
        let template = "[{ctime}] {host} ".parse().unwrap();
        let mut cache = StampCache::new(at(0), &template, &"host".into());
        let mut buffers: Vec<_> = (1..100)
            .map(|second| {
                cache.set(at(second));
                cache.prefix().unwrap().as_ptr()
            })
            .collect();
        buffers.dedup();
        assert_eq!(buffers.len(), 1);
    }

    #[test]
    fn texts_that_are_too_short_are_question_marks() {
        assert_eq!((bytes("abc"), bytes("abcd"), bytes("ab")), (*b"abc", *b"abc", *b"???"));
    }

    #[test]
    fn the_prefix_follows_the_clock_forwards_and_backwards() {
        let at = |nanos| WallTime::from_nanos(nanos);
        let mut cache = StampCache::new(at(5_000_000_001), &Template::ctime(), &"host".into());
        let first = cache.time().clone();
        let check_prefix = |cache: &StampCache| {
            let prefix = [b"[", &cache.time().ctime[..], b"] "].concat();
            assert_eq!(cache.prefix(), Some(&prefix[..]));
        };
        check_prefix(&cache);
        cache.set(at(5_999_999_999));
        assert_eq!((cache.time().ctime, cache.time().wall), (first.ctime, at(5_999_999_999)));
        cache.set(at(6_000_000_000));
        assert_ne!(cache.time().ctime, first.ctime);
        check_prefix(&cache);
        cache.set(at(5_000_000_001));
        check_prefix(&cache);
        assert_eq!(cache.time(), &first);
    }
}
