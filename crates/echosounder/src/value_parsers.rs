//! Numbers with units, and endpoints, as they are typed.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use echosounder_client::{STREAM_CALL_MIN, SizeRange};
use echosounder_proto::{FRAME_MAX, Framing};
use echosounder_socket::Endpoint;

use crate::hints;

use crate::args::{OutputFile, ResultFormat};

/// The longest message of a load.
const LOAD_MAX: usize = 1024 * 1024;

/// An endpoint; a hint names the one that was probably meant by a text that is none.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map_err(|error| match hints::endpoint(text, &error) {
        Some(hint) => format!("{error}\n\nhint: {hint}"),
        None => error.to_string(),
    })
}

/// `0.2`, `200ms`, `1m30s`: a bare number is in seconds.
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

/// `1024`, `10k`, `1m`: k and m are powers of 1024.
pub(crate) fn size(text: &str) -> Result<NonZeroUsize, String> {
    scaled(text, 1024).ok_or_else(|| format!("\"{text}\" is not a size such as 1024, 10k or 1m"))
}

/// `1000`, `10k`, `1m`: k and m are powers of 1000.
pub(crate) fn count(text: &str) -> Result<NonZeroUsize, String> {
    scaled(text, 1000).ok_or_else(|| format!("\"{text}\" is not a number from 1, such as 500, 10k or 1m"))
}

/// Threads: more would have too little memory each to keep what peers do not take.
pub(crate) fn workers(text: &str) -> Result<NonZeroUsize, String> {
    count(text).and_then(|workers| match workers.get() {
        1..=1024 => Ok(workers),
        _ => Err(format!("{text} threads are over 1024")),
    })
}

/// `20k`, `0.5`, `1.5m`: a rate, in messages a second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1.0), |number| (number, 1e6)),
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let rate = number.parse().ok().map(|number: f64| number * scale);
    rate.filter(|rate| plain && (1e-3..=1e9).contains(rate))
        .ok_or_else(|| format!("\"{text}\" is not a rate from 0.001 to 1000m, such as 500, 20k or 1.5m"))
}

/// `64`, `64-1400`, `1k-16k`: the least and the most.
pub(crate) fn sizes(text: &str) -> Result<SizeRange, String> {
    let bad = |_| format!("\"{text}\" is not a size such as 64 or 1k, nor a range such as 64-1400");
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (size(low).map_err(bad)?.get(), size(high).map_err(bad)?.get());
    match (low <= high, high <= LOAD_MAX) {
        (true, true) => Ok(SizeRange { min: low, max: high }),
        (false, _) => Err(format!("\"{text}\" is a range that ends before it begins")),
        (true, false) => Err(format!("\"{text}\" is over {}m", LOAD_MAX / 1024 / 1024)),
    }
}

/// A duration that may be nothing.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { duration(text) }
}

/// The shortest time between two calls that is not none.
const INTERVAL_MIN: Duration = Duration::from_micros(10);

/// Between two calls; nothing for as fast as answers come.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Ok(Duration::ZERO),
        interval if interval < INTERVAL_MIN => {
            Err(format!("\"{text}\" is below {INTERVAL_MIN:?}; 0 is as fast as answers come"))
        }
        interval => Ok(interval),
    }
}

/// The size of a call.
pub(crate) fn call_size(text: &str) -> Result<NonZeroUsize, String> {
    match size(text)? {
        size if size.get() < STREAM_CALL_MIN => {
            Err(format!("the minimum is {STREAM_CALL_MIN} bytes, for timestamps and a sequence number"))
        }
        size if LOAD_MAX < size.get() => Err(format!("\"{text}\" is over {}m", LOAD_MAX / 1024 / 1024)),
        size => Ok(size),
    }
}

/// A differentiated services code point: a number, or a name of RFC 2474, 2597, 3246, 5865 or 8622.
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
        format!("\"{text}\" is not a code point from 0 to 63, nor a name such as ef, af41 or cs5")
    })
}

/// `1%`, `0.5%`, `1`: a share of a hundred.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let share = number.parse().ok().filter(|share| plain && (0.0..=100.0).contains(share));
    share.ok_or_else(|| format!("\"{text}\" is not a percentage between 0 and 100"))
}

/// A destination of `ping -o`.
pub(crate) fn ping_output(text: &str) -> Result<OutputFile, String> {
    output(text).ok_or_else(|| format!("\"{text}\" ends in none of .json, .csv, .hdr and .html"))
}

/// A destination of `load -o`.
pub(crate) fn load_output(text: &str) -> Result<OutputFile, String> {
    output(text)
        .filter(|output| !matches!(output, OutputFile::Path(_, ResultFormat::Html)))
        .ok_or_else(|| format!("\"{text}\" ends in none of .json, .csv and .hdr"))
}

/// Standard output, or a file whose name tells the format. What a shell names (`/dev/stdout`, `>(...)`) tells none: it is
/// JSON.
fn output(text: &str) -> Option<OutputFile> {
    if text == "-" {
        return Some(OutputFile::Stdout);
    }
    let path = PathBuf::from(text);
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => ResultFormat::Json,
        Some("csv") => ResultFormat::Csv,
        Some("hdr") => ResultFormat::Hdr,
        Some("html") => ResultFormat::Html,
        None if path.starts_with("/dev") || path.starts_with("/proc") => ResultFormat::Json,
        _ => return None,
    };
    Some(OutputFile::Path(path, format))
}

fn scaled(text: &str, base: usize) -> Option<NonZeroUsize> {
    let (digits, scale) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, base),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, base * base)),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|_| plain)
        .and_then(|number: usize| NonZeroUsize::new(number.checked_mul(scale)?))
}

/// `SIZE`, `line` or `line:MAX`.
pub(crate) fn framing(text: &str) -> Result<Framing, String> {
    let within = |size: NonZeroUsize| {
        if size.get() <= FRAME_MAX {
            Ok(size)
        } else {
            Err(format!("\"{text}\" is over {}k", FRAME_MAX / 1024))
        }
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

/// `600`, `0660`: permissions in octal.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let octal = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(format!("\"{text}\" is not a mode such as 600 or 660")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        assert_eq!(endpoint("udp://host:7").unwrap().to_string(), "udp://host:7");
        let hint = "\n\nhint: did you mean \"tcp://host\"?";
        assert!(endpoint("tpc://host").unwrap_err().ends_with(hint));
        assert!(!endpoint("gopher://host").unwrap_err().contains("hint"));
    }

    #[test]
    fn durations() {
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
    fn sizes_and_counts() {
        assert_eq!(size("10k").map(NonZeroUsize::get), Ok(10_240));
        assert_eq!(count("10k").map(NonZeroUsize::get), Ok(10_000));
        assert_eq!(count("1m").map(NonZeroUsize::get), Ok(1_000_000));
        for text in ["", "0", "k", "-1", "+1", "1.5k", "99999999999999999999", "18446744073709551615k"] {
            assert!(size(text).is_err() && count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loads() {
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
        assert_eq!(span("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn pings() {
        assert_eq!(interval("0"), Ok(Duration::ZERO));
        assert_eq!(interval("20ms"), Ok(Duration::from_millis(20)));
        assert!(interval("9us").is_err() && interval("10us").is_ok() && interval("").is_err());
        assert!(call_size("43").is_err() && call_size("44").is_ok() && call_size("1025k").is_err());
        for (text, point) in
            [("0", 0), ("63", 63), ("EF", 46), ("af41", 34), ("cs5", 40), ("be", 0), ("af13", 14), ("le", 1)]
        {
            assert_eq!(dscp(text), Ok(point), "{text}");
        }
        for text in ["", "64", "-1", "+1", "af44", "af51", "cs8", "e"] {
            assert!(dscp(text).is_err(), "{text}");
        }
        assert_eq!((percent("1%"), percent("0.5"), percent("100%")), (Ok(1.0), Ok(0.5), Ok(100.0)));
        for text in ["", "%", "101", "-1", "1e1", "nan", "inf"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn outputs() {
        let path = |text: &str, format| Ok(OutputFile::Path(text.into(), format));
        assert_eq!(ping_output("a.html"), path("a.html", ResultFormat::Html));
        assert_eq!(load_output("b/a.hdr"), path("b/a.hdr", ResultFormat::Hdr));
        assert_eq!(load_output("./-.csv"), path("./-.csv", ResultFormat::Csv));
        for text in ["/dev/stdout", "/dev/fd/63", "/proc/self/fd/1"] {
            assert_eq!(ping_output(text), path(text, ResultFormat::Json));
        }
        assert_eq!((ping_output("-"), load_output("-")), (Ok(OutputFile::Stdout), Ok(OutputFile::Stdout)));
        assert!(load_output("a.html").is_err());
        for text in ["", "hdr", ".json", ".html", "a.JSON.txt", "devstdout"] {
            assert!(ping_output(text).is_err() && load_output(text).is_err(), "{text}");
        }
    }

    #[test]
    fn framings() {
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
    fn modes() {
        assert_eq!(mode("600"), Ok(0o600));
        assert_eq!(mode("0660"), Ok(0o660));
        for text in ["", "8", "1000", "rw", "+7"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }
}
