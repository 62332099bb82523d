//! The timestamped echo server, as a library: `sounder serve` inside another program or a test.
//!
//! [`Server::bind`] binds endpoints of every socket family, [`Server::start`] serves them in threads
//! of its own, and [`Running::stop`] stops them in order and returns the counts:
//!
//! ```
//! use std::net::UdpSocket;
//! use echosounder_server::Server;
//!
//! let server = Server::bind(["udp://127.0.0.1:0"])?.start()?;
//! let port = server.addresses().next().and_then(|address| address.port());
//!
//! let client = UdpSocket::bind("127.0.0.1:0")?;
//! client.send_to(b"hello", ("127.0.0.1", port.expect("a UDP address has a port")))?;
//! let mut reply = [0; 64];
//! let len = client.recv(&mut reply)?;
//! assert!(reply[..len].ends_with(b"] hello")); // [Sun Nov 22 12:19:36 2026] hello
//!
//! assert_eq!(server.stop()?.messages, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Config`] sets the timestamp, the framing of streams, the number of threads and the limits.
//! - [`Server::start_with`] reports every event to a closure or another [`Observer`]. The server
//!   prints nothing itself.
//! - [`Server::from_sockets`] serves sockets that are bound already, such as those of a service
//!   manager.
//! - [`Running::wait`] blocks until the server ends; [`Running::stop_token`] ends it from another
//!   thread.
//!
//! A server changes nothing in its process beside its own threads and descriptors: it raises the
//! limit of open descriptors only if [`Config::raise_fd_limit`] is set.
//!
//! The types of other crates that these signatures need are re-exported: [`socket`] is
//! `echosounder-socket`, [`proto`] is `echosounder-proto`.
//!
//! Inside, each thread runs one worker with an epoll of its own, or one worker for a datagram
//! socket. The state of a connection does no input or output itself, so that a test can drive it.
#![forbid(unsafe_code)]
#![doc(test(attr(deny(unused))))]

mod access;
mod arrival;
mod backlog;
mod buffer_limit;
mod clock;
mod config;
mod connection;
mod counters;
mod datagrams;
mod echo_replies;
mod event;
mod failures;
mod header;
mod limits;
mod link;
mod listen;
mod listeners;
mod network;
mod own_address;
mod path;
mod peers;
mod reply_cache;
mod reply_rules;
mod running;
mod send_budget;
mod sender;
mod server;
mod service;
mod slots;
mod socket_memory;
mod stamp_cache;
mod stamp_replies;
mod time_zone;
mod turn_context;
mod unread;
mod wait_queues;
mod worker;

pub use config::Config;
pub use counters::Totals;
pub use echosounder_proto as proto;
pub use echosounder_proto::{Framing, PlainEcho, ReplyLimits, Template};
pub use echosounder_socket as socket;
pub use echosounder_socket::{Endpoint, IpVersion, StopToken, ToEndpoint};
pub use event::{CloseReason, DisconnectReason, Observer, ServerEvent};
pub use listen::{BindError, Note};
pub use network::{Network, NetworkError};
pub use running::Running;
pub use server::{Server, StartError};

/// The parts of the server, for this project's tests and programs. They change without notice.
#[doc(hidden)]
pub mod internal {
    pub use crate::access::Access;
    pub use crate::backlog::BACKLOG_MAX;
    pub use crate::clock::SystemClock;
    pub use crate::connection::{Completion, Connection, Operation};
    pub use crate::counters::Counters;
    pub use crate::datagrams::DatagramWorker;
    pub use crate::limits::{Limits, Timeouts, WorkerLimits};
    pub use crate::reply_rules::ReplyRules;
    pub use crate::service::EchoService;
    pub use crate::time_zone::local_time_zone;
    pub use crate::turn_context::TurnContext;
    pub use crate::worker::Worker;
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
