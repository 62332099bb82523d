//! Parsers for the values of arguments: durations, sizes, rates, endpoints and file names.
//!
//! Each returns an error that names the text and what it should be; clap puts the name of the
//! argument before it.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use echosounder_client::{MESSAGE_BYTES_MAX, Percent, REQUEST_BYTES_MAX, SizeRange};
use echosounder_proto::{FRAME_MAX, Framing, ICMP_PAYLOAD_MIN};
use echosounder_socket::{Endpoint, EndpointError};

use crate::hints;
use crate::output::{OutputFile, ResultFormat, TRANSCRIPT_BYTES_MIN};
use crate::request_sizes::RequestSizes;
use crate::target::{Target, scheme_of_service};

/// Parses an endpoint. The error of a text that is not one may end in a hint.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    match scheme_of_service(text) {
        Some("icmp://") => Err("icmp:// is an endpoint of \"sounder ping\" only".to_owned()),
        Some(scheme) => {
            Err(format!("{scheme} is an endpoint of \"sounder serve\" and \"sounder ping\" only"))
        }
        None => text.parse().map_err(|error| bad_endpoint(text, &error)),
    }
}

/// Parses a target of ping or serve: an endpoint, or one of a STAMP reflector.
pub(crate) fn target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|error| match error {
        EndpointError::BadHost(_) if scheme_of_service(text) == Some("icmp://") => {
            format!("{error}; icmp:// takes a host without a port")
        }
        error => bad_endpoint(text, &error),
    })
}

fn bad_endpoint(text: &str, error: &EndpointError) -> String {
    match hints::endpoint::guess(text, error) {
        Some(hint) => format!("{error}\n\nhint: {hint}"),
        None => error.to_string(),
    }
}

/// Parses a duration: `0.2`, `200ms`, `1m30s`. A bare number is in seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is not a duration such as 0.2, 200ms or 1m30s");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "s" => 1.0,
            "" if number.len() == text.len() => 1.0,
            "us" => 1e-6,
            "ms" => 1e-3,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        let number: f64 = number.parse().map_err(|_| bad())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = after;
    }
    if total.is_zero() { Err(bad()) } else { Ok(total) }
}

/// Parses a duration that may be zero.
pub(crate) fn duration_or_zero(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { duration(text) }
}

/// The shortest time between two requests, except zero.
const INTERVAL_MIN: Duration = Duration::from_micros(10);

/// Parses the time between two requests. Zero means that the next request waits for the reply.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text)? {
        interval if !interval.is_zero() && interval < INTERVAL_MIN => {
            Err(format!("\"{text}\" is below {INTERVAL_MIN:?}; 0 sends as fast as replies arrive"))
        }
        interval => Ok(interval),
    }
}

/// The shortest time between two lookups of a name.
const LOOKUP_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Parses the time between two lookups of a name.
pub(crate) fn lookup_interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        interval if interval < LOOKUP_INTERVAL_MIN => {
            Err(format!("\"{text}\" is below {LOOKUP_INTERVAL_MIN:?}"))
        }
        interval => Ok(interval),
    }
}

/// Parses a size in bytes: `1024`, `10k`, `1m`, where k and m are powers of 1024.
fn size(text: &str) -> Result<NonZeroUsize, String> {
    scaled(text, 1024).ok_or_else(|| format!("\"{text}\" is not a size from 1, such as 1024, 10k or 1m"))
}

/// Parses a number of excess bytes: a size of less than 4 GiB, or 0.
pub(crate) fn excess(text: &str) -> Result<u32, String> {
    let bytes = if text == "0" { 0 } else { size(text)?.get() };
    u32::try_from(bytes).map_err(|_| "the maximum is 4095m".to_owned())
}

/// Parses a number: `1000`, `10k`, `1m`, where k and m are powers of 1000.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    scaled(text, 1000).ok_or_else(|| format!("\"{text}\" is not a number from 1, such as 500, 10k or 1m"))
}

/// The maximum number of threads. With more, the share of each in the backlog budget would be too
/// small.
const THREADS_MAX: usize = 1024;

/// Parses a number of threads.
pub(crate) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    count(text).and_then(|threads| match threads.get() {
        1..=THREADS_MAX => Ok(threads),
        _ => Err(format!("the maximum is {THREADS_MAX} threads")),
    })
}

/// Parses a rate in messages per second: `20k`, `0.5`, `1.5m`, where k and m are powers of 1000.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |number| (number, 1e6)),
    };
    let rate = decimal(number).map(|number| number * scale);
    rate.filter(|rate| (1e-3..=1e9).contains(rate))
        .ok_or_else(|| format!("\"{text}\" is not a rate from 0.001 to 1000m, such as 500, 20k or 1.5m"))
}

/// Parses a size of messages or a range of sizes: `64`, `64-1400`, `1k-16k`.
pub(crate) fn sizes(text: &str) -> Result<SizeRange, String> {
    let bad = |_| format!("\"{text}\" is not a size such as 64 or 1k, nor a range such as 64-1400");
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let (min, max) = (size(min).map_err(bad)?.get(), size(max).map_err(bad)?.get());
    match (min <= max, max <= MESSAGE_BYTES_MAX) {
        (true, true) => Ok(SizeRange { min, max }),
        (false, _) => Err(format!("the range \"{text}\" ends before it begins")),
        (true, false) => Err(too_long(MESSAGE_BYTES_MAX)),
    }
}

/// The most ports of a range.
const PORTS_MAX: usize = 256;

/// Parses a port or a range of ports: `40000`, `40000-40007`.
pub(crate) fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| {
        let port = text.parse().ok().filter(|port| *port != 0 && !text.starts_with('+'));
        port.ok_or_else(|| format!("\"{text}\" is not a port from 1 to 65535"))
    };
    let (min, max) = text.split_once('-').unwrap_or((text, text));
    let ports = port(min)?..=port(max)?;
    match ports.len() {
        0 => Err(format!("the range \"{text}\" ends before it begins")),
        1..=PORTS_MAX => Ok(ports),
        _ => Err(format!("the maximum is {PORTS_MAX} ports")),
    }
}

/// Parses the size of requests, or a range of sizes with the step between them: `64`, `1200-1500:10`.
pub(crate) fn request_sizes(text: &str) -> Result<RequestSizes, String> {
    let bad = |_| format!("\"{text}\" is not a size such as 64 or 1k, nor a range such as 1200-1500:10");
    let (range, step) = text.split_once(':').unwrap_or((text, "1"));
    let (min, max) = range.split_once('-').unwrap_or((text, text));
    let [min, max, step] = [size(min), size(max), size(step)];
    let sizes = RequestSizes {
        min: min.map_err(bad)?.get(),
        max: max.map_err(bad)?.get(),
        step: step.map_err(bad)?.get(),
    };
    match sizes {
        RequestSizes { min, max, .. } if max < min => {
            Err(format!("the range \"{text}\" ends before it begins"))
        }
        RequestSizes { min, .. } if min < ICMP_PAYLOAD_MIN => {
            Err(format!("the minimum is {ICMP_PAYLOAD_MIN} bytes, for a sequence number"))
        }
        RequestSizes { max, .. } if REQUEST_BYTES_MAX < max => Err(too_long(REQUEST_BYTES_MAX)),
        sizes if RequestSizes::COUNT_MAX < sizes.count() => Err(format!(
            "the range \"{text}\" has {} sizes; choose a STEP by which it has at most {}",
            sizes.count(),
            RequestSizes::COUNT_MAX
        )),
        sizes => Ok(sizes),
    }
}

/// The minimum of kernel memory for peers that do not read: what the kernel may hold for one of them.
/// With less, a single peer that pauses would be disconnected at once.
const SOCKET_MEMORY_MIN: u64 = 1024 * 1024;

/// Parses the amount of kernel memory for peers that do not read.
pub(crate) fn socket_memory(text: &str) -> Result<u64, String> {
    match size(text)?.get() as u64 {
        size if size < SOCKET_MEMORY_MIN => Err("the minimum is 1m".to_owned()),
        size => Ok(size),
    }
}

/// Parses the maximum size of a transcript.
pub(crate) fn transcript_size(text: &str) -> Result<u64, String> {
    match size(text)?.get() as u64 {
        size if size < TRANSCRIPT_BYTES_MIN => Err(format!("the minimum is {TRANSCRIPT_BYTES_MIN} bytes")),
        size => Ok(size),
    }
}

fn too_long(max: usize) -> String {
    format!("the maximum is {}m", max / 1024 / 1024)
}

/// Parses a differentiated services code point: a number, or a name of RFC 2474, 2597, 3246, 5865
/// or 8622.
pub(crate) fn dscp(text: &str) -> Result<u8, String> {
    let named = match text.to_ascii_lowercase().as_str() {
        "be" | "df" => Some(0),
        "le" => Some(1),
        "va" => Some(44),
        "ef" => Some(46),
        name => match name.as_bytes() {
            [b'c', b's', class @ b'0'..=b'7'] => Some((class - b'0') * 8),
            [b'a', b'f', class @ b'1'..=b'4', drop @ b'1'..=b'3'] => {
                Some((class - b'0') * 8 + (drop - b'0') * 2)
            }
            _ => None,
        },
    };
    let number = || text.parse().ok().filter(|dscp| *dscp < 64 && !text.starts_with('+'));
    named.or_else(number).ok_or_else(|| {
        format!("\"{text}\" is not a DSCP value from 0 to 63, nor a name such as ef, af41 or cs5")
    })
}

/// Parses the bits of explicit congestion notification: a number, or a name of RFC 3168 §5.
pub(crate) fn ecn(text: &str) -> Result<u8, String> {
    match text.to_ascii_lowercase().as_str() {
        "0" | "not-ect" => Ok(0),
        "1" | "ect1" => Ok(1),
        "2" | "ect0" => Ok(2),
        "3" | "ce" => Ok(3),
        _ => Err(format!("\"{text}\" is not a number from 0 to 3, nor not-ect, ect1, ect0 or ce")),
    }
}

/// Parses a percentage: `1%`, `0.5%`, `1`.
pub(crate) fn percent(text: &str) -> Result<Percent, String> {
    decimal(text.strip_suffix('%').unwrap_or(text))
        .and_then(Percent::new)
        .ok_or_else(|| format!("\"{text}\" is not a percentage between 0 and 100"))
}

/// Parses a destination of `-o`.
pub(crate) fn output_file(text: &str) -> Result<OutputFile, String> {
    output(text).ok_or_else(|| format!("\"{text}\" does not end in .json, .csv, .hdr or .html"))
}

/// Parses a destination whose extension names the format. Names that a shell makes (`/dev/stdout`,
/// `>(...)`) have no extension and mean JSON.
fn output(text: &str) -> Option<OutputFile> {
    if text == "-" {
        return Some(OutputFile::Stdout);
    }
    let path = PathBuf::from(text);
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => ResultFormat::Json,
        Some("csv") => ResultFormat::Csv,
        Some("hdr") => ResultFormat::Hdr,
        Some("html") => ResultFormat::Html,
        None if path.starts_with("/dev") || path.starts_with("/proc") => ResultFormat::Json,
        _ => return None,
    };
    Some(OutputFile::Path(path, format))
}

/// Parses `SIZE`, `line` or `line:MAX`.
pub(crate) fn framing(text: &str) -> Result<Framing, String> {
    let within = |size: NonZeroUsize| {
        if size.get() <= FRAME_MAX { Ok(size) } else { Err(format!("the maximum is {}k", FRAME_MAX / 1024)) }
    };
    if text == "line" {
        return within(const { NonZeroUsize::new(FRAME_MAX).expect("it is not zero") }).map(Framing::Line);
    }
    let bad = |_| format!("\"{text}\" is not a size such as 1024 or 4k, nor line, nor line:MAX");
    match text.strip_prefix("line:") {
        Some(max) => size(max).map_err(bad).and_then(within).map(Framing::Line),
        None => size(text).map_err(bad).and_then(within).map(Framing::Size),
    }
}

/// Parses permissions in octal: `600`, `0660`.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(format!("\"{text}\" is not a mode such as 600 or 660")),
    }
}

/// Returns a decimal number without sign or exponent.
fn decimal(text: &str) -> Option<f64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// Returns a positive whole number with an optional suffix: `k` for `base`, `m` for its square.
fn scaled(text: &str, base: usize) -> Option<NonZeroUsize> {
    let (digits, scale) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, base),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, base * base)),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: usize = digits.parse().ok().filter(|_| is_plain)?;
    NonZeroUsize::new(number.checked_mul(scale)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_endpoints() {
        assert_eq!(endpoint("udp://host:7").unwrap().to_string(), "udp://host:7");
        let hint = "\n\nhint: did you mean \"tcp://host\"?";
        assert!(endpoint("tpc://host").unwrap_err().ends_with(hint));
        assert!(!endpoint("gopher://host").unwrap_err().contains("hint"));
        assert!(endpoint("stamp://host").is_err());
        assert_eq!(target("stamp://host").unwrap().to_string(), "stamp://host:862");
        assert!(target("tpc://host").unwrap_err().ends_with(hint));
    }

    #[test]
    fn parses_ports() {
        assert_eq!((ports("80"), ports("40000-40007")), (Ok(80..=80), Ok(40_000..=40_007)));
        assert_eq!(ports("1-256").map(|ports| ports.len()), Ok(256));
        for text in ["", "0", "65536", "2-1", "1-257", "-1", "+1", "1-+2", "1-", "1-2-3", "http"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_durations() {
        for (text, millis) in
            [("0.2", 200), ("200ms", 200), ("1m30s", 90_000), ("2", 2000), ("1.5h", 5_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0", "-1", "1x", "1m30", "s", "1..2", "1e3", "99999999999999999999h", "nan", "inf"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_sizes_and_counts() {
        assert_eq!(size("10k").map(NonZeroUsize::get), Ok(10_240));
        assert_eq!((excess("0"), excess("64k"), excess("4095m")), (Ok(0), Ok(65_536), Ok(4095 << 20)));
        assert!(excess("4096m").is_err() && excess("00").is_err());
        assert_eq!(
            (socket_memory("1m"), socket_memory("1023k")),
            (Ok(1 << 20), Err("the minimum is 1m".into()))
        );
        assert_eq!(count("10k").map(NonZeroUsize::get), Ok(10_000));
        assert_eq!(count("1m").map(NonZeroUsize::get), Ok(1_000_000));
        for text in ["", "0", "k", "-1", "+1", "1.5k", "99999999999999999999", "18446744073709551615k"] {
            assert!(size(text).is_err() && count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_arguments_of_load() {
        assert_eq!(rate("0.001"), Ok(1e-3));
        assert_eq!(rate("20k"), Ok(20e3));
        assert_eq!(rate("1.5m"), Ok(1.5e6));
        for text in ["", "0", "-1", "1e3", "inf", "nan", "1001m", "k", "0.0001"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!(sizes("64"), Ok(SizeRange { min: 64, max: 64 }));
        assert_eq!(sizes("1-1m"), Ok(SizeRange { min: 1, max: 1024 * 1024 }));
        for text in ["", "0", "0-5", "5-", "-5", "7-3", "1-2-3", "1025k"] {
            assert!(sizes(text).is_err(), "{text}");
        }
        assert_eq!(duration_or_zero("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn parses_arguments_of_ping() {
        assert_eq!(interval("0"), Ok(Duration::ZERO));
        assert_eq!(interval("20ms"), Ok(Duration::from_millis(20)));
        assert!(interval("9us").is_err() && interval("10us").is_ok() && interval("").is_err());
        for (text, (min, max, step)) in [
            ("16", (16, 16, 1)),
            ("1k", (1024, 1024, 1)),
            ("1200-1500:10", (1200, 1500, 10)),
            ("64-64", (64, 64, 1)),
            ("100-1099", (100, 1099, 1)),
            ("1k-1m:8k", (1024, 1 << 20, 8192)),
        ] {
            assert_eq!(request_sizes(text), Ok(RequestSizes { min, max, step }), "{text}");
        }
        for text in [
            "15",
            "1025k",
            "15-20",
            "100-64",
            "100-1100",
            "64:8",
            "64-",
            "-64",
            "64-72:0",
            "64-72:",
            "64-72:8:8",
        ] {
            assert!(request_sizes(text).is_err(), "{text}");
        }
        for (text, value) in
            [("0", 0), ("63", 63), ("EF", 46), ("af41", 34), ("cs5", 40), ("be", 0), ("af13", 14), ("le", 1)]
        {
            assert_eq!(dscp(text), Ok(value), "{text}");
        }
        for text in ["", "64", "-1", "+1", "af44", "af51", "cs8", "e"] {
            assert!(dscp(text).is_err(), "{text}");
        }
        assert_eq!((ecn("0"), ecn("ECT1"), ecn("ect0"), ecn("ce")), (Ok(0), Ok(1), Ok(2), Ok(3)));
        assert!(ecn("4").is_err() && ecn("").is_err());
        for (text, value) in [("1%", 1.0), ("0.5", 0.5), ("100%", 100.0)] {
            assert_eq!(percent(text).ok(), Percent::new(value), "{text}");
        }
        for text in ["", "%", "101", "-1", "1e1", "nan", "inf"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_output_files() {
        let path = |text: &str, format| Ok(OutputFile::Path(text.into(), format));
        assert_eq!(output_file("a.html"), path("a.html", ResultFormat::Html));
        assert_eq!(output_file("b/a.hdr"), path("b/a.hdr", ResultFormat::Hdr));
        assert_eq!(output_file("./-.csv"), path("./-.csv", ResultFormat::Csv));
        for text in ["/dev/stdout", "/dev/fd/63", "/proc/self/fd/1"] {
            assert_eq!(output_file(text), path(text, ResultFormat::Json));
        }
        assert_eq!(output_file("-"), Ok(OutputFile::Stdout));
        for text in ["", "hdr", ".json", ".html", "a.JSON.txt", "devstdout"] {
            assert!(output_file(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_framings() {
        let some = |size| NonZeroUsize::new(size).unwrap();
        assert_eq!(framing("512"), Ok(Framing::Size(some(512))));
        assert_eq!(framing("64k"), Ok(Framing::Size(some(65_536))));
        assert_eq!(framing("line"), Ok(Framing::Line(some(65_536))));
        assert_eq!(framing("line:80"), Ok(Framing::Line(some(80))));
        for text in ["", "0", "lines", "line:", "line:0", "65537", "1m"] {
            assert!(framing(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_modes() {
        assert_eq!(mode("600"), Ok(0o600));
        assert_eq!(mode("0660"), Ok(0o660));
        for text in ["", "8", "1000", "rw", "+7"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
