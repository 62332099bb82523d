//! What the other crates of this project need beyond the public API. It is not part of that API,
//! has no documentation page, and may change in any release.

pub mod kernel;
mod pinned_socket;
mod process;

pub use self::pinned_socket::{PathIdentity, PinnedSocket, read_user_map};
pub use self::process::{
    drop_clock_capability, effective_user_id, end_at_refused_call, fd_limit, ignore_file_size_signal,
    raise_fd_limit, set_timer_slack, timer_slack,
};
pub use crate::batch::Received;
pub use crate::connection::interleave;
pub use crate::option::names::list as option_list;
pub use crate::transport::{DEFAULT_PORT, TcpOptions, Timestamping};
