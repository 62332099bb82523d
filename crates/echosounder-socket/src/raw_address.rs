//! Socket addresses in the kernel's representation.

use std::hash::{Hash, Hasher};

use crate::family::Family;

/// A socket address in the kernel's representation: a `sockaddr` of any family and its length.
///
/// ```
/// use echosounder_socket::{Address, RawAddress};
///
/// let address: Address = "127.0.0.1:80".parse()?;
/// let raw = RawAddress::try_from(&address)?;
/// assert_eq!(raw.as_bytes()[2..8], [0, 80, 127, 0, 0, 1]);
/// assert_eq!(Address::from(&raw), address);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct RawAddress {
    bytes: [u8; Self::CAPACITY as usize],
    len: u32,
}

impl RawAddress {
    /// Maximum length of an address of any family: `sizeof(struct sockaddr_storage)`.
    pub(crate) const CAPACITY: u32 = 128;

    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; Self::CAPACITY as usize], len: 0 }
    }

    /// Returns an address that consists of the family only.
    pub(crate) fn of_family(family: Family) -> Self {
        let mut raw = Self::empty();
        // The numbers of all families that socket(2) knows fit 16 bits.
        raw.put(&u16::try_from(family.0).unwrap_or(0).to_ne_bytes());
        raw
    }

    /// Returns the address with these bytes. Bytes beyond the first 128 are ignored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut raw = Self::empty();
        raw.put(&bytes[..bytes.len().min(Self::CAPACITY as usize)]);
        raw
    }

    /// Returns the address family; [`Family::UNSPEC`] for an empty address.
    pub(crate) fn family(&self) -> Family {
        Family(self.field(0).map_or(0, |family| i32::from(u16::from_ne_bytes(family))))
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

    /// Sets the length that the kernel reported, which exceeds the capacity if it truncated the
    /// address.
    pub(crate) fn set_len(&mut self, len: u32) {
        self.len = len.min(Self::CAPACITY);
    }

    /// Returns the bytes of the address, including the family.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// Returns whether all bytes are equal. Comparing words is faster than a call of memcmp(3) for
    /// so few bytes.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let word = |bytes: &[u8]| bytes.first_chunk().map(|word| u64::from_ne_bytes(*word));
        let (words, others) = (self.as_bytes().chunks_exact(8), other.as_bytes().chunks_exact(8));
        self.len == other.len
            && words.remainder() == others.remainder()
            && words.zip(others).all(|(one, other)| word(one) == word(other))
    }

    /// Appends bytes, up to the capacity.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let start = self.len as usize;
        let spare = &mut self.bytes[start..];
        let fits = bytes.len().min(spare.len());
        spare[..fits].copy_from_slice(&bytes[..fits]);
        self.len += u32::try_from(fits).expect("an address has at most 128 bytes");
    }

    /// Returns the bytes at an offset, or `None` beyond the end of the address.
    pub(crate) fn field<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.as_bytes().get(at..)?.first_chunk().copied()
    }
}

impl PartialEq for RawAddress {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl Eq for RawAddress {}

impl Hash for RawAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

const _: () = assert!(size_of::<libc::sockaddr_storage>() == RawAddress::CAPACITY as usize);
const _: () = assert!(align_of::<libc::sockaddr_storage>() <= align_of::<RawAddress>());
