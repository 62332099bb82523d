//! The clock of the loop, and the time of day as text.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use echosounder_proto::{Moment, MonoTime, Template, WallLabel, WallTime};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// What tells the time. Tests have one that can be stepped.
pub trait Clock {
    /// The time now, on both clocks.
    fn now(&self) -> Moment;
}

/// The system's clocks: CLOCK_REALTIME and CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "this is the loop's one clock")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the loop's one clock")]
    fn now(&self) -> Moment {
        // A clock set before 1970 shows 1970: a label may be wrong, but there is always one.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            wall: WallTime::from_nanos(u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)),
            mono: MonoTime::from_origin(self.origin.elapsed()),
        }
    }
}

/// Renders the time of day in the local zone once a second, and with it what stamps show of it.
#[derive(Debug)]
pub(crate) struct Labels {
    zone: TimeZone,
    template: Template,
    host: Arc<str>,
    label: WallLabel,
    stamp: Option<Vec<u8>>,
}

impl Labels {
    /// Labels in the zone of TZ, or else of the system, from `wall` on.
    pub(crate) fn new(wall: WallTime, template: &Template, host: &Arc<str>) -> Self {
        let zone = TimeZone::system();
        let label = render(&zone, wall);
        let stamp = template.of_the_second(&label, host);
        Self { zone, template: template.clone(), host: Arc::clone(host), label, stamp }
    }

    /// The stamp, if it is the same for all messages of this second.
    pub(crate) fn stamp(&self) -> Option<&[u8]> {
        self.stamp.as_deref()
    }

    pub(crate) fn current(&self) -> &WallLabel {
        &self.label
    }

    /// Goes to another time, forward or back.
    pub(crate) fn set(&mut self, wall: WallTime) {
        if wall.seconds() == self.label.wall.seconds() {
            self.label.wall = wall;
        } else {
            self.label = render(&self.zone, wall);
            self.stamp = self.template.of_the_second(&self.label, &self.host);
        }
    }
}

fn render(zone: &TimeZone, wall: WallTime) -> WallLabel {
    let seconds = i64::try_from(wall.seconds()).unwrap_or(i64::MAX);
    let local = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_zoned(zone.clone());
    WallLabel {
        wall,
        ctime: text(&local.strftime("%a %b %e %H:%M:%S %Y").to_string()),
        date_time: text(&local.strftime("%Y-%m-%dT%H:%M:%S").to_string()),
        // An offset that has seconds too is cut to RFC 3339's minutes.
        offset: text(&local.strftime("%:z").to_string()),
    }
}

/// The first `N` bytes of a text that has them: years have four digits, as far as the calendar here goes.
fn text<const N: usize>(text: &str) -> [u8; N] {
    text.as_bytes().first_chunk().copied().unwrap_or([b'?'; N])
}

#[cfg(test)]
mod tests;
