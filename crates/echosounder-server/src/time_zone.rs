//! The local time zone, from TZ or from the system.

use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::tz::TimeZone;

/// Maximum size of a time zone file in bytes. The largest file of the tz database has 4 KiB.
const ZONE_FILE_MAX: u64 = 64 * 1024;

/// The system's own time zone, used if TZ is not set.
const SYSTEM_ZONE: &str = "/etc/localtime";

/// Returns the time zone that TZ names, or else the system's, or else UTC. The first call of the
/// process reads it.
pub fn local_time_zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(read_local_time_zone).clone()
}

/// Reads the time zone. TZ may name any file and TZDIR any folder, so only regular files of a
/// plausible size are read.
fn read_local_time_zone() -> TimeZone {
    let folder = env::var_os("TZDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let zone = match env::var_os("TZ") {
        Some(tz) => named_zone(&tz, folder.as_deref()),
        None if folder.is_some() => zone_in(Path::new(SYSTEM_ZONE)),
        None => Some(TimeZone::system()),
    };
    zone.unwrap_or(TimeZone::UTC)
}

/// Returns the zone that a value of TZ stands for: a name of the tz database (in `folder` if one is
/// given), a file, or a rule; see tzset(3).
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
    TimeZone::tzif("", &read_zone_file(path).ok()?).ok()
}

/// Reads a file if it can be a time zone.
fn read_zone_file(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = path.metadata()?;
    // Opening a FIFO would wait for its other end. Files in /proc have the length 0 and may have no
    // end.
    if !metadata.is_file() || !(1..=ZONE_FILE_MAX).contains(&metadata.len()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut data = Vec::new();
    File::open(path)?.take(ZONE_FILE_MAX).read_to_end(&mut data)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn tz_is_a_name_a_file_or_a_rule() {
        let offset_seconds = |tz: &str| {
            let zone = named_zone(OsStr::new(tz), None)?;
            Some(zone.to_offset(Timestamp::from_second(1_792_890_000).unwrap()).seconds())
        };
        for tz in ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin", "CET-1"] {
            assert_eq!(offset_seconds(tz), Some(3600), "{tz}");
        }
        for tz in
            ["/dev/zero", ":/dev/zero", "/dev/tty", "/proc/kmsg", "/usr", "/etc/passwd", "Nowhere/At All", ""]
        {
            assert_eq!(offset_seconds(tz), None, "{tz}");
        }
    }

    #[test]
    fn large_files_and_fifos_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (large, fifo) = (folder.join("large"), folder.join("fifo"));
        File::create(&large).unwrap().set_len(ZONE_FILE_MAX + 1).unwrap();
        assert_eq!(read_zone_file(&large).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert_eq!(read_zone_file(&fifo).unwrap_err().kind(), io::ErrorKind::InvalidInput);

        fs::copy("/usr/share/zoneinfo/Europe/Berlin", folder.join("Berlin")).unwrap();
        let is_zone = |name: &str| named_zone(OsStr::new(name), Some(folder)).is_some();
        assert_eq!(["Berlin", "fifo", "large", "Nowhere"].map(is_zone), [true, false, false, false]);
    }
}
