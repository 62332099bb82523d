//! Targets: an endpoint, and the service at it.

use std::fmt;
use std::str::FromStr;

use echosounder_client::{Probe, StampOptions};
use echosounder_proto::stamp;
use echosounder_socket::{Endpoint, EndpointError};

/// The scheme of a STAMP reflector, with its separator.
const STAMP: &str = "stamp://";

/// The scheme of a host that replies to ICMP, with its separator.
const ICMP: &str = "icmp://";

/// What replies to requests at an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Service {
    /// An echo server.
    #[default]
    Echo,
    /// A STAMP reflector over UDP (RFC 8762).
    Stamp,
    /// The kernel of the host, by ICMP or ICMPv6.
    Icmp,
}

/// A target as a user writes it: an endpoint, `stamp://HOST:PORT` or `icmp://HOST`. Parsing and
/// printing are inverses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: Service,
    /// The endpoint; that of a reflector is one of UDP, and that of ICMP one of UDP with port 0.
    pub(crate) endpoint: Endpoint,
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self { service: Service::Echo, endpoint }
    }
}

impl Target {
    /// Returns the target of the reflector at a UDP endpoint.
    pub(crate) fn reflector(endpoint: Endpoint) -> Self {
        Self { service: Service::Stamp, endpoint }
    }
}

impl FromStr for Target {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(rest) = after(ICMP, text) {
            let [endpoint, other] =
                [0, 1].map(|port| Endpoint::parse_with_port(&format!("udp://{rest}"), port));
            let endpoint = endpoint?;
            // A port that was typed is the same whatever the default.
            return match other {
                Ok(other) if other == endpoint => Err(EndpointError::BadHost(rest.into())),
                _ => Ok(Self { service: Service::Icmp, endpoint }),
            };
        }
        let Some(rest) = after(STAMP, text) else { return text.parse().map(Endpoint::into) };
        let endpoint = Endpoint::parse_with_port(&format!("udp://{rest}"), stamp::PORT)?;
        Ok(Self::reflector(endpoint))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let probe = match self.service {
            Service::Echo => Probe::Echo,
            Service::Stamp => Probe::Stamp(StampOptions::default()),
            Service::Icmp => Probe::Icmp,
        };
        f.write_str(&probe.display(&self.endpoint.to_string()))
    }
}

/// Returns the text after a scheme. Schemes ignore case: RFC 3986 section 3.1.
fn after<'a>(scheme: &str, text: &'a str) -> Option<&'a str> {
    let (typed, rest) = text.split_at_checked(scheme.len())?;
    typed.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Returns the scheme of a text that names a service beside an endpoint.
pub(crate) fn scheme_of_service(text: &str) -> Option<&'static str> {
    [STAMP, ICMP].into_iter().find(|scheme| after(scheme, text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_displays_targets() {
        for (text, service, displayed) in [
            ("stamp://192.0.2.1", Service::Stamp, "stamp://192.0.2.1:862"),
            ("STAMP://[2001:db8::1]:20862", Service::Stamp, "stamp://[2001:db8::1]:20862"),
            ("stamp://router.example", Service::Stamp, "stamp://router.example:862"),
            ("stamp://:20862", Service::Stamp, "stamp://*:20862"),
            ("icmp://192.0.2.1", Service::Icmp, "icmp://192.0.2.1"),
            ("ICMP://[2001:db8::1]", Service::Icmp, "icmp://[2001:db8::1]"),
            ("icmp://router.example", Service::Icmp, "icmp://router.example"),
            ("udp://192.0.2.1", Service::Echo, "udp://192.0.2.1:21567"),
            ("192.0.2.1", Service::Echo, "tcp://192.0.2.1:21567"),
            // A host with that name.
            ("stamp:80", Service::Echo, "tcp://stamp:80"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!((target.service, target.to_string().as_str()), (service, displayed), "{text}");
            assert_eq!(target.to_string().parse(), Ok(target), "{text}");
        }
        for text in [
            "stamp://::1",
            "stamp://a/b",
            "stamp://host:70000",
            "icmp://host:7",
            "icmp://host:0",
            "icmp://[::1]:0",
            "icmp://7",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
