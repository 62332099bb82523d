//! AF_UNIX: paths and abstract names. See unix(7).

use std::fmt;

use crate::endpoint::EndpointError;

/// Most bytes of a path: all of `sun_path`, since Linux does without the NUL that ends it (unix(7)).
pub const PATH_MAX: usize = 108;

/// Most bytes of an abstract name: `sun_path` without the NUL that begins it.
pub const ABSTRACT_MAX: usize = 107;

/// The name of a UNIX socket. Names are bytes, not text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// Not bound: the usual client. Bound to, the kernel makes up an abstract name.
    Unnamed,
    /// A path in the file system, without its final NUL.
    Path(Box<[u8]>),
    /// A name in the abstract namespace, without the NUL that begins it; it may hold any byte.
    Abstract(Box<[u8]>),
}

impl UnixName {
    /// Whether a socket can have it and be found by it.
    pub(crate) fn is_usable(&self) -> bool {
        match self {
            Self::Unnamed => false,
            Self::Path(path) => !path.is_empty() && path.len() <= PATH_MAX && !path.contains(&0),
            Self::Abstract(name) => name.len() <= ABSTRACT_MAX,
        }
    }

    /// Parses `PATH` or `@NAME`, in which `%41` stands for the byte 0x41.
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

impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unnamed => f.write_str("unnamed"),
            // A path that begins with @ would read as an abstract name.
            Self::Path(path) => match path.strip_prefix(b"@") {
                Some(rest) => {
                    f.write_str("%40")?;
                    encode(rest, f)
                }
                None => encode(path, f),
            },
            Self::Abstract(name) => {
                f.write_str("@")?;
                encode(name, f)
            }
        }
    }
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
