//! The clock of the loop, and the time of day as text.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use echosounder_proto::{Clock, LocalTime, Moment, MonoTime, Template, WallTime};
use jiff::Timestamp;
use jiff::tz::TimeZone;

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

/// Most bytes of a file that describes a time zone. The largest of the tz database has 4 KiB.
const ZONE_FILE_MAX: u64 = 64 * 1024;

/// The system's own zone, where TZ is not set.
const SYSTEM_ZONE: &str = "/etc/localtime";

/// Returns the time zone of TZ, or else of the system; UTC if that is none.
///
/// TZ may name any file, and TZDIR any folder: of what is not a regular file, or is too large to be a time zone, nothing
/// is read.
pub fn local_time_zone() -> TimeZone {
    let folder = env::var_os("TZDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let zone = match env::var_os("TZ") {
        Some(tz) => named_zone(&tz, folder.as_deref()),
        None if folder.is_some() => zone_in(Path::new(SYSTEM_ZONE)),
        None => Some(TimeZone::system()),
    };
    zone.unwrap_or(TimeZone::UTC)
}

/// The zone that a value of TZ stands for: a name of the tz database, which is in a folder of its own if one is given, a
/// file, or a rule (tzset(3)).
fn named_zone(tz: &OsStr, folder: Option<&Path>) -> Option<TimeZone> {
    let text = tz.to_str()?;
    let text = text.strip_prefix(':').unwrap_or(text);
    let name = text.rsplit_once("zoneinfo/").map_or(text, |(_, name)| name);
    let named = match folder {
        Some(folder) => zone_in(&folder.join(name)),
        None => TimeZone::get(name).ok(),
    };
    named
        .or_else(|| text.starts_with('/').then(|| zone_in(Path::new(text)))?)
        .or_else(|| TimeZone::posix(text).ok())
}

fn zone_in(path: &Path) -> Option<TimeZone> {
    TimeZone::tzif("", &zone_file(path).ok()?).ok()
}

/// The content of a file, if it can be that of a time zone.
fn zone_file(path: &Path) -> io::Result<Vec<u8>> {
    let about = path.metadata()?;
    // To open a pipe would wait for its other end, and files in /proc, which have no length, may have no end.
    if !about.is_file() || !(1..=ZONE_FILE_MAX).contains(&about.len()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut data = Vec::new();
    File::open(path)?.take(ZONE_FILE_MAX).read_to_end(&mut data)?;
    Ok(data)
}

/// Renders the time of day in the local zone once a second, and with it what stamps show of it.
#[derive(Debug)]
pub(crate) struct StampCache {
    zone: TimeZone,
    template: Template,
    host: Arc<str>,
    label: LocalTime,
    stamp: Option<Vec<u8>>,
}

impl StampCache {
    /// StampCache in the zone of TZ, or else of the system, from `wall` on.
    pub(crate) fn new(wall: WallTime, template: &Template, host: &Arc<str>) -> Self {
        let zone = local_time_zone();
        let label = render(&zone, wall);
        let stamp = template.render_per_second(&label, host);
        Self { zone, template: template.clone(), host: Arc::clone(host), label, stamp }
    }

    /// The stamp, if it is the same for all messages of this second.
    pub(crate) fn stamp(&self) -> Option<&[u8]> {
        self.stamp.as_deref()
    }

    pub(crate) fn current(&self) -> &LocalTime {
        &self.label
    }

    /// Goes to another time, forward or back.
    pub(crate) fn set(&mut self, wall: WallTime) {
        if wall.seconds() == self.label.wall.seconds() {
            self.label.wall = wall;
        } else {
            self.label = render(&self.zone, wall);
            self.stamp = self.template.render_per_second(&self.label, &self.host);
        }
    }
}

fn render(zone: &TimeZone, wall: WallTime) -> LocalTime {
    let seconds = i64::try_from(wall.seconds()).unwrap_or(i64::MAX);
    let local = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_zoned(zone.clone());
    LocalTime {
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
