use echosounder_proto::stamp::{LossDirection, LossDirections};
use proptest::prelude::*;

/// What happens to a request: it is lost on the way there, its reply is, or neither. The reply may be
/// overtaken by up to some later ones, and the network may duplicate both.
#[derive(Clone, Copy, Debug)]
struct Fate {
    up: bool,
    down: bool,
    overtaken_by: u64,
    is_reply_duplicated: bool,
    is_request_duplicated: bool,
}

const ARRIVES: Fate = Fate {
    up: false,
    down: false,
    overtaken_by: 0,
    is_reply_duplicated: false,
    is_request_duplicated: false,
};

fn fate() -> impl Strategy<Value = Fate> {
    (0_u8..10, 0_u64..8, 0_u8..10, 0_u8..10).prop_map(|(loss, overtaken_by, reply, request)| Fate {
        up: loss == 0,
        down: loss == 1,
        overtaken_by,
        is_reply_duplicated: reply == 0,
        is_request_duplicated: request == 0 && 1 < loss,
    })
}

/// Returns the replies of a stateful reflector in the order in which they arrive: the number of the
/// request and the count. The first count is `first`.
fn replies(fates: &[Fate], first: u64) -> Vec<(u64, u64)> {
    let mut count = first;
    let mut arriving = Vec::new();
    for (sequence, fate) in (0_u64..).zip(fates) {
        for _ in 0..if fate.up { 0 } else { 1 + u64::from(fate.is_request_duplicated) } {
            for copy in 0..if fate.down { 0 } else { 1 + u64::from(fate.is_reply_duplicated) } {
                arriving.push((sequence + fate.overtaken_by + copy, (sequence, count)));
            }
            count += 1;
        }
    }
    arriving.sort();
    arriving.into_iter().map(|(_, reply)| reply).collect()
}

fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap()
}

fn count(fates: &[Fate], loses: fn(&Fate) -> bool) -> u64 {
    fates.iter().filter(|fate| loses(fate)).count() as u64
}

proptest! {
    #[test]
    fn directions_are_exact_in_any_order(mut fates in prop::collection::vec(fate(), 1..600)) {
        // Without a last reply, the direction of the last losses is unknown.
        fates.push(ARRIVES);
        let mut losses = LossDirections::new();
        losses.confirm_stateful();
        for (sequence, number) in replies(&fates, 0) {
            losses.replied(low(sequence), low(number));
        }
        let (up, down) = (count(&fates, |fate| fate.up), count(&fates, |fate| fate.down));
        prop_assert_eq!(losses.direction(up + down), Some(LossDirection { up, down, unknown: 0 }));
    }

    #[test]
    fn any_numbers_give_no_more_than_the_losses(numbers in prop::collection::vec(any::<(u32, u32)>(), 0..50), lost: u32) {
        let mut losses = LossDirections::new();
        for (sequence, number) in numbers {
            losses.replied(sequence, number);
        }
        if let Some(direction) = losses.direction(lost.into()) {
            prop_assert_eq!(direction.up + direction.down + direction.unknown, u64::from(lost));
        }
    }
}

/// Returns the direction of so many losses after replies with these numbers.
fn direction(lost: u64, replies: &[(u32, u32)]) -> Option<LossDirection> {
    let mut losses = LossDirections::new();
    for (sequence, number) in replies {
        losses.replied(*sequence, *number);
    }
    losses.direction(lost)
}

const fn losses(up: u64, down: u64, unknown: u64) -> Option<LossDirection> {
    Some(LossDirection { up, down, unknown })
}

#[test]
fn a_stateless_reflector_shows_no_direction() {
    assert_eq!(direction(2, &[(0, 0), (3, 3)]), None);
}

#[test]
fn a_reflector_known_to_be_stateful_shows_the_direction_of_the_first_loss() {
    let mut losses = LossDirections::new();
    losses.replied(0, 0);
    losses.replied(2, 2);
    assert_eq!(losses.direction(1), None);
    losses.confirm_stateful();
    assert_eq!(losses.direction(1), Some(LossDirection { up: 0, down: 1, unknown: 0 }));
}

#[test]
fn both_numbers_begin_at_zero_again() {
    let last = u32::MAX;
    // Requests 2^32 - 2, 0 and 2 are replied to; 2^32 - 1 is lost on the way there, 1 on the way back.
    let replies = [(last - 1, last - 1), (0, last), (2, 1)];
    assert_eq!(direction(2, &replies), losses(1, 1, 0));
}

/// The reflector still has the session of an earlier run.
#[test]
fn a_reflector_may_continue_a_session() {
    assert_eq!(direction(2, &[(0, 100), (2, 101), (4, 103)]), losses(1, 1, 0));
    assert_eq!(direction(3, &[(2, 100), (4, 101)]), losses(1, 0, 2), "requests 0 and 1 are unknown");
}

#[test]
fn a_restart_of_the_reflector_keeps_earlier_losses() {
    let before = [(0, 0), (2, 1), (4, 3)];
    assert_eq!(direction(2, &before), losses(1, 1, 0));
    // Requests 5 and 6 meet no reflector; 8 is lost on the way there.
    let after = [(7, 0), (9, 1)];
    assert_eq!(direction(5, &[&before[..], &after].concat()), losses(2, 1, 2));
    let evicted = [(5, 0), (6, 1)];
    assert_eq!(direction(2, &[&before[..], &evicted].concat()), losses(1, 1, 0));
    // After many replies, too.
    let mut many: Vec<(u32, u32)> = (0..1000).map(|number| (number, number)).collect();
    many.extend([(1000, 0), (1002, 1)]);
    assert_eq!(direction(1, &many), losses(1, 0, 0));
    assert_eq!(direction(5, &many), losses(1, 0, 4));
}

#[test]
fn requests_that_overtake_each_other_belong_to_one_session() {
    // The first reply is not that of the first request, or not the first of the reflector.
    assert_eq!(direction(2, &[(2, 102), (0, 100), (4, 103)]), losses(1, 1, 0));
    assert_eq!(direction(2, &[(2, 100), (0, 101), (4, 102)]), losses(2, 0, 0));
    assert_eq!(direction(3, &[(2, 101), (3, 100), (5, 102)]), losses(1, 0, 2));
    // A request can be overtaken by 15 others.
    assert_eq!(direction(3, &[(2, 100), (3, 85), (5, 86)]), losses(0, 1, 2));
    for restarted in [84, 50] {
        assert_eq!(direction(3, &[(2, 100), (3, restarted), (5, restarted + 1)]), losses(1, 0, 2));
    }
}

#[test]
fn a_count_that_is_too_high_begins_another_session() {
    assert_eq!(direction(1, &[(0, 0), (1, 129), (3, 130)]), losses(0, 1, 0));
    assert_eq!(direction(1, &[(0, 0), (1, 130), (3, 131)]), losses(1, 0, 0));
    assert_eq!(direction(1001, &[(1000, 1000), (1001, 2500), (1003, 2501)]), losses(1, 1000, 0));
}
