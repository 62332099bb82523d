//! Moving a session to the new address of its target's name.

use echosounder_proto::{FailureKind, MonoTime};
use echosounder_socket::Kind;

use super::context::Context;
use super::resolve_schedule::has_moved;
use super::session::Session;
use crate::clock::Deadline;
use crate::connect::Candidates;
use crate::error::ClientError;

impl Session {
    /// Looks the name up again if that is due, and moves to its new address.
    pub(super) fn follow_name(&mut self, context: &mut Context) -> Result<(), ClientError> {
        let (now, in_flight) = (context.clock.mono(), self.prober.in_flight());
        let Some(schedule) = &mut self.resolve else { return Ok(()) };
        if schedule.starts_lookup(now) {
            return context.connector.look_up(self.index, &self.ping.connect, self.ping.connect.wait);
        }
        if !schedule.moves(now, in_flight) {
            return Ok(());
        }
        if self.fresh.is_some() {
            self.connect_elsewhere(context);
            return Ok(());
        }
        if self.link.transport.kind() != Kind::Datagrams {
            // The next request connects to the new address.
            self.is_moving = self.link.socket.is_some();
            self.disconnect(FailureKind::Closed, context);
            return Ok(());
        }
        match self.candidates.connect(Deadline::after(now, self.ping.connect.wait)) {
            Some(Ok((socket, address))) => self.connected_to(socket, address, context),
            // The old socket stays.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Takes the result of a lookup. If it has failed, the address stays in use.
    pub(super) fn looked_up(&mut self, result: Result<Candidates, ClientError>, now: MonoTime) {
        let Some(schedule) = &mut self.resolve else { return };
        let found = result.ok().filter(|found| has_moved(&self.link.address, found));
        schedule.ended(found.is_some(), now, self.ping.connect.wait);
        found.into_iter().for_each(|found| self.candidates = found);
    }
}
