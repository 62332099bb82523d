//! How to use this crate's sockets together with other libraries.
//!
//! These pages contain documentation only. Their examples are compiled and run as tests.
//!
//! - [`tokio`]: asynchronous sockets, with control messages and options of this crate.
//! - [`mio`]: a loop of your own.

pub mod mio;
pub mod tokio;
