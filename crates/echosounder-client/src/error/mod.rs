//! How the client fails, and whose failure an error is.
//!
//! [`ClientError`] separates a failure of the peer, which has a
//! [`FailureKind`](echosounder_proto::FailureKind), from a failure of this machine. `classify`
//! decides it from the operation, the address and the error number; `earlier` recognises the errors
//! that a datagram socket returns about datagrams it has sent before.

mod classify;
mod client_error;
mod earlier;
mod operation;

pub use client_error::{ClientError, with_failure_kinds};

pub(crate) use classify::failure_kind;
pub(crate) use earlier::{is_about_earlier, send_twice};
pub(crate) use operation::Operation;
