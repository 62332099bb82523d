//! Socket options as typed names, and the types of their values.

use std::ffi::{OsStr, OsString};
use std::marker::PhantomData;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use crate::credentials::Credentials;
use crate::family::{Family, Protocol, Type};

/// A socket option: its level and its name, with the type `S` of the value that is set and the type
/// `G` of the value that is read.
///
/// Most options have one type for both. `SocketOption<ReadOnly, G>` cannot be set and
/// `SocketOption<S, WriteOnly>` cannot be read; the compiler refuses the wrong direction:
///
/// ```compile_fail,E0277
/// # use echosounder_socket::{Family, Protocol, Socket, Type, option};
/// # let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
/// socket.set_option(option::SO_TYPE, unreachable!())?; // SO_TYPE is read-only.
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// ```compile_fail,E0277
/// # use echosounder_socket::{Family, Protocol, Socket, Type, option};
/// # let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
/// socket.option(option::IP_ADD_MEMBERSHIP)?; // IP_ADD_MEMBERSHIP is write-only.
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// An option that [`option`](crate::option) lacks is defined with [`SocketOption::new`].
pub struct SocketOption<S, G = S> {
    level: i32,
    name: i32,
    types: PhantomData<fn(S) -> G>,
}

impl<S, G> SocketOption<S, G> {
    /// Defines an option of this crate. The caller knows that its values contain no memory address
    /// and no descriptor.
    pub(crate) const fn of(level: i32, name: i32) -> Self {
        Self { level, name, types: PhantomData }
    }

    /// Returns the level of the option: the second argument of setsockopt(2), such as 1 for
    /// SOL_SOCKET.
    pub const fn level(self) -> i32 {
        self.level
    }

    /// Returns the number of the option within its level: the third argument of setsockopt(2).
    pub const fn name(self) -> i32 {
        self.name
    }
}

impl<S, G> Clone for SocketOption<S, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, G> Copy for SocketOption<S, G> {}

/// The value type of options that cannot be set. It has no values.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadOnly {}

/// The value type of options that cannot be read. It has no values.
///
/// See [how to set and read options](crate::option).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOnly {}

/// A value that setsockopt(2) takes.
///
/// ```
/// use echosounder_socket::option::SetValue;
///
/// /// A mode that the kernel expects as one byte.
/// struct Mode(u8);
///
/// impl SetValue for Mode {
///     type Bytes = [u8; 1];
///
///     fn encode(&self) -> Option<[u8; 1]> {
///         Some([self.0])
///     }
/// }
///
/// assert_eq!(Mode(3).encode(), Some([3]));
/// ```
#[diagnostic::on_unimplemented(
    message = "a socket option with values of type `{Self}` cannot be set",
    note = "values of type `ReadOnly` mark an option that can only be read"
)]
pub trait SetValue {
    /// The encoded value: an array if its length is fixed, so that encoding does not allocate.
    type Bytes: AsRef<[u8]>;

    /// Returns the value as the kernel reads it. No bytes stand for a null pointer with length 0.
    ///
    /// `None` means that the kernel would truncate or misread the value, so that it must not be
    /// set.
    fn encode(&self) -> Option<Self::Bytes>;
}

/// A value that getsockopt(2) returns.
///
/// ```
/// use echosounder_socket::option::GetValue;
///
/// /// A mode that the kernel returns as one byte.
/// struct Mode(u8);
///
/// impl GetValue for Mode {
///     const LEN_MAX: usize = 1;
///
///     fn decode(bytes: &[u8]) -> Option<Self> {
///         bytes.first().map(|mode| Self(*mode))
///     }
/// }
///
/// assert_eq!(Mode::decode(&[3]).map(|mode| mode.0), Some(3));
/// ```
#[diagnostic::on_unimplemented(
    message = "a socket option with values of type `{Self}` cannot be read",
    note = "values of type `WriteOnly` mark an option that can only be set"
)]
pub trait GetValue: Sized {
    /// Maximum length in bytes of a value that the kernel returns. Values of up to 512 bytes are
    /// read without an allocation.
    const LEN_MAX: usize;

    /// Decodes a value that the kernel has returned; `None` if the bytes are not one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// Implements [`SetValue`] for a structure, with the type and the offset of each field in the
/// kernel's structure. Bytes that belong to no field are zero.
macro_rules! layout_write {
    ($name:ident, $len:literal, { $($field:ident: $type:ty = $at:literal),+ $(,)? }) => {
        impl $crate::option::value::SetValue for $name {
            type Bytes = [u8; $len];

            fn encode(&self) -> Option<[u8; $len]> {
                let mut bytes = [0; $len];
                $(bytes[$at..$at + size_of::<$type>()].copy_from_slice(&self.$field.to_ne_bytes());)+
                Some(bytes)
            }
        }
    };
}

/// Implements [`GetValue`] for a structure.
macro_rules! layout_read {
    ($name:ident, $len:literal, { $($field:ident: $type:ty = $at:literal),+ $(,)? }) => {
        impl $crate::option::value::GetValue for $name {
            const LEN_MAX: usize = $len;

            fn decode(bytes: &[u8]) -> Option<Self> {
                Some(Self { $($field: <$type>::from_ne_bytes(*bytes.get($at..)?.first_chunk()?)),+ })
            }
        }
    };
}

/// Implements both traits for a structure.
macro_rules! layout {
    ($name:ident, $len:literal, $fields:tt) => {
        $crate::option::value::layout_write!($name, $len, $fields);
        $crate::option::value::layout_read!($name, $len, $fields);
    };
}

pub(super) use {layout, layout_read, layout_write};

/// Numbers, in native byte order.
macro_rules! number {
    ($($type:ty),+) => {$(
        impl SetValue for $type {
            type Bytes = [u8; size_of::<$type>()];

            fn encode(&self) -> Option<Self::Bytes> {
                Some(self.to_ne_bytes())
            }
        }

        impl GetValue for $type {
            const LEN_MAX: usize = size_of::<$type>();

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|bytes| Self::from_ne_bytes(*bytes))
            }
        }
    )+};
}

number!(u8, u16, i32, u32, i64, u64);

/// An `int`, 0 or 1.
impl SetValue for bool {
    type Bytes = [u8; 4];

    fn encode(&self) -> Option<[u8; 4]> {
        i32::from(*self).encode()
    }
}

impl GetValue for bool {
    const LEN_MAX: usize = 4;

    fn decode(bytes: &[u8]) -> Option<Self> {
        i32::decode(bytes).map(|value| value != 0)
    }
}

/// No value: a null pointer with length 0.
impl SetValue for () {
    type Bytes = [u8; 0];

    fn encode(&self) -> Option<[u8; 0]> {
        Some([])
    }
}

/// Bytes that the kernel reads and writes unchanged.
impl<const N: usize> SetValue for [u8; N] {
    type Bytes = Self;

    fn encode(&self) -> Option<Self> {
        Some(*self)
    }
}

impl<const N: usize> GetValue for [u8; N] {
    const LEN_MAX: usize = N;

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

/// Any number of bytes, which are sent unchanged; at most 4096 are read.
impl SetValue for Vec<u8> {
    type Bytes = Self;

    fn encode(&self) -> Option<Self> {
        Some(self.clone())
    }
}

impl GetValue for Vec<u8> {
    const LEN_MAX: usize = 4096;

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(bytes.into())
    }
}

/// Numbers in native byte order, such as group ids; at most 65,536 are read.
impl GetValue for Vec<u32> {
    const LEN_MAX: usize = 4 << 16;

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.chunks(4).map(u32::decode).collect()
    }
}

/// The four bytes in network byte order: `struct in_addr`, ip(7).
impl SetValue for Ipv4Addr {
    type Bytes = [u8; 4];

    fn encode(&self) -> Option<[u8; 4]> {
        Some(self.octets())
    }
}

impl GetValue for Ipv4Addr {
    const LEN_MAX: usize = 4;

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk::<4>().map(|octets| Self::from(*octets))
    }
}

/// The 16 bytes in network byte order: `struct in6_addr`, ipv6(7).
impl SetValue for Ipv6Addr {
    type Bytes = [u8; 16];

    fn encode(&self) -> Option<[u8; 16]> {
        Some(self.octets())
    }
}

impl GetValue for Ipv6Addr {
    const LEN_MAX: usize = 16;

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk::<16>().map(|octets| Self::from(*octets))
    }
}

/// A `struct timeval`, rounded up to a microsecond. Zero means no limit.
impl SetValue for Duration {
    type Bytes = [u8; 16];

    fn encode(&self) -> Option<[u8; 16]> {
        let micros = self.as_nanos().div_ceil(1000);
        let seconds = i64::try_from(micros / 1_000_000).unwrap_or(i64::MAX);
        let rest = i64::try_from(micros % 1_000_000).unwrap_or(0);
        Some(joined(seconds.to_ne_bytes(), rest.to_ne_bytes()))
    }
}

impl GetValue for Duration {
    const LEN_MAX: usize = 16;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let seconds = u64::try_from(i64::decode(bytes)?).ok()?;
        let micros = u32::try_from(i64::decode(bytes.get(8..)?)?).ok()?;
        Self::from_secs(seconds).checked_add(Self::from_micros(micros.into()))
    }
}

const _: () = assert!(size_of::<libc::timeval>() == <Duration as GetValue>::LEN_MAX);

/// A `struct linger`, rounded up to a second. `None` means off.
impl SetValue for Option<Duration> {
    type Bytes = [u8; 8];

    fn encode(&self) -> Option<[u8; 8]> {
        let seconds = |time: Duration| time.as_nanos().div_ceil(1_000_000_000);
        let seconds = self.map_or(0, |time| i32::try_from(seconds(time)).unwrap_or(i32::MAX));
        Some(joined(i32::from(self.is_some()).to_ne_bytes(), seconds.to_ne_bytes()))
    }
}

impl GetValue for Option<Duration> {
    const LEN_MAX: usize = 8;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (on, seconds) = (i32::decode(bytes)?, i32::decode(bytes.get(4..)?)?);
        Some((on != 0).then(|| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    }
}

/// A name of at most 15 bytes without a NUL. The kernel would truncate longer names of interfaces,
/// congestion controls and upper-layer protocols. A returned name may end in a NUL, which is
/// removed.
impl SetValue for String {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        let fits = self.len() < libc::IF_NAMESIZE && !self.as_bytes().contains(&0);
        fits.then(|| self.as_bytes().into())
    }
}

impl GetValue for String {
    const LEN_MAX: usize = 64;

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::from_utf8(until_nul(bytes).into()).ok()
    }
}

/// As [`String`], for names that need not be UTF-8, of at most 4096 bytes when they are read.
impl SetValue for OsString {
    type Bytes = Vec<u8>;

    fn encode(&self) -> Option<Vec<u8>> {
        let bytes = OsStr::as_bytes(self);
        (bytes.len() < libc::IF_NAMESIZE && !bytes.contains(&0)).then(|| bytes.into())
    }
}

impl GetValue for OsString {
    const LEN_MAX: usize = 4096;

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self::from_vec(until_nul(bytes).into()))
    }
}

impl GetValue for Credentials {
    const LEN_MAX: usize = Self::LEN;

    fn decode(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes)
    }
}

/// Numbers with a type of their own.
macro_rules! named_number {
    ($($type:ident: $number:ty),+ $(,)?) => {$(
        impl $crate::option::value::SetValue for $type {
            type Bytes = [u8; size_of::<$number>()];

            fn encode(&self) -> Option<Self::Bytes> {
                Some(self.0.to_ne_bytes())
            }
        }

        impl $crate::option::value::GetValue for $type {
            const LEN_MAX: usize = size_of::<$number>();

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|bytes| Self(<$number>::from_ne_bytes(*bytes)))
            }
        }
    )+};
}

/// Defines a number whose values have names, which people read in Debug output.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident: $number:ty { $($(#[$value_meta:meta])* $name:ident = $value:literal;)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub $number);

        impl $type {
            $($(#[$value_meta])* pub const $name: Self = Self($value);)+
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.0 {
                    $($value => f.write_str(stringify!($name)),)+
                    number => write!(f, concat!(stringify!($type), "({})"), number),
                }
            }
        }

        $crate::option::value::named_number!($type: $number);
    };
}

/// Sets of flags that the `bitflags` crate has defined.
macro_rules! flag_set {
    ($($type:ident: $number:ty),+ $(,)?) => {$(
        impl $crate::option::value::SetValue for $type {
            type Bytes = [u8; size_of::<$number>()];

            fn encode(&self) -> Option<Self::Bytes> {
                Some(self.bits().to_ne_bytes())
            }
        }

        impl $crate::option::value::GetValue for $type {
            const LEN_MAX: usize = size_of::<$number>();

            fn decode(bytes: &[u8]) -> Option<Self> {
                bytes.first_chunk().map(|bytes| Self::from_bits_retain(<$number>::from_ne_bytes(*bytes)))
            }
        }
    )+};
}

pub(super) use {flag_set, named, named_number};

named_number!(Family: i32, Type: i32, Protocol: i32);

/// Defines the options of a level, and lists them under their names.
macro_rules! options {
    (level $level:expr; $($(#[$meta:meta])* $name:ident: $type:ty = $number:expr;)+) => {
        $($(#[$meta])*
        #[doc = "\n\nSee [how to set and read options](crate::option)."]
        pub const $name: $type = $crate::option::value::SocketOption::of($level, $number);)+

        /// The name, level and number of each option of this file.
        pub(super) const LIST: &[(&str, i32, i32)] = &[$((stringify!($name), $level, $number)),+];
    };
}

pub(super) use options;

/// Returns two encoded fields in a row.
pub(super) fn joined<const HALF: usize, const BOTH: usize>(one: [u8; HALF], other: [u8; HALF]) -> [u8; BOTH] {
    const { assert!(2 * HALF == BOTH) };
    let mut both = [0; BOTH];
    both[..HALF].copy_from_slice(&one);
    both[HALF..].copy_from_slice(&other);
    both
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}
