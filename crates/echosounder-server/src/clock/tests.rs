use jiff::tz::TimeZone;

use super::*;

fn label(zone: &str, seconds: u64) -> String {
    let zone = TimeZone::get(zone).unwrap();
    let label = render(&zone, WallTime::from_nanos(seconds * 1_000_000_000));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!("{} | {}{}", text(&label.ctime), text(&label.date_time), text(&label.offset))
}

#[test]
fn the_zone_is_followed_when_its_offset_changes() {
    assert_eq!(label("Europe/Berlin", 1_792_889_999), "Sun Oct 25 02:59:59 2026 | 2026-10-25T02:59:59+02:00");
    assert_eq!(label("Europe/Berlin", 1_792_890_000), "Sun Oct 25 02:00:00 2026 | 2026-10-25T02:00:00+01:00");
}

#[test]
fn days_are_padded_with_a_space() {
    assert_eq!(label("UTC", 1_793_534_706), "Sun Nov  1 12:05:06 2026 | 2026-11-01T12:05:06+00:00");
}

#[test]
fn every_time_has_a_label() {
    assert_eq!(label("UTC", 0), "Thu Jan  1 00:00:00 1970 | 1970-01-01T00:00:00+00:00");
    assert_eq!(label("UTC", 4_294_967_296), "Sun Feb  7 06:28:16 2106 | 2106-02-07T06:28:16+00:00");
    assert_eq!(label("UTC", 9_999_999_999), "Sat Nov 20 17:46:39 2286 | 2286-11-20T17:46:39+00:00");
}

#[test]
fn a_label_follows_the_clock_both_ways() {
    let at = |nanos| WallTime::from_nanos(nanos);
    let mut labels = StampCache::new(at(5_000_000_001), &Template::ctime(), &"here".into());
    let first = labels.current().clone();
    let said = |labels: &StampCache| {
        let stamp = [b"[", &labels.current().ctime[..], b"] "].concat();
        assert_eq!(labels.stamp(), Some(&stamp[..]));
    };
    said(&labels);
    labels.set(at(5_999_999_999));
    assert_eq!((labels.current().ctime, labels.current().wall), (first.ctime, at(5_999_999_999)));
    labels.set(at(6_000_000_000));
    assert_ne!(labels.current().ctime, first.ctime);
    said(&labels);
    labels.set(at(5_000_000_001));
    said(&labels);
    assert_eq!(labels.current(), &first);
}

#[test]
fn a_zone_has_a_name_a_file_or_a_rule() {
    let offset = |tz: &str| {
        let zone = named_zone(OsStr::new(tz), None)?;
        Some(render(&zone, WallTime::from_nanos(1_792_890_000_000_000_000)).offset)
    };
    for tz in ["Europe/Berlin", ":Europe/Berlin", "/usr/share/zoneinfo/Europe/Berlin", "CET-1"] {
        assert_eq!(offset(tz), Some(*b"+01:00"), "{tz}");
    }
    // What is no file of a time zone is not read, whatever it is.
    for tz in
        ["/dev/zero", ":/dev/zero", "/dev/tty", "/proc/kmsg", "/usr", "/etc/passwd", "Nowhere/At All", ""]
    {
        assert_eq!(offset(tz), None, "{tz}");
    }
}

#[test]
fn a_file_that_is_too_large_or_a_pipe_is_no_zone() {
    let folder = env::temp_dir().join(format!("echosounder-zone-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let (large, pipe) = (folder.join("large"), folder.join("pipe"));
    File::create(&large).unwrap().set_len(ZONE_FILE_MAX + 1).unwrap();
    assert_eq!(zone_file(&large).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    assert_eq!(zone_file(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);

    std::fs::copy("/usr/share/zoneinfo/Europe/Berlin", folder.join("Berlin")).unwrap();
    let is_named = |name: &str| named_zone(OsStr::new(name), Some(&folder)).is_some();
    assert_eq!(["Berlin", "pipe", "large", "Nowhere"].map(is_named), [true, false, false, false]);
    std::fs::remove_dir_all(&folder).unwrap();
}
