use echosounder_proto::{FailureKind, LossReason};

#[test]
fn every_failure_of_a_peer_is_a_reason_with_a_word() {
    for (kind, word) in [
        (FailureKind::Refused, "REFUSED"),
        (FailureKind::Timeout, "TIMEOUT"),
        (FailureKind::Unreachable, "UNREACHABLE"),
        (FailureKind::Dns, "DNS"),
        (FailureKind::Closed, "CLOSED"),
    ] {
        assert_eq!((kind.to_string().as_str(), LossReason::from(kind).kind()), (word, Some(kind)));
    }
    // A failure of this machine is none of the peer.
    assert_eq!([LossReason::NotSent.kind(), LossReason::TooLong.kind()], [None, None]);
}
