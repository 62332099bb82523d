//! AF_ALG: the kernel's cryptography. See Documentation/crypto/userspace-if.rst in the kernel's
//! source.
//!
//! - A socket of [`Type::SEQPACKET`](super::Type::SEQPACKET) is bound to an algorithm. Each
//!   [`accept`](crate::Socket::accept) then returns a socket for one operation, which takes the
//!   input and returns the result. Its peer has no address.
//! - All sends of one input but the last have [`MessageFlags::MORE`](crate::MessageFlags::MORE).
//! - A key is set with the option ALG_SET_KEY before the accept.

use std::fmt;

use crate::raw_address::RawAddress;

const TYPE_MAX: usize = 13;
const NAME_MAX: usize = 63;

/// The address of an algorithm: `struct sockaddr_alg`, linux/if_alg.h.
///
/// ```
/// use echosounder_socket::family::alg::AlgAddress;
/// use echosounder_socket::{Family, Protocol, Socket, Type};
///
/// # fn hash() -> std::io::Result<()> {
/// let algorithm = Socket::new(Family::ALG, Type::SEQPACKET, Protocol::DEFAULT)?;
/// algorithm.bind(AlgAddress::new("hash", "sha256"))?;
/// let (hash, _) = algorithm.accept()?;
/// hash.send_all(b"abc")?;
/// let mut digest = [0; 32];
/// hash.recv(&mut digest)?;
/// assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
/// # Ok(())
/// # }
/// # let _ = hash(); // Not every kernel has the family.
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct AlgAddress {
    /// The type of the algorithm: `hash`, `skcipher`, `aead` or `rng`. At most 13 bytes.
    pub kind: Box<str>,
    /// The name of the algorithm as in /proc/crypto, for example `sha256`. At most 63 bytes.
    pub name: Box<str>,
    /// Features that the algorithm must have: `salg_feat`.
    pub features: u32,
    /// Which features matter: `salg_mask`.
    pub mask: u32,
}

impl AlgAddress {
    /// Creates the address of an algorithm, without demands on its features.
    pub fn new(kind: &str, name: &str) -> Self {
        Self { kind: kind.into(), name: name.into(), features: 0, mask: 0 }
    }

    /// Returns whether the kernel represents the address unchanged.
    pub(crate) fn fits(&self) -> bool {
        let fits = |text: &str, max: usize| text.len() <= max && !text.contains('\0');
        fits(&self.kind, TYPE_MAX) && fits(&self.name, NAME_MAX)
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        let mut kind = [0; TYPE_MAX + 1];
        let mut name = [0; NAME_MAX + 1];
        copy(&mut kind, &self.kind);
        copy(&mut name, &self.name);
        raw.put(&kind);
        raw.put(&self.features.to_ne_bytes());
        raw.put(&self.mask.to_ne_bytes());
        raw.put(&name);
    }

    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        if raw.len() != 88 {
            return None;
        }
        Some(Self {
            kind: text(&raw.field::<{ TYPE_MAX + 1 }>(2)?)?,
            name: text(&raw.field::<{ NAME_MAX + 1 }>(24)?)?,
            features: u32::from_ne_bytes(raw.field(16)?),
            mask: u32::from_ne_bytes(raw.field(20)?),
        })
    }
}

/// Copies as many bytes as fit.
fn copy(to: &mut [u8], text: &str) {
    to.iter_mut().zip(text.bytes()).for_each(|(to, byte)| *to = byte);
}

/// Returns the text before the NUL bytes; `None` if other bytes follow one, or it is not UTF-8.
fn text(bytes: &[u8]) -> Option<Box<str>> {
    let (text, rest) = bytes.split_at(bytes.iter().position(|&byte| byte == 0)?);
    let text = std::str::from_utf8(text).ok()?;
    rest.iter().all(|&byte| byte == 0).then(|| text.into())
}

impl fmt::Display for AlgAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.escape_default(), self.name.escape_default())
    }
}

const _: () = assert!(size_of::<libc::sockaddr_alg>() == 88);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_alg, salg_feat) == 16);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_alg, salg_name) == 24);
