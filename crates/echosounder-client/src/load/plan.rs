//! The share of a load that one thread sends.

use std::time::Duration;

use echosounder_socket::{Address, Transport};

use super::options::{LoadOptions, SizeRange};
use super::pace::Pace;

/// Bytes that an open loop may have in flight or unsent on all connections. Messages beyond them
/// are not sent.
const BACKLOG_MAX_BYTES: usize = 256 << 20;

/// The messages that a [`Generator`](super::Generator) sends, their pace and their duration.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    /// The number of the thread among those of the load, from 0. It also seeds the random numbers.
    pub thread: usize,
    /// The transport of the connections.
    pub transport: Transport,
    /// The address that they are connected to.
    pub address: Address,
    /// When messages are sent; a rate is that of this thread.
    pub pace: Pace,
    /// When the first message of an open loop is due, since the start.
    pub first_due: Duration,
    /// The size of messages.
    pub sizes: SizeRange,
    /// How long the load runs before it is measured.
    pub warm_up: Duration,
    /// How long it is measured; `None` means until `messages_max` are sent, or until it is stopped.
    pub duration: Option<Duration>,
    /// The maximum number of measured messages.
    pub messages_max: u64,
    /// How long a reply may take.
    pub timeout: Duration,
    /// Bytes that an open loop may have in flight or unsent on each connection. Messages beyond
    /// them are not sent.
    pub backlog_max_bytes: usize,
}

impl LoadPlan {
    /// Returns the plan of one of `threads` threads, which has `connections` of the connections to
    /// `address`.
    pub(super) fn of_thread(
        load: &LoadOptions,
        address: &Address,
        thread: usize,
        threads: usize,
        connections: usize,
    ) -> Self {
        // The first threads send the messages that cannot be divided.
        let messages = |messages: u64| {
            let (threads, thread) = (threads as u64, thread as u64);
            messages / threads + u64::from(thread < messages % threads)
        };
        let (pace, first_due) = match load.pace {
            // Threads in step with each other would send in bursts.
            Pace::Open { rate, spacing } => (
                Pace::Open { rate: rate * connections as f64 / load.connections.get() as f64, spacing },
                Duration::try_from_secs_f64(thread as f64 / rate).unwrap_or_default(),
            ),
            closed => (closed, Duration::ZERO),
        };
        Self {
            thread,
            transport: load.connect.endpoint.transport(),
            address: address.clone(),
            pace,
            first_due,
            sizes: load.sizes,
            warm_up: load.warm_up,
            duration: load.duration,
            messages_max: load.messages.map_or(u64::MAX, messages),
            timeout: load.connect.wait,
            backlog_max_bytes: BACKLOG_MAX_BYTES / load.connections.get(),
        }
    }

    /// Returns when the measurement ends, since the start, if it ends after a time.
    pub(super) fn end(&self) -> Option<Duration> {
        self.duration.map(|duration| self.warm_up.saturating_add(duration))
    }

    /// Returns whether messages are sent when replies to others have arrived.
    pub(super) fn is_closed_loop(&self) -> bool {
        matches!(self.pace, Pace::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroUsize;

    use echosounder_socket::StopToken;

    use super::*;
    use crate::load::pace::Spacing;

    fn load(pace: Pace, messages: Option<u64>) -> LoadOptions {
        let count = |count| NonZeroUsize::new(count).unwrap();
        let endpoint = "tcp://127.0.0.1".parse().unwrap();
        let mut load = LoadOptions::new(endpoint, StopToken::new().unwrap());
        (load.connections, load.threads) = (count(10), count(4));
        (load.pace, load.messages, load.duration) = (pace, messages, None);
        load
    }

    /// The plans of four threads, which have ten connections together.
    fn plans(load: &LoadOptions) -> Vec<LoadPlan> {
        let address = (Ipv4Addr::LOCALHOST, 1).into();
        let plan = |(thread, connections)| LoadPlan::of_thread(load, &address, thread, 4, connections);
        [3, 3, 2, 2].into_iter().enumerate().map(plan).collect()
    }

    #[test]
    fn threads_share_messages_and_rate() {
        let plans = plans(&load(Pace::Open { rate: 100.0, spacing: Spacing::Even }, Some(11)));
        assert_eq!(plans.iter().map(|plan| plan.messages_max).collect::<Vec<_>>(), [3, 3, 3, 2]);
        let rates = plans.iter().map(|plan| match plan.pace {
            Pace::Open { rate, .. } => rate,
            Pace::Closed { .. } => 0.0,
        });
        assert_eq!(rates.collect::<Vec<_>>(), [30.0, 30.0, 20.0, 20.0]);
        // They do not send their first messages at once.
        assert_eq!(
            plans.iter().map(|plan| plan.first_due).collect::<Vec<_>>(),
            [0, 10, 20, 30].map(Duration::from_millis)
        );
    }

    #[test]
    fn closed_loop_has_the_same_depth_in_every_thread() {
        let closed = Pace::Closed { depth: 7 };
        let plans = plans(&load(closed, None));
        assert!(plans.iter().all(|plan| plan.pace == closed && plan.messages_max == u64::MAX));
    }
}
