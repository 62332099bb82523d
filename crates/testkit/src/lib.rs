//! Helpers that the tests of the other crates share.
//!
//! It is a dev-dependency. Unit tests of `echosounder-proto` and `echosounder-socket` must not use
//! it, only their tests in `tests/it`: it depends on these two crates, and their unit tests are
//! another build, with other types.
//!
//! | a test needs | it uses |
//! |---|---|
//! | a program beside it, with its output as it comes and its exit status | [`Program`], [`finish`] |
//! | a path for files or UNIX sockets | [`Folder`], [`unique`] |
//! | a port that refuses, or one for a program that cannot choose its own | [`closed_port`], [`free_port`] |
//! | two connected sockets that cannot block forever | [`socket_pair`] |
//! | a descriptor that is no socket | [`pipe`] |
//! | time that passes when the test says so | [`FakeClock`] |
//! | chance that is the same in every run | [`Random`] |
//! | a network that loses, delays, duplicates and reorders | [`Forwarder`] |
//! | interfaces, routes and firewalls of its own | [`net_lab()`] |
//! | a server that violates the protocol | [`Liar`], [`LIES`] |
//! | to wait for something without an event of its own | [`wait_for`], [`wait_until`], [`PATIENCE`] |
//! | messages that have arrived and are unread | [`flush_loopback`] |
//! | something that this machine lacks | [`skip()`], [`installed`], [`has_ipv6`] |
//!
//! A test waits for the event itself, at most for [`PATIENCE`], and then fails with a message that
//! says what did not happen. It never sleeps to give something time, and it asserts no upper bound
//! on elapsed time that a busy machine would break.
//!
//! ```
//! use echosounder_testkit::{Program, sh};
//!
//! let mut cat = Program::start(&mut sh("cat"));
//! cat.write(b"hello\n");
//! assert_eq!(cat.wait_for_lines(1), ["hello"]);
//! assert_eq!(cat.finish().code, Some(0));
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod clock;
mod folder;
mod forwarder;
mod liar;
mod loopback;
mod machine;
mod net_lab;
mod pair;
mod patience;
mod port;
mod program;
mod random;
mod skip;

pub use clock::FakeClock;
pub use folder::{Folder, unique};
pub use forwarder::{Fate, Forwarder, Log, MessageForm, OneWay, Passage, REQUEST_LEN, RequestLog};
pub use liar::{EXTREME_TIMESTAMPS, LIES, Liar, Lie, Victim};
pub use loopback::flush_loopback;
pub use machine::{has_ipv6, installed, may_run};
pub use net_lab::net_lab;
pub use pair::{pipe, socket_pair};
pub use patience::{PATIENCE, retry_interrupted, wait_for, wait_until};
pub use port::{closed_port, free_port};
pub use program::{Finished, Program, finish, json_lines, sh};
pub use random::Random;
pub use skip::{open_skip_file, skip, skip_file};
