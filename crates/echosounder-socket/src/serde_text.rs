//! Serialization with the feature `serde`: addresses and endpoints as text, flags and constants of the
//! kernel as numbers.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::family::netlink::NetlinkAddress;
use crate::family::tipc::TipcAddress;
use crate::family::unix::UnixName;
use crate::family::vsock::VsockAddress;
use crate::option::{MptcpFlags, TcpCongestionState, TcpInfoOptions, TcpState};
use crate::transport::Transport;

/// Reads a value from its text.
struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Implements the serialization of a type with its text: what `Display` writes in the alternate
/// form, and what `FromStr` reads.
macro_rules! as_text {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            /// Writes the text that [`FromStr`] reads, with the feature `serde`.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("{self:#}"))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Reads the text that [`FromStr`] reads, with the feature `serde`.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText(PhantomData))
            }
        }
    )*};
}

as_text! { Address Endpoint NetlinkAddress TipcAddress Transport UnixName VsockAddress }

/// Implements the serialization of a type with its number.
macro_rules! as_number {
    ($($name:ident: $value:ident => $number:expr;)*) => {$(
        impl Serialize for $name {
            /// Writes the number, with the feature `serde`.
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                $number.serialize(serializer)
            }
        }
    )*};
}

as_number! {
    TcpState: state => state.0;
    TcpCongestionState: state => state.0;
    TcpInfoOptions: options => options.bits();
    MptcpFlags: flags => flags.bits();
}
