//! The stamped echo server: it answers. It does not measure and does not print.
//!
//! [`Server::bind`] takes every endpoint or none; [`Server::start`] gives each worker thread a listener of each
//! and lets it run. A message's way is one straight line: the [`Worker`] learns that a connection is readable,
//! reads once into its own buffer, has the [`Responder`](echosounder_proto::Responder) answer into
//! another, and sends once. What the kernel does not take is kept with the connection, which is then not read
//! until it has left. Each datagram socket has a thread of its own, a [`DatagramWorker`]: a batch in, a batch out.
//!
//! ```
//! use echosounder_proto::{Framing, PlainEcho, Template};
//! use echosounder_server::{Config, Timeouts, Server};
//! use echosounder_socket::{Shutdown, IpVersion, Side};
//!
//! let server = Server::bind(Config {
//!     endpoints: vec!["tcp://127.0.0.1:0".parse()?],
//!     ip_version: IpVersion::Any,
//!     stamp: Template::none(),
//!     framing: Framing::default(),
//!     plain_echo: PlainEcho::Local,
//!     host: "here".into(),
//!     workers: std::num::NonZeroUsize::MIN,
//!     connections_max: None,
//!     per_peer_max: None,
//!     patience: Timeouts { idle: None, stall: std::time::Duration::from_secs(60) },
//!     unix_mode: 0o600,
//! })?;
//! let endpoint = server.endpoints().next().expect("one endpoint was asked for").clone();
//! let running = server.start(|| ())?;
//!
//! let address = endpoint.resolve(Side::Client, IpVersion::Any)?.remove(0);
//! let client = endpoint.transport().socket(&address)?;
//! client.connect(&address)?;
//! client.send(b"ahoy")?;
//! let mut answer = [0; 16];
//! let len = client.recv(&mut answer)?;
//! assert_eq!(&answer[..len], b"ahoy");
//! client.shutdown(Shutdown::Write)?;
//! assert_eq!(client.recv(&mut answer)?, 0);
//!
//! assert_eq!(running.stop()?.messages, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod clock;
mod connection;
mod counters;
mod datagrams;
mod event;
mod failures;
mod limits;
mod listen;
mod path;
mod reply_cache;
mod server;
mod wait_queues;
mod worker;

pub use clock::{SystemClock, local_time_zone};
pub use counters::{Counters, DisconnectReason, Totals};
pub use datagrams::DatagramWorker;
pub use event::{Observer, ServerEvent};
pub use limits::{BACKLOG_MAX, Limits};
pub use listen::{BindError, Note};
pub use server::{Config, Running, Server, StartError};
pub use worker::{Timeouts, Worker, WorkerConfig, WorkerLimits};
