//! The extensions of RFC 8972: type, length and value, behind the fields of a packet.

use super::auth::{HMAC_LEN, Key};

/// Type of padding (RFC 8972 section 4.1).
pub const EXTRA_PADDING: u8 = 1;
/// Type of the sources and methods of the reflector's timestamps (RFC 8972 section 4.3).
pub const TIMESTAMP_INFORMATION: u8 = 3;
/// Type of the DSCP and ECN of a request as it arrived (RFC 8972 section 4.4).
pub const CLASS_OF_SERVICE: u8 = 4;
/// Type of the counts of packets at both ends (RFC 8972 section 4.5).
pub const DIRECT_MEASUREMENT: u8 = 5;
/// Type of the HMAC of the extensions before it (RFC 8972 section 4.8).
pub const HMAC: u8 = 8;

/// Flag U: the reflector does not know the type. A sender sets it, so that it stays set if the
/// reflector copies the extensions without reading them.
pub const UNRECOGNIZED: u8 = 0x80;
/// Flag M: the length is wrong for the type, or beyond the end of the packet. A sender sets it.
pub const MALFORMED: u8 = 0x40;
/// Flag I: the HMAC of the extensions is wrong.
pub const INTEGRITY_FAILED: u8 = 0x20;

/// Bytes of flags, type and length.
pub(super) const HEADER: usize = 4;

/// The timestamps come from a local clock without a source (RFC 8972 section 4.3).
const FREE_RUNNING: u8 = 5;
/// The clock is synchronized by NTP. The kernel does not report the protocol, so PTP is shown as NTP.
const NTP: u8 = 1;
/// Timestamps by software (RFC 8972 section 4.3).
const SOFTWARE: u8 = 2;

/// An extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// The position of its first byte.
    pub at: usize,
    /// Flags, such as [`UNRECOGNIZED`].
    pub flags: u8,
    /// The type, such as [`CLASS_OF_SERVICE`].
    pub kind: u8,
    /// The value, or its beginning if the packet ends before it does.
    pub value: &'a [u8],
    /// Whether the packet ends before the value does.
    pub is_truncated: bool,
}

impl Tlv<'_> {
    /// Returns whether the reflector has understood it, found its length correct and its HMAC
    /// valid.
    pub fn is_answered(&self) -> bool {
        !self.is_truncated && self.flags & (UNRECOGNIZED | MALFORMED | INTEGRITY_FAILED) == 0
    }

    fn end(&self) -> usize {
        self.at + HEADER + self.value.len()
    }
}

/// Iterates over the extensions in `tail`, the bytes behind the fields of a packet.
///
/// It ends at a type of zero, which is reserved: padding without a type, such as that of TWAMP,
/// mostly is zeros. It ends after an extension that the packet truncates.
///
/// ```
/// use echosounder_proto::stamp::tlv;
///
/// let tail = [0x80, tlv::EXTRA_PADDING, 0, 2, 9, 9, 0x80, 200, 0, 9];
/// let found: Vec<_> = tlv::walk(&tail).map(|tlv| (tlv.at, tlv.kind, tlv.is_truncated)).collect();
/// assert_eq!(found, [(0, tlv::EXTRA_PADDING, false), (6, 200, true)]);
/// ```
pub fn walk(tail: &[u8]) -> impl Iterator<Item = Tlv<'_>> {
    let mut next = 0;
    core::iter::from_fn(move || {
        let tlv = tlv_at(tail, next)?;
        next = if tlv.is_truncated { tail.len() } else { tlv.end() };
        Some(tlv)
    })
}

fn tlv_at(tail: &[u8], at: usize) -> Option<Tlv<'_>> {
    let rest = tail.get(at..)?;
    let &[flags, kind, high, low] = rest.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    let value = &rest[HEADER..];
    let is_truncated = value.len() < len;
    let value = value.get(..len).unwrap_or(value);
    (kind != 0).then_some(Tlv { at, flags, kind, value, is_truncated })
}

/// The values that a reflector writes into extensions.
pub(super) struct Facts {
    /// Traffic class or type of service of the request, DSCP and ECN, as it arrived.
    pub(super) traffic_class: Option<u8>,
    /// Whether a request may choose the DSCP of its reply.
    pub(super) honours_dscp: bool,
    pub(super) is_synchronized: bool,
    /// Requests received and replies sent in the session, both with this one.
    pub(super) counts: Option<(u32, u32)>,
    /// Whether HMAC extensions are verified and written.
    pub(super) has_key: bool,
}

/// Answers the extensions of a request in place. Returns the DSCP that the reply is to have.
pub(super) fn answer(tail: &mut [u8], facts: &Facts) -> Option<u8> {
    let (mut dscp, mut next) = (None, 0);
    while let Some(tlv) = tlv_at(tail, next) {
        let (at, kind, end, is_truncated) = (tlv.at, tlv.kind, tlv.end(), tlv.is_truncated);
        let flags = if is_truncated {
            MALFORMED
        } else {
            answer_value(kind, &mut tail[at + HEADER..end], facts, &mut dscp)
        };
        tail[at] = flags;
        if is_truncated {
            break;
        }
        next = end;
    }
    dscp
}

/// Answers one extension, and returns its flags.
fn answer_value(kind: u8, value: &mut [u8], facts: &Facts, dscp: &mut Option<u8>) -> u8 {
    match (kind, value.len()) {
        (EXTRA_PADDING, _) => 0,
        (TIMESTAMP_INFORMATION, 4) => {
            let source = if facts.is_synchronized { NTP } else { FREE_RUNNING };
            value.copy_from_slice(&[source, SOFTWARE, source, SOFTWARE]);
            0
        }
        (CLASS_OF_SERVICE, 4) => {
            let Some(class) = facts.traffic_class else { return UNRECOGNIZED };
            let requested = value[0] >> 2;
            if facts.honours_dscp {
                *dscp = Some(requested);
            }
            let answer = ClassOfService { requested, class, is_refused: !facts.honours_dscp };
            value.copy_from_slice(&answer.bytes());
            0
        }
        (DIRECT_MEASUREMENT, 12) => {
            let Some((received, sent)) = facts.counts else { return UNRECOGNIZED };
            value[4..8].copy_from_slice(&received.to_be_bytes());
            value[8..].copy_from_slice(&sent.to_be_bytes());
            0
        }
        (HMAC, HMAC_LEN) if facts.has_key => 0,
        (TIMESTAMP_INFORMATION | CLASS_OF_SERVICE | DIRECT_MEASUREMENT, _) => MALFORMED,
        (HMAC, _) if facts.has_key => MALFORMED,
        _ => UNRECOGNIZED,
    }
}

/// The value of the Class of Service extension: six bits of the DSCP that the reply is to have, six
/// of the DSCP of the request as it arrived, two of its ECN, and two that are 1 if the reply does not
/// have that DSCP.
pub(super) struct ClassOfService {
    requested: u8,
    class: u8,
    is_refused: bool,
}

impl ClassOfService {
    pub(super) fn request(dscp: u8) -> [u8; 4] {
        Self { requested: dscp, class: 0, is_refused: false }.bytes()
    }

    /// Returns the traffic class of the request as it arrived.
    pub(super) fn read(value: &[u8]) -> Option<u8> {
        let &[first, second, ..] = value.first_chunk::<4>()?;
        let dscp = (first & 3) << 4 | second >> 4;
        Some(dscp << 2 | second >> 2 & 3)
    }

    fn bytes(&self) -> [u8; 4] {
        let (dscp, ecn) = (self.class >> 2, self.class & 3);
        [self.requested << 2 | dscp >> 4, dscp << 4 | ecn << 2 | u8::from(self.is_refused), 0, 0]
    }
}

/// The HMAC over the extensions of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Integrity {
    /// There is a valid HMAC, whose extension begins at that position.
    Valid(usize),
    /// All extensions are padding, which needs no HMAC.
    NotNeeded,
    /// The HMAC is missing or wrong, or is not the last extension.
    Failed,
}

/// Checks the HMAC extension of a packet with this sequence number.
pub(super) fn integrity(key: &Key, sequence: &[u8], tail: &[u8]) -> Integrity {
    // Only the last extension is verified: the time must not grow with the square of the length.
    let last = walk(tail).last();
    match last.filter(|tlv| tlv.kind == HMAC) {
        Some(tlv) if key.verify(&[sequence, &tail[..tlv.at]], tlv.value) => Integrity::Valid(tlv.at),
        None if walk(tail).all(|tlv| tlv.kind == EXTRA_PADDING) => Integrity::NotNeeded,
        _ => Integrity::Failed,
    }
}

/// Sets the flag I of all extensions, and the flag U, because none of them is answered.
pub(super) fn refuse(tail: &mut [u8]) {
    let mut next = 0;
    while let Some(tlv) = tlv_at(tail, next) {
        let (at, end) = (tlv.at, tlv.end());
        tail[at] = INTEGRITY_FAILED | UNRECOGNIZED;
        next = end;
    }
}

/// Writes the HMAC of the extensions before the HMAC extension at that position.
pub(super) fn sign(key: &Key, sequence: &[u8], tail: &mut [u8], at: usize) {
    let hmac = key.sign(&[sequence, &tail[..at]]);
    if let Some(value) = tail.get_mut(at + HEADER..at + HEADER + HMAC_LEN) {
        value.copy_from_slice(&hmac);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hmac_is_known_if_there_is_a_key() {
        for (has_key, expected) in [(true, [0, MALFORMED]), (false, [UNRECOGNIZED; 2])] {
            let (traffic_class, counts) = (None, None);
            let facts = Facts { traffic_class, honours_dscp: true, is_synchronized: false, counts, has_key };
            let flags = [HMAC_LEN, 4].map(|len| answer_value(HMAC, &mut [0; 16][..len], &facts, &mut None));
            assert_eq!(flags, expected, "{has_key}");
        }
    }

    #[test]
    fn all_extensions_but_padding_need_an_hmac_behind_them() {
        const PADDING: [u8; 6] = [0, EXTRA_PADDING, 0, 2, 0, 0];
        const CLASS: [u8; 8] = [0, CLASS_OF_SERVICE, 0, 4, 0, 0, 0, 0];
        let key = Key::new(&[1; 32]).unwrap_or_else(|| unreachable!("the key is long enough"));
        let integrity = |tail: &[u8]| integrity(&key, b"1234", tail);
        assert_eq!([integrity(&[]), integrity(&PADDING)], [Integrity::NotNeeded; 2]);
        assert_eq!(integrity(&[&CLASS[..], &PADDING].concat()), Integrity::Failed);
        let mut signed = [&CLASS[..], &[0, HMAC, 0, 16], &[0; 16]].concat();
        assert_eq!(integrity(&signed), Integrity::Failed);
        sign(&key, b"1234", &mut signed, CLASS.len());
        assert_eq!(integrity(&signed), Integrity::Valid(CLASS.len()));
        assert_eq!(integrity(&[&signed[..], &PADDING].concat()), Integrity::Failed, "it is not the last");
    }
}
