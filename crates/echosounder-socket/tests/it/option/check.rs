//! How an option is checked, and what a kernel may lack.

use std::fmt::Debug;
use std::io;

use echosounder_socket::Socket;
use echosounder_socket::option::{GetValue, SetValue, SocketOption};

use super::makers::Made;
use crate::skip;

/// What an option needs.
pub(super) enum Needs {
    /// Every supported kernel has it.
    Nothing,
    /// A Linux version.
    Linux(&'static str),
    /// Something that a kernel may be built or set up without; it then fails with these errors.
    Feature(&'static str, &'static [i32]),
}

/// An option, and how it is set and read.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    pub(super) check: fn() -> io::Result<()>,
}

/// Builds rows: `NAME => check(socket, arguments);`, with `newer VERSION` or `feature NAME ERRNO`
/// before the arrow.
macro_rules! rows {
    ($($name:ident $(newer $version:literal)? $(feature $feature:literal $($errno:ident)+)? =>
        $check:ident($make:expr $(, $argument:expr)*);)+) => {
        &[$(Row {
            name: stringify!($name),
            needs: rows!(@needs $(newer $version)? $(feature $feature $($errno)+)?),
            check: || $check(&$make?, echosounder_socket::option::$name $(, $argument)*),
        }),+]
    };
    (@needs) => { Needs::Nothing };
    (@needs newer $version:literal) => { Needs::Linux($version) };
    (@needs feature $feature:literal $($errno:ident)+) => { Needs::Feature($feature, &[$(libc::$errno),+]) };
}

pub(super) use rows;

/// Sets an option, and expects to read a value.
pub(super) fn keeps<S: SetValue, G: GetValue + PartialEq + Debug>(
    made: &Made,
    option: SocketOption<S, G>,
    value: S,
    expected: G,
) -> io::Result<()> {
    made.socket.set_option(option, value)?;
    same(made.socket.option(option)?, expected)
}

/// Sets an option to the other value, and back.
pub(super) fn toggles(made: &Made, option: SocketOption<bool>) -> io::Result<()> {
    let before = made.socket.option(option)?;
    for value in [!before, before] {
        made.socket.set_option(option, value)?;
        same(made.socket.option(option)?, value)?;
    }
    Ok(())
}

/// Sets an option that cannot be read, or cannot be read back.
pub(super) fn takes<S: SetValue, G>(made: &Made, option: SocketOption<S, G>, value: S) -> io::Result<()> {
    made.socket.set_option(option, value)
}

/// Reads an option, whose value must pass a test.
pub(super) fn reads<S, G: GetValue + Debug>(
    made: &Made,
    option: SocketOption<S, G>,
    is_right: fn(&G) -> bool,
) -> io::Result<()> {
    let value = made.socket.option(option)?;
    if is_right(&value) { Ok(()) } else { Err(io::Error::other(format!("read {value:?}"))) }
}

/// Reads an option, and sets it to what was read.
pub(super) fn copies<V: SetValue + GetValue>(made: &Made, option: SocketOption<V>) -> io::Result<()> {
    let value = made.socket.option(option)?;
    made.socket.set_option(option, value)
}

/// Sets an option, and runs a test of its effect.
pub(super) fn works<S: SetValue, G>(
    made: &Made,
    option: SocketOption<S, G>,
    value: S,
    effect: fn(&Socket) -> io::Result<bool>,
) -> io::Result<()> {
    made.socket.set_option(option, value)?;
    if effect(&made.socket)? { Ok(()) } else { Err(io::Error::other("no effect")) }
}

fn same<V: PartialEq + Debug>(value: V, expected: V) -> io::Result<()> {
    let wrong = || Err(io::Error::other(format!("read {value:?} instead of {expected:?}")));
    if value == expected { Ok(()) } else { wrong() }
}

/// Checks all rows, skips what this machine lacks, and then reports every failure.
#[track_caller]
pub(super) fn check(rows: &[Row]) {
    let mut failed = Vec::new();
    for row in rows {
        let Err(error) = (row.check)() else { continue };
        let errno = error.raw_os_error();
        if let Some(lacking) = super::makers::Lacking::of(&error) {
            skip(lacking.0, lacking.1.to_string());
            continue;
        }
        match (&row.needs, errno) {
            (_, Some(libc::EPERM | libc::EACCES)) => {
                skip("privileged options", format!("{}: {error}", row.name))
            }
            (Needs::Linux(version), Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EINVAL)) => {
                skip("newer options", format!("{} needs Linux {version}", row.name));
            }
            (Needs::Feature(name, lacks), Some(errno)) if lacks.contains(&errno) => {
                skip("kernel features", format!("{} needs {name}: {error}", row.name));
            }
            _ => failed.push(format!("{}: {error}", row.name)),
        }
    }
    assert!(failed.is_empty(), "{} options failed:\n{}", failed.len(), failed.join("\n"));
}
