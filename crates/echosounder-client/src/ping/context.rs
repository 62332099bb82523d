//! The state that the sessions of a pinger share.

use std::sync::Arc;

use echosounder_proto::Clock;
use echosounder_socket::{IoBuffer, Poll};

use super::connector::Connector;
use super::detail::Detail;
use super::event::PingEvent;

/// The clock, the poll and the buffers of all sessions.
pub(super) struct Context {
    pub(super) clock: Arc<dyn Clock + Send + Sync>,
    pub(super) poll: Poll,
    pub(super) connector: Connector,
    /// How much the statistics of a session remember.
    pub(super) detail: Detail,
    /// The bytes of the last receive.
    pub(super) buffer: IoBuffer,
    /// The request that is sent.
    pub(super) message: Vec<u8>,
    /// Events that were not reported yet.
    pub(super) events: Vec<PingEvent>,
}
