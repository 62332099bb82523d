//! Buffers for input and output, aligned so that the kernel copies them fast.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::ops::{Deref, DerefMut};

/// A buffer to receive into or to send from, which starts on a 64-byte boundary.
///
/// glibc places every large allocation 16 bytes after a page boundary. On AMD processors with the
/// flag `fsrm` (Zen 3 and later) the kernel's copy to user space (`rep movsb`) runs at less than
/// half speed if the destination lies a few bytes after a page boundary. One machine was slow at
/// offsets of 8 to 31 bytes (14.7 µs instead of 6.0 µs for a receive of 16 KiB), another at an
/// offset of 8 only. A buffer on a cache line boundary was fast on both.
///
/// ```
/// use echosounder_socket::IoBuffer;
///
/// let mut buffer = IoBuffer::zeroed(64 * 1024);
/// buffer[..4].copy_from_slice(b"ahoy");
/// assert_eq!((buffer.len(), buffer.as_ptr().addr() % IoBuffer::ALIGN), (64 * 1024, 0));
/// ```
#[derive(Default)]
pub struct IoBuffer {
    /// Up to 63 bytes of padding, then the content.
    bytes: Vec<u8>,
    /// Number of bytes of padding that the present allocation needs.
    start: usize,
}

impl IoBuffer {
    /// The alignment of a buffer in bytes: the length of a cache line.
    pub const ALIGN: usize = 64;

    /// Returns a buffer of `len` zeros.
    ///
    /// # Panics
    ///
    /// If `len` overflows the address space.
    pub fn zeroed(len: usize) -> Self {
        let padded = len.checked_add(Self::ALIGN - 1).expect("a buffer fits the address space");
        let mut bytes = vec![0; padded];
        let start = padding(&bytes);
        bytes.truncate(start + len);
        Self { bytes, start }
    }

    /// Returns a buffer of `len` zeros, if there is memory for it.
    ///
    /// # Errors
    ///
    /// ENOMEM, for example under a low limit of the address space (RLIMIT_AS).
    pub fn try_zeroed(len: usize) -> io::Result<Self> {
        check_memory(len.saturating_add(Self::ALIGN))?;
        Ok(Self::zeroed(len))
    }

    /// Removes the content and keeps the allocation.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// Calls `append` with a vector to which it appends content. If the vector is reallocated, the
    /// content is then moved to the next boundary.
    ///
    /// The vector starts with padding of any length, so `append` must not rely on its length or
    /// remove anything.
    ///
    /// ```
    /// use echosounder_socket::IoBuffer;
    ///
    /// let mut buffer = IoBuffer::default();
    /// buffer.append_with(|bytes| bytes.extend_from_slice(b"ahoy"));
    /// buffer.append_with(|bytes| bytes.push(b'!'));
    /// assert_eq!(&buffer[..], b"ahoy!");
    /// ```
    pub fn append_with<T>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        // Aligns the content even if `append` panics.
        let aligning = Aligning(self);
        append(&mut aligning.0.bytes)
    }

    /// Returns a pointer to the content that is not derived from a reference, so that pointers from
    /// earlier calls stay valid.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr().wrapping_add(self.start)
    }

    /// Moves the content to a boundary if the allocation has moved.
    fn align(&mut self) {
        // An `append` that shortened the vector may have removed padding.
        let old = self.start.min(self.bytes.len());
        let len = self.bytes.len() - old;
        if padding(&self.bytes) == old {
            self.start = old;
            return;
        }
        // Reserve first: growing by the padding may move the vector once more.
        self.bytes.reserve(Self::ALIGN - 1);
        let new = padding(&self.bytes);
        self.bytes.resize(old.max(new) + len, 0);
        self.bytes.copy_within(old..old + len, new);
        self.bytes.truncate(new + len);
        self.start = new;
    }
}

/// Aligns a buffer when it is dropped.
struct Aligning<'a>(&'a mut IoBuffer);

impl Drop for Aligning<'_> {
    fn drop(&mut self) {
        self.0.align();
    }
}

/// Checks that there is memory for an allocation of `len` bytes, by allocating and freeing as much.
/// Stable Rust has no fallible way to allocate zeroed memory without touching its pages.
pub(crate) fn check_memory(len: usize) -> io::Result<()> {
    let mut trial = Vec::<u8>::new();
    let reserved = trial.try_reserve_exact(len);
    // Keeps the compiler from removing the unused allocation.
    black_box(&trial);
    reserved.map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Returns the number of bytes from the start of an allocation to the next boundary.
fn padding(bytes: &[u8]) -> usize {
    let start = bytes.as_ptr().addr();
    start.next_multiple_of(IoBuffer::ALIGN) - start
}

impl Deref for IoBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl DerefMut for IoBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

impl fmt::Debug for IoBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBuffer").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(buffer: &IoBuffer) -> bool {
        buffer.as_ptr().addr() % IoBuffer::ALIGN == 0
    }

    #[test]
    fn zeroed_buffers_of_any_length_are_aligned() {
        // Kept alive together, so that the allocations have different addresses.
        let mut buffers = Vec::new();
        for len in (0..130).chain([4095, 4096, 65_535, 65_536, 128 * 1024, 256 * 1024, 3 << 20]) {
            let mut buffer = IoBuffer::zeroed(len);
            assert!(is_aligned(&buffer), "{len} bytes");
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_mut_ptr().addr(), buffer.as_ptr().addr());
            let mut zeros = buffer.iter().take(64).chain(buffer.iter().rev().take(64));
            assert!(zeros.all(|&byte| byte == 0));
            buffers.push(buffer);
        }
    }

    #[test]
    fn growing_and_reused_buffers_stay_aligned() {
        let (mut buffer, mut expected) = (IoBuffer::default(), Vec::new());
        let mut others = Vec::new();
        // Miri is too slow for more.
        let rounds = if cfg!(miri) { 30 } else { 600_usize };
        for round in 0..rounds {
            let piece: Vec<u8> = (0..251).cycle().take(round * 7).collect();
            buffer.append_with(|bytes| bytes.extend_from_slice(&piece));
            expected.extend_from_slice(&piece);
            // Other allocations in between keep the buffer from growing in place.
            others.push(vec![0_u8; round]);
            assert!(is_aligned(&buffer), "round {round}");
            assert_eq!(&buffer[..], &expected[..], "round {round}");
            if round % 100 == 99 {
                buffer.clear();
                expected.clear();
                assert!(buffer.is_empty());
            }
        }
    }

    #[test]
    fn removing_the_padding_is_harmless() {
        let mut buffer = IoBuffer::zeroed(10);
        buffer.append_with(Vec::clear);
        assert!(buffer.is_empty());
        buffer.append_with(|bytes| *bytes = b"ahoy".to_vec());
        buffer.append_with(|bytes| bytes.extend_from_slice(&[7; 1000]));
        assert!(is_aligned(&buffer) && buffer.ends_with(&[7; 1000]));
    }

    #[test]
    fn panic_in_append_leaves_a_valid_buffer() {
        let mut buffer = IoBuffer::zeroed(100);
        let appended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            buffer.append_with(|bytes| {
                *bytes = Vec::new();
                panic!("expected by this test");
            })
        }));
        assert!(appended.is_err() && buffer.is_empty());
        buffer.append_with(|bytes| bytes.extend_from_slice(b"ahoy"));
        assert!(is_aligned(&buffer) && buffer[..] == *b"ahoy");
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri aborts when an allocation fails")]
    fn lack_of_memory_is_an_error() {
        assert_eq!(IoBuffer::try_zeroed(100).unwrap().len(), 100);
        for len in [usize::MAX / 2 - 100, usize::MAX] {
            assert_eq!(IoBuffer::try_zeroed(len).unwrap_err().raw_os_error(), Some(libc::ENOMEM), "{len}");
            assert_eq!(
                crate::Batch::try_new(2, len).unwrap_err().raw_os_error(),
                Some(libc::ENOMEM),
                "{len}"
            );
        }
        assert!(crate::Batch::try_new(2, 100).is_ok());
    }

    #[test]
    #[should_panic(expected = "fits the address space")]
    fn overflowing_length_panics() {
        let _ = IoBuffer::zeroed(usize::MAX - 10);
    }
}
