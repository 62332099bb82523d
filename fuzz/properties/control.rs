//! Properties of control messages, for any bytes that the kernel might write.

use std::time::SystemTime;

use echosounder_socket::{ControlMessage, ControlSpace, RawControl};

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
    let message = ControlMessage::decode(raw);
    assert_eq!(message.to_raw().as_raw(), raw, "no message loses bytes: {message:?}");
    match message {
        ControlMessage::Rights(_) | ControlMessage::Pidfd(_) => panic!("bytes are no descriptors"),
        ControlMessage::PacketInfo(info) => {
            assert_eq!(info.destination.is_ipv4(), info.local.is_ipv4());
            assert!(info.is_to_group() || info.destination == info.local);
        }
        ControlMessage::Timestamp(timestamp) => {
            let since = timestamp.system_time().duration_since(SystemTime::UNIX_EPOCH);
            assert_eq!(since.ok(), Some(timestamp.since_epoch()));
        }
        ControlMessage::Error(error) => {
            let _ = (error.zerocopy(), error.path_mtu(), error.to_io_error());
        }
        // Debug has read every field, including addresses.
        _ => {}
    }
    assert!(!format!("{:?}", ControlMessage::decode(raw)).is_empty());
}

/// Encodes control messages as cmsg(3) describes.
fn write(messages: &[RawControl<'_>]) -> Vec<u8> {
    let header = ControlSpace::of(0).bytes();
    let mut written = Vec::new();
    for raw in messages {
        let end = written.len() + ControlSpace::of(raw.data.len()).bytes();
        written.extend_from_slice(&(header + raw.data.len()).to_ne_bytes());
        written.extend_from_slice(&raw.level.to_ne_bytes());
        written.extend_from_slice(&raw.kind.to_ne_bytes());
        written.extend_from_slice(raw.data);
        written.resize(end, 0);
    }
    written
}
