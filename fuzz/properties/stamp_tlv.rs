//! Properties of the extensions of STAMP packets, for any bytes.

use echosounder_proto::stamp::tlv;

/// Reads the input as the bytes behind the fields of a packet.
pub(crate) fn holds(input: &[u8]) {
    let mut next = 0;
    let mut was_truncated = false;
    for tlv in tlv::walk(input) {
        assert!(!was_truncated, "nothing follows a truncated extension");
        assert_eq!(tlv.at, next, "extensions follow each other");
        assert_ne!(tlv.kind, 0);
        next = tlv.at + 4 + tlv.value.len();
        assert_eq!(tlv.value, &input[tlv.at + 4..next]);
        let len = usize::from(input[tlv.at + 2]) << 8 | usize::from(input[tlv.at + 3]);
        assert_eq!(tlv.is_truncated, tlv.value.len() < len);
        assert!(!tlv.is_truncated || next == input.len(), "a truncated extension ends with the packet");
        was_truncated = tlv.is_truncated;
    }
    let rest = &input[next..];
    assert!(rest.len() < 4 || rest[1] == 0, "all extensions are found");
}
