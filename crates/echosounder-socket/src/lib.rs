//! Linux sockets of every family, and how the kernel moves their bytes.
//!
//! Nothing here knows what the bytes mean. This is the only crate of the project with `unsafe` and the only
//! one that knows `libc`, and both are confined to `sys/`; everything above it is safe code over
//! [`OwnedFd`](std::os::fd::OwnedFd).
//!
//! An [`Endpoint`] is what a user writes: a transport and a name, not resolved. It resolves to [`Address`]es,
//! to which a [`Socket`] is bound or connected. A [`Batch`] moves many datagrams in one system call; a [`Poll`]
//! waits for many sockets, [`ready`] for a few.
//!
//! ```
//! use echosounder_socket::{Endpoint, Socket};
//!
//! let endpoint: Endpoint = "unix-seqpacket:@hold".parse()?;
//! assert_eq!(endpoint.to_string(), "unix-seqpacket:@hold");
//!
//! let (one, other) = endpoint.transport().pair()?;
//! one.send(b"ahoy")?;
//! let mut buffer = [0; 16];
//! assert_eq!(other.recv_message(&mut buffer)?, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

mod address;
mod batch;
mod control;
mod create;
mod endpoint;
mod error;
pub mod family;
mod file;
mod interface;
pub mod kernel;
mod limit;
pub mod option;
mod poll;
mod signal;
mod socket;
mod sys;
mod wait;

pub use address::{Address, RawAddress};
pub use batch::{Batch, Received};
pub use control::{
    ControlMessage, Credentials, ExtendedError, PacketInfo, RawControl, SendControl, control_space,
};
pub use create::{ConnectionError, ServerOptions, Unreached, create_connection, create_server};
pub use endpoint::{DEFAULT_PORT, Endpoint, EndpointError, IpVersion, Kind, Name, Side, Transport};
pub use error::{
    Error, is_family_absent, is_feature_absent, is_out_of_resources, is_too_long, is_unreachable,
};
pub use family::{Family, Protocol, Type};
pub use file::SocketFile;
pub use interface::{Interface, interface_index, interface_name, interfaces};
pub use limit::raise_fd_limit;
pub use poll::{Event, Events, Interest, Poll, Readiness, Waker, ready};
pub use signal::{Signal, Signals};
pub use socket::{Half, Message, MessageFlags, Outgoing, Socket, Unfinished, effective_user};
pub use wait::set_interrupt_hook;
