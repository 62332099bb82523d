//! The HMAC of packets and of their extensions.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of an HMAC in a packet: HMAC-SHA-256 truncated to 128 bits (RFC 8762 section 4.4).
pub(super) const HMAC_LEN: usize = 16;

/// The key that a sender and a reflector share. `Debug` does not show it.
///
/// ```
/// use echosounder_proto::stamp::Key;
///
/// assert!(Key::new(b"too short").is_none());
/// assert!(Key::new(&[7; Key::MIN_LEN]).is_some());
/// ```
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// The fewest bytes of a key: those of the HMAC. A shorter key would be easier to guess than
    /// the HMAC.
    pub const MIN_LEN: usize = HMAC_LEN;

    /// Creates a key, or returns `None` if it has fewer than [`MIN_LEN`](Self::MIN_LEN) bytes.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let is_long_enough = Self::MIN_LEN <= bytes.len();
        is_long_enough.then(|| Hmac::new_from_slice(bytes).ok().map(Self)).flatten()
    }

    /// Returns the HMAC of the concatenated parts.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; HMAC_LEN] {
        let digest = self.mac(parts).finalize().into_bytes();
        let mut truncated = [0; HMAC_LEN];
        truncated.copy_from_slice(&digest[..HMAC_LEN]);
        truncated
    }

    /// Returns whether `hmac` is the HMAC of the concatenated parts, in a time that does not depend
    /// on the bytes.
    pub(super) fn verify(&self, parts: &[&[u8]], hmac: &[u8]) -> bool {
        hmac.len() == HMAC_LEN && self.mac(parts).verify_truncated_left(hmac).is_ok()
    }

    /// Writes the HMAC of an authenticated packet into its last field before the extensions. Does
    /// nothing if the packet is too short.
    pub(super) fn sign_packet(&self, packet: &mut [u8]) {
        if let Some((signed, rest)) = packet.split_at_mut_checked(SIGNED_LEN) {
            if let Some(hmac) = rest.get_mut(..HMAC_LEN) {
                hmac.copy_from_slice(&self.sign(&[signed]));
            }
        }
    }

    /// Returns whether an authenticated packet has the HMAC of this key.
    pub(super) fn verify_packet(&self, packet: &[u8]) -> bool {
        packet.split_at_checked(SIGNED_LEN).is_some_and(|(signed, rest)| {
            rest.get(..HMAC_LEN).is_some_and(|hmac| self.verify(&[signed], hmac))
        })
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

/// Bytes of an authenticated packet that its HMAC covers.
const SIGNED_LEN: usize = 96;

/// Keys are equal if they sign alike.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        other.verify(&[], &self.sign(&[]))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 test case 5 shows the first 128 bits of an HMAC-SHA-256; cases 1 and 6 are truncated
    /// here. The key of case 1 has 20 bytes, that of case 6 is longer than a block.
    #[test]
    fn hmacs_are_those_of_rfc_4231() {
        let case = |key: &[u8], data: &[u8]| Key::new(key).map(|key| key.sign(&[data]));
        let hmac = |bits: u128| Some(bits.to_be_bytes());
        assert_eq!(case(&[0x0b; 20], b"Hi There"), hmac(0xb034_4c61_d8db_3853_5ca8_afce_af0b_f12b));
        assert_eq!(
            case(&[0x0c; 20], b"Test With Truncation"),
            hmac(0xa3b6_1674_7310_0ee0_6e0c_796c_2955_552b)
        );
        assert_eq!(
            case(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
            hmac(0x60e4_3159_1ee0_b67f_0d8a_26aa_cbf5_b77f)
        );
    }

    #[test]
    fn keys_are_equal_if_their_bytes_are() {
        assert_eq!(Key::new(&[1; 16]), Key::new(&[1; 16]));
        assert_ne!(Key::new(&[1; 16]), Key::new(&[2; 16]));
    }

    #[test]
    fn one_changed_bit_fails() {
        let key = Key::new(&[1; 32]).unwrap_or_else(|| unreachable!("the key is long enough"));
        let mut packet = [5; 112];
        key.sign_packet(&mut packet);
        assert!(key.verify_packet(&packet));
        for bit in 0..8 * 112 {
            packet[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.verify_packet(&packet), "bit {bit}");
            packet[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(!key.verify_packet(&packet[..111]), "a packet without its whole HMAC");
        assert!(!key.verify(&[b"x"], &[]), "an empty HMAC");
    }
}
