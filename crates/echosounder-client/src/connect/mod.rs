//! Connecting to an endpoint: look its name up, try its addresses with staggered starts, and return the first socket
//! that is connected.
//!
//! [`Candidates`] holds the addresses that have not been tried. A caller keeps it as long as the peer may turn out to
//! be at another address: a datagram socket learns only from its first request that nobody listens there.

mod candidates;
mod options;
mod race;
mod resolve;

pub use options::{ConnectOptions, IpOptions, Source};

pub(crate) use candidates::{Candidates, connect_many};
