//! Buffers for input and output whose placement the kernel's copy likes.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::ops::{Deref, DerefMut};

/// Bytes to receive into or to send from. They start on a 64-byte boundary.
///
/// glibc places every large allocation 16 bytes after a page boundary. On AMD processors with the flag `fsrm` (Zen 3
/// and later) the kernel's copy to user space (`rep movsb`) runs at less than half speed if its destination lies a few
/// bytes after a page boundary: on one machine 8 to 31 bytes, 14.7 µs instead of 6.0 µs for a receive of 16 KiB, on
/// another only 8. A buffer on a boundary of a cache line was fast on both.
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
    /// The content, behind up to 63 bytes of padding.
    bytes: Vec<u8>,
    /// Bytes of padding. It fits the place where the allocation is now.
    start: usize,
}

impl IoBuffer {
    /// The boundary that buffers start on: the length of a cache line.
    pub const ALIGN: usize = 64;

    /// Returns a buffer of `len` zeros.
    ///
    /// # Panics
    ///
    /// If `len` is more than the address space holds.
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
    /// ENOMEM, such as under a low limit of the address space (RLIMIT_AS).
    pub fn try_zeroed(len: usize) -> io::Result<Self> {
        check_memory(len.saturating_add(Self::ALIGN))?;
        Ok(Self::zeroed(len))
    }

    /// Removes the content, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// Calls `append` with a vector to put more content behind what is there. If the vector has to grow for it, the
    /// content is moved to the next boundary afterwards.
    ///
    /// The vector begins with padding, whose length is no one's concern: `append` is only to add to it.
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
        let result = append(&mut self.bytes);
        self.align();
        result
    }

    /// The address of the content, without a reference to it: so pointers from earlier calls stay valid.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr().wrapping_add(self.start)
    }

    /// Moves the content to a boundary, if the allocation is no longer where it was.
    fn align(&mut self) {
        // An `append` that has taken something away has taken padding, too.
        let old = self.start.min(self.bytes.len());
        let len = self.bytes.len() - old;
        if padding(&self.bytes) == old {
            self.start = old;
            return;
        }
        // The vector may move once more when it grows by the padding, but not after that.
        self.bytes.reserve(Self::ALIGN - 1);
        let new = padding(&self.bytes);
        self.bytes.resize(old.max(new) + len, 0);
        self.bytes.copy_within(old..old + len, new);
        self.bytes.truncate(new + len);
        self.start = new;
    }
}

/// Checks that there is memory for an allocation of `len` bytes. Zeroed memory, whose pages are not touched before they are
/// used, has no form in stable Rust that can fail; so the same is allocated once more, for a moment.
pub(crate) fn check_memory(len: usize) -> io::Result<()> {
    let mut trial = Vec::<u8>::new();
    let reserved = trial.try_reserve_exact(len);
    // Otherwise the compiler might leave out an allocation that nothing uses.
    black_box(&trial);
    reserved.map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// How many bytes after the beginning of an allocation the next boundary lies.
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
        buffer.as_ptr().addr().is_multiple_of(IoBuffer::ALIGN)
    }

    #[test]
    fn a_buffer_starts_on_a_boundary_whatever_its_length() {
        // Held together, so that the allocations lie at different places.
        let mut held = Vec::new();
        for len in (0..130).chain([4095, 4096, 65_535, 65_536, 128 * 1024, 256 * 1024, 3 << 20]) {
            let mut buffer = IoBuffer::zeroed(len);
            assert!(is_aligned(&buffer), "{len} bytes");
            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_mut_ptr().addr(), buffer.as_ptr().addr());
            let mut zeros = buffer.iter().take(64).chain(buffer.iter().rev().take(64));
            assert!(zeros.all(|&byte| byte == 0));
            held.push(buffer);
        }
    }

    #[test]
    fn a_buffer_stays_on_a_boundary_when_it_grows_and_is_used_again() {
        let (mut buffer, mut expected) = (IoBuffer::default(), Vec::new());
        let mut others = Vec::new();
        // Miri is too slow for more.
        let rounds = if cfg!(miri) { 30 } else { 600_usize };
        for round in 0..rounds {
            let piece: Vec<u8> = (0..251).cycle().take(round * 7).collect();
            buffer.append_with(|bytes| bytes.extend_from_slice(&piece));
            expected.extend_from_slice(&piece);
            // Between two growths others take memory, so that the buffer cannot grow where it is.
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
    fn what_takes_away_the_padding_does_no_harm() {
        let mut buffer = IoBuffer::zeroed(10);
        buffer.append_with(Vec::clear);
        assert!(buffer.is_empty());
        buffer.append_with(|bytes| *bytes = b"ahoy".to_vec());
        buffer.append_with(|bytes| bytes.extend_from_slice(&[7; 1000]));
        assert!(is_aligned(&buffer) && buffer.ends_with(&[7; 1000]));
    }

    #[test]
    fn without_memory_there_is_an_error_and_no_abort() {
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
    fn a_length_that_overflows_is_refused() {
        let _ = IoBuffer::zeroed(usize::MAX - 10);
    }
}
