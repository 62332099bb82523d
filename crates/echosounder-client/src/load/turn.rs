//! The loop of a generator: one epoll, many connections, and no waiting but for events.

use std::sync::atomic::Ordering;
use std::time::Duration;

use echosounder_proto::Clock;
use echosounder_socket::internal::set_timer_slack;
use echosounder_socket::{Endpoint, Kind};

use super::connection::Connection;
use super::cpu::CpuMeter;
use super::generator::Generator;
use super::pace::Pace;
use super::phase::{Phase, SWEEP_EVERY, Sweep};
use super::refusals::Failure;
use crate::error::{ClientError, Operation};

/// The maximum number of connections that one sweep checks.
const SWEEP_MAX: usize = 1024;

/// How long an open loop that is behind schedule still sends the messages that were due before the
/// end.
const GRACE: Duration = Duration::from_millis(100);

/// A load gives up when it has received nothing for this many timeouts.
const SILENT_TIMEOUTS: u32 = 3;

impl<C: Clock> Generator<C> {
    /// Sends the messages that are due, waits at most `wait_max` for events, and receives the
    /// replies that have arrived. Returns whether the load goes on.
    ///
    /// # Errors
    ///
    /// If the server refused every datagram, or this machine failed.
    pub fn turn(&mut self, wait_max: Duration) -> Result<bool, ClientError> {
        let result = match self.phase {
            Phase::New => self.begin().map(|()| true),
            Phase::Sending => self.turn_sending(wait_max).map(|()| true),
            Phase::Draining { since } => self.turn_draining(since, wait_max),
            Phase::Over { .. } => Ok(false),
        };
        result.map_err(|failure| {
            self.shared.failed.store(true, Ordering::Relaxed);
            let peer = Endpoint::display(self.plan.transport, &self.plan.address);
            match failure {
                Failure::Socket { operation, error } => {
                    ClientError::new(operation, &peer, &self.plan.address, error)
                }
                Failure::Connect(error) => *error,
            }
        })
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.phase = Phase::Sending;
        self.cpu_meter = CpuMeter::start(self.elapsed());
        match self.plan.pace {
            // The first turn begins them.
            Pace::Closed { .. } if self.fresh.is_some() => Ok(()),
            Pace::Closed { depth } => {
                (0..self.connections.len()).try_for_each(|index| self.enqueue(index, depth))
            }
            Pace::Open { .. } => {
                // For the threads of this load only. If a sandbox refuses it, waits end up to 50 µs late.
                let _ = set_timer_slack(Duration::from_nanos(1));
                Ok(())
            }
        }
    }

    fn turn_sending(&mut self, wait_max: Duration) -> Result<(), Failure> {
        let now = self.elapsed();
        if !self.goes_on(now) {
            self.stop_sending(now);
            return Ok(());
        }
        if self.cpu_meter.since() < self.plan.warm_up && self.plan.warm_up <= now {
            self.cpu_meter = CpuMeter::start(now);
            if let Some(schedule) = &mut self.schedule {
                // A load that is behind schedule already would measure nothing but that.
                schedule.skip_to(self.plan.warm_up);
            }
        }
        let idle = match self.fresh {
            None => self.send_scheduled()?,
            Some(_) => {
                self.go_on_with_exchanges()?;
                self.begin_exchanges()?.min(self.exchange_wait_max())
            }
        };
        self.receive(idle.min(wait_max))?;
        self.sweep()
    }

    /// Returns whether messages are still to be sent.
    fn goes_on(&self, now: Duration) -> bool {
        if self.open == 0 || self.shared.is_stopped() {
            return false;
        }
        match &self.schedule {
            _ if self.plan.duration.is_none() && self.is_silent(now) => false,
            None => self.may_send(now),
            Some(schedule) => {
                self.may_send(now)
                    || self.may_send(schedule.due()) && self.may_send(now.saturating_sub(GRACE))
            }
        }
    }

    /// Returns whether a message that is due then is still to be sent.
    pub(super) fn may_send(&self, due: Duration) -> bool {
        self.plan.end().is_none_or(|end| due < end) && !self.has_sent_all()
    }

    fn has_sent_all(&self) -> bool {
        self.plan.messages_max <= self.recorder.counts.sent
    }

    fn is_silent(&self, now: Duration) -> bool {
        self.silent_since.is_some_and(|since| since.saturating_add(self.silence_max()) < now)
    }

    /// Returns how long no reply may arrive. At a low rate there is silence between two messages.
    fn silence_max(&self) -> Duration {
        let gap = match self.plan.pace {
            Pace::Open { rate, .. } => Duration::try_from_secs_f64(rate.recip()).unwrap_or_default(),
            Pace::Closed { .. } => Duration::ZERO,
        };
        self.plan.timeout.max(gap).saturating_mul(SILENT_TIMEOUTS)
    }

    fn stop_sending(&mut self, now: Duration) {
        self.cpu = self.cpu_meter.share(now);
        if self.open != 0 && !self.shared.is_stopped() && self.is_silent(now) {
            self.silence = Some(self.silence_max());
        }
        self.recorder.counts.skipped += self.overdue();
        self.phase = Phase::Draining { since: now };
    }

    /// Returns how many messages of an open loop were due before the end and have not been sent.
    fn overdue(&self) -> u64 {
        match (&self.schedule, self.plan.end()) {
            (Some(schedule), Some(end)) if !self.has_sent_all() && !self.shared.is_stopped() => {
                schedule.left_before(end)
            }
            _ => 0,
        }
    }

    /// Waits for the replies to messages in flight. Returns whether any are still to be awaited.
    fn turn_draining(&mut self, since: Duration, wait_max: Duration) -> Result<bool, Failure> {
        let now = self.elapsed();
        let left = since.saturating_add(self.drain_max()).checked_sub(now);
        let may_arrive = self.recorder.in_flight() != 0
            && self.open != 0
            && !self.is_silent(since)
            && !self.shared.is_stopped()
            && !self.refusals.is_believed(now);
        if let (true, Some(left)) = (may_arrive, left) {
            self.go_on_with_exchanges()?;
            self.receive(left.min(wait_max).min(self.exchange_wait_max()))?;
            return Ok(true);
        }
        if let Some(failure) = self.take_starvation() {
            return Err(failure);
        }
        self.end(since);
        match self.refusals.take_last() {
            Some(refusal) if !self.shared.stop.is_stopped() => Err(refusal),
            _ => Ok(false),
        }
    }

    /// Returns how long to wait for replies after the last message: for those to messages in flight,
    /// or until the last connection is established and the reply over it has arrived.
    fn drain_max(&self) -> Duration {
        self.plan.timeout.saturating_mul(if self.fresh.is_some() { 2 } else { 1 })
    }

    /// Returns the failure of this machine that has kept replies away, if it has. Messages without
    /// a reply are then no failure of the peer.
    fn take_starvation(&mut self) -> Option<Failure> {
        let has_in_flight = self.recorder.in_flight() != 0 && !self.shared.is_stopped();
        let receive = self.receive_starvation.take().filter(|_| has_in_flight);
        // Only a stream counts a message as sent that the kernel has not accepted.
        let may_be_unsent = self.silence.is_some() || self.kind == Kind::Stream && has_in_flight;
        let send = self.send_starvation.take().filter(|_| may_be_unsent);
        let failure = |operation| move |error| Failure::Socket { operation, error };
        receive.map(failure(Operation::Receive)).or_else(|| send.map(failure(Operation::Send)))
    }

    fn end(&mut self, since: Duration) {
        let is_stopped = self.shared.is_stopped();
        if is_stopped {
            self.recorder.forget_in_flight();
        }
        self.recorder.lose_in_flight();
        let is_refused = |connection: &&Connection| {
            let is_lost = connection.is_failing || !is_stopped && connection.has_in_flight();
            connection.is_refused && is_lost
        };
        self.recorder.counts.connections_closed += self.connections.iter().filter(is_refused).count() as u64;
        for index in 0..self.connections.len() {
            self.count_unexpected_stream(index);
            self.read_tcp(index);
        }
        // A load that has sent all its messages ended with the last reply.
        let end = match (self.has_sent_all(), self.plan.end()) {
            (true, _) => Duration::ZERO,
            (false, planned) => planned.map_or(since, |planned| planned.min(since)),
        };
        let last = end.max(self.recorder.last_reply());
        self.phase = Phase::Over { elapsed: last.saturating_sub(self.plan.warm_up) };
    }

    /// Gives messages up whose timeout has passed, so that a closed loop goes on, and tries again
    /// to send those that could not be sent.
    fn sweep(&mut self) -> Result<(), Failure> {
        let now = self.elapsed();
        if self.kind == Kind::Stream || self.fresh.is_some() || now < self.sweep.at + SWEEP_EVERY {
            return Ok(());
        }
        if self.refusals.is_believed(now)
            && let Some(refusal) = self.refusals.take_last()
        {
            return Err(refusal);
        }
        let count = self.connections.len();
        let first = self.sweep.next;
        for index in first..first + SWEEP_MAX.min(count) {
            self.give_up_expired(index % count, now)?;
        }
        self.sweep = Sweep { at: now, next: (first + SWEEP_MAX) % count };
        Ok(())
    }

    fn give_up_expired(&mut self, index: usize, now: Duration) -> Result<(), Failure> {
        let mut expired = 0;
        if self.kind == Kind::Datagrams {
            let due = now.saturating_sub(self.plan.timeout);
            let connection = &mut self.connections[index];
            while let Some(number) = connection.expire(due) {
                connection.is_failing = true;
                self.recorder.record_given_up(number);
                expired += 1;
            }
        }
        if self.plan.is_closed_loop() { self.enqueue(index, expired) } else { Ok(()) }
    }
}
