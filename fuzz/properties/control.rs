//! Properties of control messages, for any bytes that the kernel might write.

use echosounder_socket::{ControlMessage, RawControl, control_space};

/// Reads the input as the control messages of one message.
pub(crate) fn holds(input: &[u8]) {
    let messages: Vec<RawControl<'_>> = RawControl::walk(input).collect();
    let mut behind = input.as_ptr();
    for raw in &messages {
        let data = raw.data.as_ptr_range();
        assert!(behind < data.start, "messages follow one another, each with its header");
        assert!(data.end <= input.as_ptr_range().end, "no message extends beyond the input");
        behind = data.end;
        check(*raw);
    }

    let written = write(&messages);
    // The kernel does not pad the last control message.
    assert!(written.len() <= input.len().next_multiple_of(size_of::<usize>()));
    assert!(RawControl::walk(&written).eq(messages), "decoded messages are encoded and decoded again");
}

fn check(raw: RawControl<'_>) {
    match ControlMessage::decode(raw) {
        ControlMessage::Unknown { level, kind, data } => {
            assert_eq!(RawControl { level, kind, data: &data }, raw, "unknown messages keep their bytes");
        }
        ControlMessage::Rights(_) | ControlMessage::Pidfd(_) => panic!("bytes are no descriptors"),
        ControlMessage::TipcReturned(data) => assert_eq!(*data, *raw.data),
        ControlMessage::PacketInfo(info) => {
            assert_eq!(info.destination.is_ipv4(), info.local.is_ipv4());
            assert!(info.is_to_group() || info.destination == info.local);
        }
        // Debug reads every field, including addresses.
        message => assert!(!format!("{message:?}").is_empty()),
    }
}

/// Encodes control messages as cmsg(3) describes.
fn write(messages: &[RawControl<'_>]) -> Vec<u8> {
    let mut written = Vec::new();
    for raw in messages {
        let end = written.len() + control_space(raw.data.len());
        written.extend_from_slice(&(control_space(0) + raw.data.len()).to_ne_bytes());
        written.extend_from_slice(&raw.level.to_ne_bytes());
        written.extend_from_slice(&raw.kind.to_ne_bytes());
        written.extend_from_slice(raw.data);
        written.resize(end, 0);
    }
    written
}
