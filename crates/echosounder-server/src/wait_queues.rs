//! Which connection has been waiting longest: lists in the order of the last turn.

use echosounder_proto::MonoTime;

/// For what a connection waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitState {
    /// For its peer to say something.
    Idle,
    /// For its peer to take what is said.
    Stalled,
    /// For its peer to end.
    Ending,
}

/// Connections by what they wait for, each list in the order of their last turns.
///
/// Every operation takes constant time: a node is linked to its neighbours by their numbers.
#[derive(Debug, Default)]
pub(crate) struct WaitQueues {
    nodes: Vec<Node>,
    lists: [List; 3],
}

#[derive(Clone, Copy, Debug)]
struct Node {
    since: MonoTime,
    older: u32,
    newer: u32,
    waits: Option<WaitState>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    oldest: u32,
    newest: u32,
}

/// The number of no node.
const NONE: u32 = u32::MAX;

impl Default for List {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE }
    }
}

impl WaitQueues {
    /// Notes that a connection has had its turn at `now`, and waits for something from then on.
    pub(crate) fn touch(&mut self, index: usize, waits: WaitState, now: MonoTime) {
        self.remove(index);
        if self.nodes.len() <= index {
            let empty = Node { since: now, older: NONE, newer: NONE, waits: None };
            self.nodes.resize(index + 1, empty);
        }
        let number = number(index);
        let newest = std::mem::replace(&mut self.lists[waits as usize].newest, number);
        self.nodes[index] = Node { since: now, older: newest, newer: NONE, waits: Some(waits) };
        match newest {
            NONE => self.lists[waits as usize].oldest = number,
            newest => self.nodes[newest as usize].newer = number,
        }
    }

    /// Forgets a connection.
    pub(crate) fn remove(&mut self, index: usize) {
        let Some(node) = self.nodes.get_mut(index) else { return };
        let Some(waits) = node.waits.take() else { return };
        let Node { older, newer, .. } = *node;
        match older {
            NONE => self.lists[waits as usize].oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        match newer {
            NONE => self.lists[waits as usize].newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
    }

    /// The connection that has waited longest for something, and since when.
    pub(crate) fn oldest(&self, waits: WaitState) -> Option<(usize, MonoTime)> {
        let index = self.lists[waits as usize].oldest as usize;
        self.nodes.get(index).map(|node| (index, node.since))
    }
}

/// There are fewer connections than descriptors, and of those fewer than 2^31.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn the_oldest_is_whoever_had_its_turn_first() {
        let mut wait_queues = WaitQueues::default();
        for index in [3, 0, 2] {
            wait_queues.touch(index, WaitState::Idle, at(index as u64));
        }
        assert_eq!(wait_queues.oldest(WaitState::Idle), Some((3, at(3))));
        assert_eq!(wait_queues.oldest(WaitState::Stalled), None);
        wait_queues.touch(3, WaitState::Idle, at(9));
        assert_eq!(wait_queues.oldest(WaitState::Idle), Some((0, at(0))));
        wait_queues.touch(0, WaitState::Stalled, at(10));
        wait_queues.remove(2);
        wait_queues.remove(2);
        wait_queues.remove(77);
        assert_eq!(wait_queues.oldest(WaitState::Idle), Some((3, at(9))));
        assert_eq!(wait_queues.oldest(WaitState::Stalled), Some((0, at(10))));
        wait_queues.remove(3);
        assert_eq!(wait_queues.oldest(WaitState::Idle), None);
    }

    #[test]
    fn any_sequence_agrees_with_a_plain_list() {
        let mut wait_queues = WaitQueues::default();
        let mut plain: Vec<(usize, WaitState, MonoTime)> = Vec::new();
        let mut random = 12345_u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let index = usize::try_from(random >> 33).unwrap() % 40;
            plain.retain(|(other, ..)| *other != index);
            match (random >> 60) % 4 {
                3 => wait_queues.remove(index),
                which => {
                    let waits = [WaitState::Idle, WaitState::Stalled, WaitState::Ending]
                        [usize::try_from(which).unwrap()];
                    wait_queues.touch(index, waits, at(step));
                    plain.push((index, waits, at(step)));
                }
            }
            for waits in [WaitState::Idle, WaitState::Stalled, WaitState::Ending] {
                let expected =
                    plain.iter().find(|(_, w, _)| *w == waits).map(|(index, _, since)| (*index, *since));
                assert_eq!(wait_queues.oldest(waits), expected, "step {step}");
            }
        }
    }
}
