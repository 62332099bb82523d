//! An address in the kernel's representation.

use crate::family::Family;

/// An address as the kernel reads and writes it: a `sockaddr` of any family, and its length.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct RawAddress {
    bytes: [u8; Self::CAPACITY as usize],
    len: u32,
}

impl RawAddress {
    /// Room for every family's address: `sizeof(struct sockaddr_storage)`.
    pub(crate) const CAPACITY: u32 = 128;

    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; Self::CAPACITY as usize], len: 0 }
    }

    /// An address of which nothing but the family is known.
    pub(crate) fn of_family(family: Family) -> Self {
        let mut raw = Self::empty();
        // The number of a family that is known fits: all that socket(2) knows do.
        raw.put(&u16::try_from(family.0).unwrap_or(0).to_ne_bytes());
        raw
    }

    /// The address whose bytes these are, of which no more count than any address has.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut raw = Self::empty();
        raw.put(&bytes[..bytes.len().min(Self::CAPACITY as usize)]);
        raw
    }

    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Notes how long the address is that the kernel wrote; it may have had more to say than there was room.
    pub(crate) fn set_len(&mut self, len: u32) {
        self.len = len.min(Self::CAPACITY);
    }

    /// The address's bytes, the family included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// Whether it is the same address. Those of one family are compared in words, which is less than a call for the
    /// few that there are.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let ((words, rest), (others, other_rest)) =
            (self.as_bytes().as_chunks::<8>(), other.as_bytes().as_chunks());
        let same =
            |(word, other): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*word) == u64::from_ne_bytes(*other);
        self.len == other.len && words.iter().zip(others).all(same) && rest == other_rest
    }

    /// Writes what comes next.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let start = self.len as usize;
        let room = &mut self.bytes[start..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.len += u32::try_from(fits).expect("an address has at most 128 bytes");
    }

    /// What stands at an offset, if the address is so long.
    pub(crate) fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.as_bytes().get(at..)?.first_chunk().copied()
    }
}

const _: () = assert!(size_of::<libc::sockaddr_storage>() == RawAddress::CAPACITY as usize);
const _: () = assert!(align_of::<libc::sockaddr_storage>() <= align_of::<RawAddress>());
