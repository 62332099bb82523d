//! Queues of waiting connections, oldest first, so that timeouts and eviction look at one
//! connection each.

use echosounder_proto::MonoTime;

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitState {
    /// Waiting for input from the client.
    Idle,
    /// Waiting for buffer space, because the client does not receive.
    Stalled,
    /// Waiting for the end of a line that has begun.
    Unfinished,
    /// Waiting for the client to close, after the server has.
    Ending,
}

/// One queue of connections per [`WaitState`], in the order in which their timers were started.
///
/// Every operation takes constant time: the queues are linked lists whose nodes name their
/// neighbours by index.
#[derive(Debug, Default)]
pub(crate) struct WaitQueues {
    nodes: Vec<Node>,
    queues: [Queue; 4],
}

#[derive(Clone, Copy, Debug)]
struct Node {
    since: MonoTime,
    older: u32,
    newer: u32,
    state: Option<WaitState>,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: u32,
}

/// The index that stands for no node.
const NONE: u32 = u32::MAX;

impl Default for Queue {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, len: 0 }
    }
}

impl WaitQueues {
    /// Moves a connection whose timer starts at `now` to the end of the queue of `state`.
    pub(crate) fn touch(&mut self, connection: usize, state: WaitState, now: MonoTime) {
        self.remove(connection);
        if self.nodes.len() <= connection {
            let empty = Node { since: now, older: NONE, newer: NONE, state: None };
            self.nodes.resize(connection + 1, empty);
        }
        let index = node_index(connection);
        let queue = &mut self.queues[state as usize];
        queue.len += 1;
        let newest = std::mem::replace(&mut queue.newest, index);
        self.nodes[connection] = Node { since: now, older: newest, newer: NONE, state: Some(state) };
        match newest {
            NONE => self.queues[state as usize].oldest = index,
            newest => self.nodes[newest as usize].newer = index,
        }
    }

    /// Removes a connection from its queue.
    pub(crate) fn remove(&mut self, connection: usize) {
        let Some(node) = self.nodes.get_mut(connection) else { return };
        let Some(state) = node.state.take() else { return };
        let Node { older, newer, .. } = *node;
        self.queues[state as usize].len -= 1;
        match older {
            NONE => self.queues[state as usize].oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        match newer {
            NONE => self.queues[state as usize].newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
    }

    /// Returns the connection that has been in `state` longest, and when its timer started.
    pub(crate) fn oldest(&self, state: WaitState) -> Option<(usize, MonoTime)> {
        let index = self.queues[state as usize].oldest as usize;
        self.nodes.get(index).map(|node| (index, node.since))
    }

    /// Returns the number of connections in `state`.
    pub(crate) fn len(&self, state: WaitState) -> usize {
        self.queues[state as usize].len as usize
    }

    /// Returns the connections in `state` and when their timers started, the oldest first.
    pub(crate) fn connections(&self, state: WaitState) -> impl Iterator<Item = (usize, MonoTime)> {
        let next = |index: u32| Some(index as usize).filter(|&index| index < self.nodes.len());
        let oldest = next(self.queues[state as usize].oldest);
        let indices = std::iter::successors(oldest, move |&index| next(self.nodes[index].newer));
        indices.map(|index| (index, self.nodes[index].since))
    }
}

/// Connections that wait for their clients: idle, stalled, or with an unfinished line.
impl WaitQueues {
    /// Returns the connection that has waited longest, and the time of its last turn.
    pub(crate) fn longest_waiting(&self) -> Option<(usize, MonoTime)> {
        let oldest =
            [WaitState::Idle, WaitState::Stalled, WaitState::Unfinished].map(|state| self.oldest(state));
        oldest.into_iter().flatten().min_by_key(|&(_, since)| since)
    }

    /// Returns the time of a connection's last turn; `None` if it does not wait for its client.
    pub(crate) fn waiting_since(&self, connection: usize) -> Option<MonoTime> {
        let node = self.nodes.get(connection)?;
        (node.state? != WaitState::Ending).then_some(node.since)
    }
}

/// Converts an index to the width of a node's links: there are fewer than 2^31 descriptors.
fn node_index(connection: usize) -> u32 {
    u32::try_from(connection).unwrap_or(NONE)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn the_connection_with_the_earliest_turn_is_the_oldest() {
        let mut queues = WaitQueues::default();
        for connection in [3, 0, 2] {
            queues.touch(connection, WaitState::Idle, at(connection as u64));
        }
        assert_eq!(queues.oldest(WaitState::Idle), Some((3, at(3))));
        assert_eq!(queues.oldest(WaitState::Stalled), None);
        queues.touch(3, WaitState::Idle, at(9));
        assert_eq!(queues.oldest(WaitState::Idle), Some((0, at(0))));
        queues.touch(0, WaitState::Stalled, at(10));
        queues.remove(2);
        queues.remove(2);
        queues.remove(77);
        assert_eq!(queues.oldest(WaitState::Idle), Some((3, at(9))));
        assert_eq!(queues.oldest(WaitState::Stalled), Some((0, at(10))));
        queues.remove(3);
        assert_eq!(queues.oldest(WaitState::Idle), None);
    }

    #[test]
    fn any_sequence_agrees_with_a_plain_list() {
        const STATES: [WaitState; 4] =
            [WaitState::Idle, WaitState::Stalled, WaitState::Unfinished, WaitState::Ending];
        let mut queues = WaitQueues::default();
        let mut plain: Vec<(usize, WaitState, MonoTime)> = Vec::new();
        let mut random = 12345_u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let connection = usize::try_from(random >> 33).unwrap() % 40;
            plain.retain(|(other, ..)| *other != connection);
            match STATES.get(usize::try_from((random >> 60) % 5).unwrap()) {
                None => queues.remove(connection),
                Some(&state) => {
                    queues.touch(connection, state, at(step));
                    plain.push((connection, state, at(step)));
                }
            }
            for state in STATES {
                let oldest = plain.iter().find(|(_, other, _)| *other == state);
                let expected = oldest.map(|(connection, _, since)| (*connection, *since));
                assert_eq!(queues.oldest(state), expected, "step {step}");
                let expected = plain.iter().filter(|(_, other, _)| *other == state);
                let expected: Vec<_> = expected.map(|(connection, _, since)| (*connection, *since)).collect();
                assert_eq!(queues.connections(state).collect::<Vec<_>>(), expected, "step {step}");
                assert_eq!(queues.len(state), expected.len(), "step {step}");
            }
        }
    }
}
