//! The echoes of one endpoint as every format shows them.

use echosounder_client::Distribution;

/// The result of sending messages to one endpoint and checking every reply.
#[derive(Debug, Default)]
pub(crate) struct Echoes {
    pub(crate) endpoint: String,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) lost: u64,
    /// Replies that did not contain their request.
    pub(crate) unexpected: u64,
    pub(crate) rtt: Distribution,
    /// What ended the exchange early, if anything did.
    pub(crate) error: Option<String>,
}
