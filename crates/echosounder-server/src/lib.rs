//! The timestamped echo server, as a library.
//!
//! [`Server::bind`] binds every endpoint of a [`Config`] or none. [`Server::start`] then starts the
//! worker threads, and [`Running::stop`] stops them in order and returns the counts. The server
//! reports what happens to an [`Observer`]; it prints nothing itself.
//!
//! Inside, each thread runs one [`Worker`] with an epoll of its own, or one [`DatagramWorker`] for
//! a datagram socket. An [`EchoService`] makes the replies of a worker. A [`Connection`] is a state
//! without a socket: it returns the next [`Operation`] and is given its [`Completion`], so that
//! another input-output loop, or a test, can drive it as well.
//!
//! ```
//! use echosounder_proto::Template;
//! use echosounder_server::{Config, Server};
//! use echosounder_socket::{IpVersion, Shutdown, Side};
//!
//! let config = Config { stamp: Template::none(), ..Config::new(vec!["tcp://127.0.0.1:0".parse()?]) };
//! let server = Server::bind(config)?;
//! let endpoint = server.endpoints().next().expect("the server has one endpoint").clone();
//! let running = server.start(|| ())?;
//!
//! let address = endpoint.resolve(Side::Client, IpVersion::Any)?.remove(0);
//! let client = endpoint.transport().socket(&address)?;
//! client.connect(&address)?;
//! client.send(b"hello")?;
//! let mut reply = [0; 16];
//! let len = client.recv(&mut reply)?;
//! assert_eq!(&reply[..len], b"hello");
//! client.shutdown(Shutdown::Write)?;
//! assert_eq!(client.recv(&mut reply)?, 0);
//!
//! assert_eq!(running.stop()?.messages, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod backlog;
mod clock;
mod config;
mod connection;
mod counters;
mod datagrams;
mod event;
mod failures;
mod limits;
mod link;
mod listen;
mod listeners;
mod path;
mod reply_cache;
mod sender;
mod server;
mod service;
mod slots;
mod stamp_cache;
mod time_zone;
mod turn_context;
mod wait_queues;
mod worker;

pub use backlog::BACKLOG_MAX;
pub use clock::SystemClock;
pub use config::Config;
pub use connection::{Completion, Connection, Operation};
pub use counters::{Counters, Totals};
pub use datagrams::DatagramWorker;
pub use event::{CloseReason, DisconnectReason, Observer, ServerEvent};
pub use limits::{Limits, Timeouts, WorkerLimits};
pub use listen::{BindError, Note};
pub use server::{Running, Server, StartError};
pub use service::EchoService;
pub use time_zone::local_time_zone;
pub use turn_context::TurnContext;
pub use worker::Worker;
