//! AF_UNIX: paths and abstract names. See unix(7).
//!
//! - A datagram from an unbound socket has no source address, so it cannot be replied to. Binding
//!   to [`UnixName::Unnamed`] makes the kernel choose an abstract name.
//! - SOCK_SEQPACKET: recv(2) returns zero for an empty message and at the end. See
//!   [`Socket::has_ended`].
//! - A non-blocking connect to a listener whose queue is full fails with EAGAIN, and poll(2) does
//!   not report when the queue has space.
//! - Closing a socket with unread input resets the connection.
//!
//! [`Socket::has_ended`]: crate::Socket::has_ended

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;

use crate::endpoint_error::EndpointError;
use crate::errno::{PeerFailure, is_forbidden};
use crate::raw_address::RawAddress;

/// Maximum length of a path in bytes: all of `sun_path`, because Linux does not need the final NUL
/// (unix(7)).
pub const PATH_MAX: usize = 108;

/// Maximum length of an abstract name in bytes: `sun_path` without the initial NUL.
pub const ABSTRACT_MAX: usize = 107;

/// The text of a socket without a name.
const UNNAMED: &str = "unnamed";

const _: () = assert!(std::mem::offset_of!(libc::sockaddr_un, sun_path) == 2);
const _: () = assert!(size_of::<libc::sockaddr_un>() == 2 + PATH_MAX);
// EndpointError names both limits.
const _: () = assert!(PATH_MAX == 108 && ABSTRACT_MAX == 107);

/// The name of a UNIX socket. Names are bytes, not text.
///
/// As text, it is a path, `@` and an abstract name, or `unnamed`. Bytes that do not print, spaces
/// and percent signs are written as `%` and two hexadecimal digits.
///
/// ```
/// use echosounder_socket::family::unix::UnixName;
///
/// let name = UnixName::path("/run/my echo");
/// assert_eq!(name.to_string(), "/run/my%20echo");
/// assert_eq!("/run/my%20echo".parse(), Ok(name));
/// assert_eq!("@echo".parse(), Ok(UnixName::abstract_name("echo")));
/// assert_eq!(format!("{:?}", UnixName::abstract_name("a\0b")), r#"Abstract("a\x00b")"#);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnixName {
    /// No name, as an unbound client has. In a bind, the kernel chooses an abstract name.
    Unnamed,
    /// A path in the file system: 1 to 108 bytes without a NUL. System calls refuse other paths
    /// with `InvalidInput`.
    Path(Box<[u8]>),
    /// A name in the abstract namespace, without its initial NUL: at most 107 bytes of any value.
    Abstract(Box<[u8]>),
}

impl UnixName {
    /// Returns the name of a path. It is not checked: a path that is empty, contains a NUL byte or
    /// exceeds 108 bytes is refused when it is used.
    pub fn path(path: impl AsRef<Path>) -> Self {
        Self::Path(path.as_ref().as_os_str().as_bytes().into())
    }

    /// Returns a name in the abstract namespace, without its initial NUL. It is not checked: more
    /// than 107 bytes are refused when the name is used.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self::Abstract(name.as_ref().into())
    }

    /// Returns the path; `None` for other names.
    ///
    /// ```
    /// use echosounder_socket::family::unix::UnixName;
    /// use std::path::Path;
    ///
    /// assert_eq!(UnixName::path("/run/echo").as_path(), Some(Path::new("/run/echo")));
    /// assert_eq!(UnixName::Unnamed.as_path(), None);
    /// ```
    pub fn as_path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(Path::new(OsStr::from_bytes(path))),
            Self::Unnamed | Self::Abstract(_) => None,
        }
    }

    /// Returns whether a client can connect to the name.
    pub(crate) fn is_usable(&self) -> bool {
        *self != Self::Unnamed && self.check().is_ok()
    }

    /// Checks that the kernel represents the name unchanged. It ends a path at the first NUL and
    /// takes an empty path for an abstract name.
    pub(crate) fn check(&self) -> Result<(), EndpointError> {
        match self {
            Self::Path(path) if path.is_empty() => Err(EndpointError::NoPath),
            Self::Path(path) if path.contains(&0) => Err(EndpointError::NulInPath),
            Self::Path(path) if PATH_MAX < path.len() => Err(EndpointError::PathTooLong(path.len())),
            Self::Abstract(name) if ABSTRACT_MAX < name.len() => Err(EndpointError::NameTooLong(name.len())),
            Self::Unnamed | Self::Path(_) | Self::Abstract(_) => Ok(()),
        }
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        match self {
            Self::Unnamed => {}
            Self::Path(path) => {
                raw.put(path);
                // A path may fill `sun_path` completely.
                if path.len() < PATH_MAX {
                    raw.put(&[0]);
                }
            }
            Self::Abstract(name) => {
                raw.put(&[0]);
                raw.put(name);
            }
        }
    }

    pub(crate) fn get(raw: &RawAddress) -> Self {
        match raw.as_bytes().get(2..).unwrap_or_default() {
            [] => Self::Unnamed,
            [0, name @ ..] => Self::Abstract(name.into()),
            path => {
                let end = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
                Self::Path(path[..end].into())
            }
        }
    }

    /// Parses `PATH` or `@NAME`, with `%41` for the byte 0x41.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        match text.strip_prefix('@') {
            Some(name) => match decode(name)? {
                name if ABSTRACT_MAX < name.len() => Err(EndpointError::NameTooLong(name.len())),
                name => Ok(Self::Abstract(name.into())),
            },
            None => match decode(text)? {
                path if path.is_empty() => Err(EndpointError::NoPath),
                path if path.contains(&0) => Err(EndpointError::NulInPath),
                path if PATH_MAX < path.len() => Err(EndpointError::PathTooLong(path.len())),
                path => Ok(Self::Path(path.into())),
            },
        }
    }
}

/// As [`UnixName::path`].
impl From<&Path> for UnixName {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<SocketAddr> for UnixName {
    fn from(address: SocketAddr) -> Self {
        Self::from(&address)
    }
}

impl From<&SocketAddr> for UnixName {
    fn from(address: &SocketAddr) -> Self {
        match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => Self::path(path),
            (None, Some(name)) => Self::abstract_name(name),
            (None, None) => Self::Unnamed,
        }
    }
}

/// # Errors
///
/// `InvalidInput` for a name that std does not accept, such as a path of 108 bytes.
impl TryFrom<UnixName> for SocketAddr {
    type Error = io::Error;

    fn try_from(name: UnixName) -> io::Result<Self> {
        (&name).try_into()
    }
}

/// # Errors
///
/// `InvalidInput` for a name that std does not accept, such as a path of 108 bytes.
impl TryFrom<&UnixName> for SocketAddr {
    type Error = io::Error;

    fn try_from(name: &UnixName) -> io::Result<Self> {
        match name {
            // The empty path is std's name for an unnamed socket.
            UnixName::Unnamed => Self::from_pathname(""),
            UnixName::Path(path) if path.is_empty() => Err(io::ErrorKind::InvalidInput.into()),
            UnixName::Path(path) => Self::from_pathname(OsStr::from_bytes(path)),
            UnixName::Abstract(name) => Self::from_abstract_name(name),
        }
    }
}

/// Returns whether a text without a scheme is the name of a UNIX socket: an absolute path, a relative
/// one that begins with a dot, or `@` and an abstract name.
pub(crate) fn is_bare_name(text: &str) -> bool {
    ["/", "./", "../", "@"].iter().any(|start| text.starts_with(start))
}

impl FromStr for UnixName {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text == UNNAMED { Ok(Self::Unnamed) } else { Self::parse(text) }
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("Unnamed"),
            Self::Path(path) => write!(f, "Path(\"{}\")", path.escape_ascii()),
            Self::Abstract(name) => write!(f, "Abstract(\"{}\")", name.escape_ascii()),
        }
    }
}

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str(UNNAMED),
            // A path that begins with @ would be parsed as an abstract name.
            Self::Path(path) => match &path[..] {
                [first, rest @ ..] if *first == b'@' || **path == *UNNAMED.as_bytes() => {
                    write!(f, "%{first:02X}")?;
                    encode(rest, f)
                }
                path => encode(path, f),
            },
            Self::Abstract(name) => {
                f.write_str("@")?;
                encode(name, f)
            }
        }
    }
}

/// Returns the failure of the peer that an error indicates, if AF_UNIX gives it its own meaning:
/// unix(7).
pub(crate) fn peer_failure(error: &io::Error) -> Option<PeerFailure> {
    // No socket is at the path (ENOENT), or the socket is connected to another peer and takes
    // messages from that one only (EPERM).
    let is_refused = error.kind() == io::ErrorKind::NotFound || is_forbidden(error);
    is_refused.then_some(PeerFailure::Refused)
}

fn encode(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|&byte| match byte {
        b'%' => f.write_str("%25"),
        b'!'..=b'~' => write!(f, "{}", char::from(byte)),
        _ => write!(f, "%{byte:02X}"),
    })
}

fn decode(text: &str) -> Result<Vec<u8>, EndpointError> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    decoded.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let bad = || EndpointError::BadPercent(part.chars().take(2).collect());
        let (digits, rest) = part.split_at_checked(2).ok_or_else(bad)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(bad());
        }
        decoded.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
        decoded.extend_from_slice(rest.as_bytes());
    }
    Ok(decoded)
}
