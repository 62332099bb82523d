//! Control messages as bytes: the layout that cmsg(3) describes.

use std::fmt;

/// Length of a `cmsghdr`: a length, a level and a type.
pub(crate) const HEADER: usize = size_of::<libc::cmsghdr>();

/// Alignment of each control message.
pub(crate) const ALIGN: usize = size_of::<usize>();

const _: () = assert!(HEADER == 16 && ALIGN == 8, "cmsghdr is laid out here as on 64-bit Linux");

/// A control message as the kernel writes it: level, type and data.
///
/// ```
/// use echosounder_socket::{ControlMessage, RawControl};
///
/// // IPPROTO_IPV6 and IPV6_HOPLIMIT, from ipv6(7).
/// let raw = RawControl { level: 41, kind: 52, data: &64_i32.to_ne_bytes() };
/// assert!(matches!(ControlMessage::decode(raw), ControlMessage::HopLimit(64)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawControl<'a> {
    /// The protocol level, for example SOL_SOCKET.
    pub level: i32,
    /// The type within the level.
    pub kind: i32,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> RawControl<'a> {
    /// Returns the control messages in a buffer, up to the first malformed one.
    #[doc(alias = "CMSG_NXTHDR")]
    #[doc(alias = "CMSG_FIRSTHDR")]
    pub fn walk(mut bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        std::iter::from_fn(move || {
            let (first, rest) = Self::split_first(bytes)?;
            bytes = rest;
            Some(first)
        })
    }

    fn split_first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (header, _) = bytes.split_first_chunk::<HEADER>()?;
        let (len, ids) = header.split_first_chunk::<8>()?;
        let (level, kind) = ids.split_first_chunk::<4>()?;
        let len = usize::from_ne_bytes(*len);
        let data = bytes.get(HEADER..len)?;
        let rest = bytes.get(len.next_multiple_of(ALIGN)..).unwrap_or_default();
        let (level, kind) = (i32::from_ne_bytes(*level), i32::from_ne_bytes(*kind.first_chunk()?));
        Some((Self { level, kind, data }, rest))
    }

    pub(crate) fn fields(self) -> Fields<'a> {
        Fields(self.data)
    }
}

impl fmt::Debug for RawControl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawControl")
            .field("level", &self.level)
            .field("kind", &self.kind)
            .field("data", &Hex(self.data))
            .finish()
    }
}

/// A control message that owns its data: level, type and data.
///
/// [`ControlMessage::to_raw`](crate::ControlMessage::to_raw) returns one.
///
/// [`RawControl`] has an example.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawControlBuf {
    /// The protocol level, for example SOL_SOCKET.
    pub level: i32,
    /// The type within the level.
    pub kind: i32,
    /// The data.
    pub data: Box<[u8]>,
}

impl RawControlBuf {
    /// Returns the same control message with borrowed data.
    ///
    /// ```
    /// use echosounder_socket::{RawControl, RawControlBuf};
    ///
    /// let owned = RawControlBuf { level: 1, kind: 3, data: b"label".as_slice().into() };
    /// assert_eq!(owned.as_raw(), RawControl { level: 1, kind: 3, data: b"label" });
    /// ```
    pub fn as_raw(&self) -> RawControl<'_> {
        RawControl { level: self.level, kind: self.kind, data: &self.data }
    }
}

impl From<RawControl<'_>> for RawControlBuf {
    fn from(raw: RawControl<'_>) -> Self {
        Self { level: raw.level, kind: raw.kind, data: raw.data.into() }
    }
}

impl fmt::Debug for RawControlBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawControlBuf")
            .field("level", &self.level)
            .field("kind", &self.kind)
            .field("data", &Hex(&self.data))
            .finish()
    }
}

/// Bytes for Debug, as hexadecimal numbers.
struct Hex<'a>(&'a [u8]);

impl fmt::Debug for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", self.0)
    }
}

/// Reads fields from the data of a control message, in native byte order.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    pub(crate) fn bytes<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk().copied()
    }

    /// Returns the data, if it has exactly `N` bytes.
    pub(crate) fn exactly<const N: usize>(self) -> Option<[u8; N]> {
        self.0.try_into().ok()
    }

    pub(crate) fn u16(self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_ne_bytes)
    }

    pub(crate) fn i32(self, at: usize) -> Option<i32> {
        self.bytes(at).map(i32::from_ne_bytes)
    }

    pub(crate) fn u32(self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_ne_bytes)
    }

    pub(crate) fn i64(self, at: usize) -> Option<i64> {
        self.bytes(at).map(i64::from_ne_bytes)
    }
}

/// Writes one control message and returns its length in `control`, including padding.
pub(crate) fn put(control: &mut [u8], level: i32, kind: i32, data: &[u8]) -> usize {
    let len = HEADER + data.len();
    control[..8].copy_from_slice(&len.to_ne_bytes());
    control[8..12].copy_from_slice(&level.to_ne_bytes());
    control[12..16].copy_from_slice(&kind.to_ne_bytes());
    control[HEADER..len].copy_from_slice(data);
    len.next_multiple_of(ALIGN)
}
