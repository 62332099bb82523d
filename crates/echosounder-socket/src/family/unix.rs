//! AF_UNIX: paths and abstract names. See unix(7).
//!
//! - A datagram from a socket without a name has no sender, and cannot be answered. A bind to
//!   [`UnixName::Unnamed`] makes up a name.
//! - SOCK_SEQPACKET: a message of length zero cannot be told from the end.
//! - A connect to a listener whose queue is full fails at once with EAGAIN if it may not wait; the socket never
//!   becomes ready for it.
//! - A socket with unread input that is closed resets its peer.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use crate::endpoint_error::EndpointError;
use crate::errno::{PeerFailure, is_forbidden};
use crate::raw_address::RawAddress;

/// Most bytes of a path: all of `sun_path`, since Linux does without the NUL that ends it (unix(7)).
pub const PATH_MAX: usize = 108;

/// Most bytes of an abstract name: `sun_path` without the NUL that begins it.
pub const ABSTRACT_MAX: usize = 107;

const _: () = assert!(std::mem::offset_of!(libc::sockaddr_un, sun_path) == 2);
const _: () = assert!(size_of::<libc::sockaddr_un>() == 2 + PATH_MAX);
// EndpointError names both limits.
const _: () = assert!(PATH_MAX == 108 && ABSTRACT_MAX == 107);

/// The name of a UNIX socket. Names are bytes, not text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// Not bound: the usual client. Bound to, the kernel makes up an abstract name.
    Unnamed,
    /// A path in the file system, without its final NUL: 1 to 108 bytes without a NUL. Other paths are refused with
    /// `InvalidInput` when they are used.
    Path(Box<[u8]>),
    /// A name in the abstract namespace, without the NUL that begins it: at most 107 bytes of any value.
    Abstract(Box<[u8]>),
}

impl UnixName {
    /// Whether a socket can have it and be found by it.
    pub(crate) fn is_usable(&self) -> bool {
        *self != Self::Unnamed && self.fits()
    }

    /// Whether the kernel takes it for what it is: a path ends for it at the first NUL, and an empty one is an abstract
    /// name.
    pub(crate) fn fits(&self) -> bool {
        match self {
            Self::Unnamed => true,
            Self::Path(path) => !path.is_empty() && path.len() <= PATH_MAX && !path.contains(&0),
            Self::Abstract(name) => name.len() <= ABSTRACT_MAX,
        }
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        match self {
            Self::Unnamed => {}
            Self::Path(path) => {
                raw.put(path);
                // A path may fill `sun_path` to its last byte.
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

/// Which socket a path leads to. As long as one is [held](PinnedSocket), no other is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathIdentity {
    device: u64,
    inode: u64,
    owner: u32,
}

impl PathIdentity {
    /// Looks at a path, without following a link: lstat(2).
    ///
    /// # Errors
    ///
    /// As lstat(2); `NotFound` if there is nothing, `InvalidInput` if it is no socket, but a link for example.
    pub fn at(path: &[u8]) -> io::Result<Self> {
        Self::of(&fs::symlink_metadata(OsStr::from_bytes(path))?)
    }

    fn of(about: &fs::Metadata) -> io::Result<Self> {
        if !about.file_type().is_socket() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { device: about.dev(), inode: about.ino(), owner: about.uid() })
    }

    /// The user who has bound it.
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// Whether a user has bound it, as far as that can be told: in a user namespace all users that it does not know
    /// have one number (user_namespaces(7)).
    pub fn is_owned_by(&self, user: u32) -> bool {
        self.owner == user && (user != nobody() || knows_all_users())
    }
}

/// A socket in the file system that is held, so that what is sent to it goes to this one, whatever its path leads
/// to meanwhile.
///
/// Whoever has bound a path may put something else there, and have an answer delivered to a socket that it could
/// not write to itself. Held, a socket can be looked at before it is answered.
#[derive(Debug)]
pub struct PinnedSocket {
    /// Open as long as its name is good.
    _file: File,
    identity: PathIdentity,
    name: UnixName,
}

impl PinnedSocket {
    /// Takes hold of the socket at a path: open(2) with O_PATH.
    ///
    /// # Errors
    ///
    /// As open(2); `NotFound` if there is nothing, `InvalidInput` if it is no socket, but a link for example.
    pub fn open(path: &[u8]) -> io::Result<Self> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(OsStr::from_bytes(path))?;
        let identity = PathIdentity::of(&file.metadata()?)?;
        // Sent to again and again, /proc/self would be looked up each time.
        let process = Path::new("/proc").join(fs::read_link("/proc/self")?);
        let name = process.join("fd").join(file.as_raw_fd().to_string());
        let name = UnixName::Path(name.into_os_string().into_vec().into());
        Ok(Self { _file: file, identity, name })
    }

    /// Which socket it is.
    pub fn identity(&self) -> PathIdentity {
        self.identity
    }

    /// The name by which to send to it, as long as it is held. It leads through /proc.
    pub fn name(&self) -> &UnixName {
        &self.name
    }
}

/// Returns what an error says about the peer, where AF_UNIX has a meaning of its own for it: unix(7).
pub(crate) fn peer_failure(error: &io::Error) -> Option<PeerFailure> {
    // No socket is at the path (ENOENT), or the socket is connected to another peer and takes messages from that
    // one only (EPERM).
    let is_refused = error.kind() == io::ErrorKind::NotFound || is_forbidden(error);
    is_refused.then_some(PeerFailure::Refused)
}

/// The number that stands for users that are not known: /proc/sys/kernel/overflowuid.
fn nobody() -> u32 {
    static NOBODY: OnceLock<u32> = OnceLock::new();
    let read = || fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok();
    *NOBODY.get_or_init(|| read().unwrap_or(65_534))
}

/// Whether this process is in no user namespace but the first: there every number is a user of its own.
fn knows_all_users() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    let read = || {
        fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
    };
    *ALL.get_or_init(read)
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
