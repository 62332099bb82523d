//! The endpoint that a user probably meant by a text that is not an endpoint.

use std::net::Ipv4Addr;

use echosounder_socket::{Endpoint, EndpointError, Transport};

/// Schemes of other programs for protocols over TCP, and their ports.
const OTHER_SCHEMES: [(&str, u16); 9] = [
    ("http", 80),
    ("https", 443),
    ("ws", 80),
    ("wss", 443),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("redis", 6379),
];

/// Returns a question that names the endpoint which `text` probably means, or `None` without a good
/// guess.
///
/// `error` is the reason why `text` is not an endpoint.
pub(crate) fn guess(text: &str, error: &EndpointError) -> Option<String> {
    let meant = match error {
        EndpointError::UnknownScheme(scheme) => {
            let rest = text[scheme.trim_end_matches(':').len()..].trim_start_matches(':');
            by_scheme(scheme.trim_end_matches(':'), rest)?
        }
        EndpointError::BadV4(host) => text.replace(host, &aton(host)?.to_string()),
        EndpointError::BadHost(_) | EndpointError::BadPort(_) => without_path(text)?,
        _ => return None,
    };
    (meant != text && meant.parse::<Endpoint>().is_ok()).then(|| format!("did you mean \"{meant}\"?"))
}

/// Returns the endpoint for a scheme that is unknown or that has the wrong separator after it, such
/// as `tcp:host`.
fn by_scheme(scheme: &str, rest: &str) -> Option<String> {
    let typed = scheme.to_ascii_lowercase();
    // The stream transport of a family is named after the family alone.
    let typed = typed.strip_suffix("-stream").unwrap_or(&typed).to_owned();
    let authority = rest.trim_start_matches('/');
    if let Some((_, port)) = OTHER_SCHEMES.iter().find(|(other, _)| *other == typed) {
        let host = authority.split(['/', '?', '#']).next()?;
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let with_port = format!("tcp://{host}:{port}");
        // A host that already has a port makes two ports, which do not parse.
        let parses = with_port.parse::<Endpoint>().is_ok();
        return Some(if parses { with_port } else { format!("tcp://{host}") });
    }
    // Among equally similar schemes this picks the first, and the table begins with the most common
    // ones.
    let known = Transport::all()
        .map(Transport::scheme)
        .min_by_key(|known| strsim::damerau_levenshtein(known, &typed))
        .filter(|known| 0.6 < strsim::normalized_damerau_levenshtein(known, &typed))?;
    let rest = if known.starts_with("unix") { rest.trim_start_matches("//") } else { authority };
    let separator = if known.starts_with("unix") { ":" } else { "://" };
    Some(format!("{known}{separator}{rest}"))
}

/// Returns the endpoint without the user, path, query and fragment of a URL, and with a colon for
/// each space.
fn without_path(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://").map_or(("", text), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let rest = rest.trim_start_matches('/').split(['/', '?', '#']).next()?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let words: Vec<&str> = rest.split_whitespace().collect();
    Some(format!("{scheme}{separator}{}", words.join(":")))
}

/// Returns the address that inet_aton(3) reads in a text such as `127.1`.
///
/// `None` for texts with more than one reading: a single number, which may be a port, and numbers
/// with a leading zero, which are octal to some programs only.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let part = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None if 1 < text.len() && text.starts_with('0') => None,
        None => text.parse().ok(),
    };
    let parts: Vec<u32> = text.split('.').map(part).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.is_empty() && !text.starts_with("0x") || 3 < first.len() || first.iter().any(|part| 255 < *part)
    {
        return None;
    }
    // The last number fills all remaining bytes.
    let free = 8 * (4 - first.len());
    if u64::from(*last) >> free != 0 {
        return None;
    }
    let front = first.iter().zip([24, 16, 8]).map(|(part, shift)| part << shift).sum::<u32>();
    Some((front | last).into())
}

/// Returns the endpoint for a host and a port that were typed as two arguments.
pub(super) fn joined(host: &str, port: &str) -> Option<String> {
    let has_ports = |endpoint: Endpoint| endpoint.transport().default_port().is_some();
    let text = format!("{host}:{port}");
    let fits = is_number(port) && host.parse().is_ok_and(has_ports) && text.parse::<Endpoint>().is_ok();
    fits.then_some(text)
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess_for(text: &str) -> Option<String> {
        guess(text, &text.parse::<Endpoint>().unwrap_err())
    }

    #[test]
    fn similar_endpoints_are_guessed() {
        for (text, guess) in [
            ("tpc://host", "tcp://host"),
            ("tcp:/localhost", "tcp://localhost"),
            ("tcp:localhost", "tcp://localhost"),
            ("TCP:localhost:80", "tcp://localhost:80"),
            ("tcp:///localhost", "tcp://localhost"),
            ("udp:localhost:53", "udp://localhost:53"),
            ("vsock:3:9000", "vsock://3:9000"),
            ("unix-datagram://x", "unix-dgram:x"),
            ("unix-stream:/x", "unix:/x"),
            ("http://host", "tcp://host:80"),
            ("https://me@host/index?x", "tcp://host:443"),
            ("http://host:8080/", "tcp://host:8080"),
            ("http://[::1]:8080/", "tcp://[::1]:8080"),
            ("tcp://host:80/", "tcp://host:80"),
            ("host/path", "host"),
            ("me@host", "host"),
            ("localhost 80", "localhost:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("udp://0x7f.1", "udp://127.0.0.1"),
            ("10.1.514", "10.1.2.2"),
        ] {
            assert_eq!(guess_for(text), Some(format!("did you mean \"{guess}\"?")), "{text}");
        }
        for text in ["gopher://host", "8080:80", "017.0.0.1", "256.0.0.1", "1.2.3.4.5", "host:99999", "::1"] {
            assert_eq!(guess_for(text), None, "{text}");
        }
    }

    #[test]
    fn separate_port_joins_its_host() {
        for (host, port, whole) in [
            ("localhost", "21567", Some("localhost:21567")),
            ("udp://[::1]", "53", Some("udp://[::1]:53")),
            ("vsock://3", "9000", Some("vsock://3:9000")),
            ("localhost:7", "53", None),
            ("8080", "9090", None),
            ("/run/x", "80", None),
            ("@x", "80", None),
            ("localhost", "70000", None),
            ("localhost", "x", None),
        ] {
            assert_eq!(joined(host, port).as_deref(), whole, "{host} {port}");
        }
    }
}
