//! The timestamp placeholder, and the digits that replace it.

/// An `ns` timestamp with nothing filled in: a request that begins with it is replied to at its own
/// length.
pub const TIMESTAMP_PLACEHOLDER: &[u8; 42] = b"[0000000000000000000 0000000000000000000] ";

/// Whether a message begins with the placeholder.
pub(crate) fn starts_with_placeholder(message: &[u8]) -> bool {
    // The first byte alone rules out nearly every other message, without a call.
    message.first() == TIMESTAMP_PLACEHOLDER.first() && message.starts_with(TIMESTAMP_PLACEHOLDER)
}

/// Returns the last `N` decimal digits of `value`, with leading zeros.
///
/// Not inlined: the compiler would compute the digits of all fields for every prefix.
#[inline(never)]
pub(crate) fn decimal<const N: usize>(mut value: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for pair in digits.rchunks_mut(2) {
        let last_two = &PAIRS[usize::try_from(value % 100).unwrap_or(0)];
        value /= 100;
        pair.copy_from_slice(&last_two[2 - pair.len()..]);
    }
    digits
}

/// `00` to `99`, so that two digits cost one division.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0_u8;
    while number < 100 {
        pairs[number as usize] = [b'0' + number / 10, b'0' + number % 10];
        number += 1;
    }
    pairs
};
