//! Pages of documentation without code: what each socket family supports, how to come from other
//! libraries, and how to use this crate together with them.
//!
//! Their examples are compiled and run as tests.
//!
//! - [`families`]: which families and socket types support what.
//! - [`python`]: Python's socket object, method by method.
//! - [`socket2`]: the items of socket2, nix and rustix, and their names here.
//! - [`tokio`]: asynchronous sockets, with control messages and options of this crate.
//! - [`mio`]: a loop of your own.

pub mod families;
pub mod mio;
pub mod python;
pub mod socket2;
pub mod tokio;
