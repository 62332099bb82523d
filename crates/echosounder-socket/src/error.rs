//! Errors that name the operation and the object.

use std::fmt;
use std::io;

use crate::address::Address;

/// A failed operation on an object. The kernel's reason is its source.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {object}")]
pub struct Error {
    operation: &'static str,
    object: String,
    address: Option<Address>,
    source: io::Error,
}

impl Error {
    /// Creates an error of `operation`, a verb such as `bind` or `send to`, on `object`.
    pub fn new(operation: &'static str, object: &dyn fmt::Display, source: io::Error) -> Self {
        Self { operation, object: object.to_string(), address: None, source }
    }

    /// Adds the address that the operation was about.
    #[must_use]
    pub fn with_address(self, address: &Address) -> Self {
        Self { address: Some(address.clone()), ..self }
    }

    /// Returns the operation.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Returns the address that the operation was about, if it was about one.
    pub fn address(&self) -> Option<&Address> {
        self.address.as_ref()
    }

    /// Returns the kernel's reason.
    pub fn cause(&self) -> &io::Error {
        &self.source
    }

    /// Returns the kernel's reason alone.
    pub fn into_cause(self) -> io::Error {
        self.source
    }
}
