//! The connections of a worker, by number. A number is a connection's token in the poll.

use std::ops::Range;

use crate::link::Link;

/// Connections in slots. A slot becomes free at the end of the turn that removes its connection,
/// because other events of that turn may still carry its number.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    removed: Vec<usize>,
}

impl Slots {
    /// Returns the number of connections.
    pub(crate) fn len(&self) -> usize {
        self.links.len() - self.free.len() - self.removed.len()
    }

    /// Returns every number that a connection may have.
    pub(crate) fn numbers(&self) -> Range<usize> {
        0..self.links.len()
    }

    /// Reserves a slot and returns its number. Fill it with [`put`](Self::put) or
    /// [`free`](Self::free) it.
    pub(crate) fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.links.push(None);
            self.links.len() - 1
        })
    }

    pub(crate) fn free(&mut self, number: usize) {
        self.free.push(number);
    }

    pub(crate) fn put(&mut self, number: usize, link: Link) {
        self.links[number] = Some(link);
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Link> {
        self.links.get(number)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> Option<&mut Link> {
        self.links.get_mut(number)?.as_mut()
    }

    /// Removes a connection. Its slot becomes free when the turn ends.
    pub(crate) fn remove(&mut self, number: usize) -> Option<Link> {
        let link = self.links.get_mut(number)?.take()?;
        self.removed.push(number);
        Some(link)
    }

    /// Ends the turn: frees the slots of the connections that were removed.
    pub(crate) fn end_turn(&mut self) {
        self.free.append(&mut self.removed);
    }
}
