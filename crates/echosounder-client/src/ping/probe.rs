//! What a request is, and what its replies are.

use echosounder_proto::stamp::{self, Key, Layout, TimestampFormat};
use echosounder_proto::{ICMP_PAYLOAD_MAX, ICMP_PAYLOAD_MIN, TIMESTAMP_PLACEHOLDER};
use echosounder_socket::{Endpoint, Kind, Transport};

use crate::connect::{ConnectProbe, Opens};
use crate::error::ClientError;

/// The shortest request on a stream, in bytes: the placeholder, a digit and a newline.
pub const STREAM_REQUEST_BYTES_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + 2;

/// The shortest request where messages have bounds, in bytes: its number distinguishes ten million
/// requests.
pub const REQUEST_BYTES_MIN: usize = TIMESTAMP_PLACEHOLDER.len() + 8;

/// The longest request, in bytes: 1 MiB.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The default size of a request to an echo server, in bytes.
const ECHO_SIZE_BYTES: usize = 64;

/// Bytes of the extensions Class of Service and Direct Measurement, and of an empty padding.
const STAMP_EXTENSION_BYTES: usize = 28;

/// Bytes of the HMAC that authenticated extensions need.
const STAMP_HMAC_BYTES: usize = 20;

/// The kind of the requests, and of the server that replies to them.
///
/// [`Ping::probe`](crate::Ping::probe) has an example.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Probe {
    /// Messages to any echo server.
    #[default]
    Echo,
    /// Test packets to a STAMP reflector (RFC 8762), or one of TWAMP Light, over UDP. The
    /// [port](stamp::PORT) is 862 by default.
    Stamp(StampOptions),
    /// Echo requests of ICMP or ICMPv6, which the kernel of every host replies to. The endpoint is
    /// one of UDP whose port does not matter. Sizes are those of the payload, as in ping(8).
    ///
    /// They need a ping socket, for which net.ipv4.ping_group_range must include a group of the user
    /// (icmp(7)), or CAP_NET_RAW.
    Icmp,
    /// A new connection for each request, to any server that accepts connections. Nothing is sent
    /// over it, and it is closed when it is established.
    Connect(ConnectProbe),
}

/// How requests to a STAMP reflector are written.
///
/// [`Ping::probe`](crate::Ping::probe) has an example.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct StampOptions {
    /// The key of the authenticated mode; `None` means the unauthenticated mode.
    pub key: Option<Key>,
    /// The format of the timestamps in requests. A reflector chooses the one of its replies.
    pub timestamp_format: TimestampFormat,
}

impl StampOptions {
    fn layout(&self) -> Layout {
        if self.key.is_some() { Layout::Authenticated } else { Layout::Unauthenticated }
    }
}

impl Probe {
    /// Returns the default size of a request in bytes: 64, 72 for a reflector, and
    /// 160 for one with a key, so that a request has space for all extensions; 0 for a connection.
    pub fn default_size_bytes(&self) -> usize {
        match self {
            Self::Echo | Self::Icmp => ECHO_SIZE_BYTES,
            Self::Stamp(stamp) => {
                let signature = if stamp.key.is_some() { STAMP_HMAC_BYTES } else { 0 };
                stamp.layout().len() + STAMP_EXTENSION_BYTES + signature
            }
            Self::Connect(_) => 0,
        }
    }

    /// Returns the smallest size of a request over a transport, in bytes.
    pub(super) fn size_bytes_min(&self, is_stream: bool) -> usize {
        match self {
            Self::Echo if is_stream => STREAM_REQUEST_BYTES_MIN,
            Self::Echo => REQUEST_BYTES_MIN,
            Self::Stamp(stamp) => stamp.layout().len(),
            Self::Icmp => ICMP_PAYLOAD_MIN,
            Self::Connect(_) => 0,
        }
    }

    /// Returns the largest size of a request, in bytes.
    pub(super) fn size_bytes_max(&self) -> usize {
        match self {
            Self::Echo => REQUEST_BYTES_MAX,
            Self::Stamp(_) => stamp::REQUEST_MAX,
            Self::Icmp => ICMP_PAYLOAD_MAX,
            Self::Connect(_) => 0,
        }
    }

    /// Returns the kind of socket that such requests need.
    pub(super) fn opens(&self) -> Opens {
        match self {
            Self::Echo | Self::Connect(_) => Opens::Transport,
            Self::Stamp(_) => Opens::Stamp,
            Self::Icmp => Opens::Icmp,
        }
    }

    /// Checks that such requests can be sent to an endpoint.
    pub(super) fn check(&self, endpoint: &Endpoint) -> Result<(), ClientError> {
        match self {
            Self::Stamp(_) if endpoint.transport() != Transport::Udp => {
                Err(ClientError::Options(format!("STAMP requires a udp:// endpoint, not {endpoint}")))
            }
            Self::Icmp if endpoint.transport() != Transport::Udp => {
                Err(ClientError::Options(format!("ICMP requires a udp:// endpoint, not {endpoint}")))
            }
            Self::Connect(_) if endpoint.transport().kind() == Kind::Datagrams => Err(ClientError::Options(
                format!("{endpoint} has no connections whose setup could be measured"),
            )),
            _ => Ok(()),
        }
    }

    /// Returns the text of a target that such requests are sent to: that of its endpoint, with the
    /// scheme `stamp` for a reflector, or `icmp` and no port.
    ///
    /// ```
    /// use echosounder_client::{Probe, StampOptions};
    ///
    /// let probe = Probe::Stamp(StampOptions::default());
    /// assert_eq!(probe.display("udp://192.0.2.1:862"), "stamp://192.0.2.1:862");
    /// assert_eq!(Probe::Echo.display("udp://192.0.2.1:862"), "udp://192.0.2.1:862");
    /// ```
    pub fn display(&self, endpoint: &str) -> String {
        self.opens().display(&endpoint)
    }
}
