//! The header fields of a request that a reply reports.

use crate::placeholder::decimal;
use crate::probe_format::Seen;

/// The header fields with nothing filled in. A datagram with these bytes right after the
/// [timestamp placeholder](crate::TIMESTAMP_PLACEHOLDER) gets them filled in at the same length:
/// `[061 46 1] ` means that it arrived with TTL 61, DSCP 46 and ECN 1.
pub const HEADER_PLACEHOLDER: &[u8; 11] = b"[000 00 0] ";

/// Fields of the IP header of a request as it arrived.
///
/// ```
/// use echosounder_proto::{HeaderFields, LocalTime, Responder, StampContext};
///
/// let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
/// context.header = Some(HeaderFields { ttl: 61, traffic_class: 46 << 2 | 1 });
/// let mut message = *b"[0000000000000000000 0000000000000000000] [000 00 0] 1\n";
/// assert!(Responder::asks_for_header(&message));
/// Responder::fill_placeholder(&mut message, &context);
/// assert!(message.ends_with(b"[061 46 1] 1\n"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFields {
    /// The time to live or hop limit; 0 means that no field is known.
    pub ttl: u8,
    /// The type of service or traffic class: the DSCP in the upper six bits, ECN in the lower two.
    pub traffic_class: u8,
}

impl HeaderFields {
    /// Writes the fields over the placeholder that `bytes` begin with, if any.
    pub(crate) fn fill(self, bytes: &mut [u8]) {
        if bytes.starts_with(HEADER_PLACEHOLDER) {
            bytes[..HEADER_PLACEHOLDER.len()].copy_from_slice(&self.render());
        }
    }

    /// Reads the fields that `bytes` begin with, filled in or not. Returns `None` if there are none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let text = bytes.first_chunk::<{ HEADER_PLACEHOLDER.len() }>()?;
        let [ttl, dscp, ecn] = [1..4, 5..7, 8..9].map(|digits| {
            core::str::from_utf8(&text[digits]).ok().and_then(|digits| digits.parse::<u8>().ok())
        });
        let fields = Self { ttl: ttl?, traffic_class: dscp?.checked_mul(4)?.checked_add(ecn?)? };
        // An ECN over 3 would be a part of the DSCP.
        (fields.render() == *text).then_some(fields)
    }

    /// Returns the report that a reply with these fields is.
    pub(crate) fn seen(self) -> Seen {
        if self.ttl == 0 {
            return Seen::default();
        }
        Seen {
            ttl: Some(self.ttl),
            dscp: Some(self.traffic_class >> 2),
            ecn: Some(self.traffic_class & 3),
            ..Seen::default()
        }
    }

    fn render(self) -> [u8; HEADER_PLACEHOLDER.len()] {
        let mut text = *HEADER_PLACEHOLDER;
        text[1..4].copy_from_slice(&decimal::<3>(self.ttl.into()));
        text[5..7].copy_from_slice(&decimal::<2>((self.traffic_class >> 2).into()));
        text[8..9].copy_from_slice(&decimal::<1>((self.traffic_class & 3).into()));
        text
    }
}
