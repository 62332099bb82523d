//! Connecting to an endpoint: look its name up, try its addresses with staggered starts, and return
//! the first socket that is connected.
//!
//! [`Candidates`] holds the addresses that have not been tried. A caller keeps it until the peer
//! has replied: a datagram socket learns only from its first request that no server listens at an
//! address.

mod attempt;
mod candidates;
pub(crate) mod icmp;
mod options;
mod probe;
mod race;
mod resolve;

pub(crate) use options::Opens;
pub use options::{ConnectOptions, IpOptions, Source};
pub use probe::ConnectProbe;

pub(crate) use attempt::Attempt;
pub(crate) use candidates::{Candidates, connect_many, start_to_connect};
pub(crate) use race::connect_result;
