//! The client over socket pairs and with a fake clock.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod connect;
mod examples;
mod library;
mod load;
mod pair;
mod ping;
mod pipe;
mod talk;
