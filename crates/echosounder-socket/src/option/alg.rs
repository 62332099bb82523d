//! Options of the kernel's cryptography: SOL_ALG, the kernel's document crypto/userspace-if. The
//! numbers are those of linux/if_alg.h.

use super::value::{SetValue, SocketOption, WriteOnly, options};

/// The length of the authentication tag of an AEAD cipher in bytes, 1 to 255.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AeadTagLength(pub u8);

/// The kernel takes the length of the value, and does not read its bytes.
impl SetValue for AeadTagLength {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        Some(vec![0; self.0.into()])
    }
}

options! {
    level libc::SOL_ALG;
    /// The length of the authentication tag of an AEAD cipher: the kernel's document
    /// crypto/userspace-if.
    ALG_SET_AEAD_AUTHSIZE: SocketOption<AeadTagLength, WriteOnly> = 5;
    /// The entropy of a random number generator, for tests: Linux 5.10.
    ALG_SET_DRBG_ENTROPY: SocketOption<Vec<u8>, WriteOnly> = 6;
    /// The key of a cipher or keyed hash: the kernel's document crypto/userspace-if.
    ALG_SET_KEY: SocketOption<Vec<u8>, WriteOnly> = 1;
}
