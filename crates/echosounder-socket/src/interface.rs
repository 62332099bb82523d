//! The network interfaces of this machine: names and indices. See if_nameindex(3).

use std::ffi::CString;
use std::io;

use crate::sys;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its index, as in scope ids and [`PacketInfo`](crate::PacketInfo).
    pub index: u32,
    /// Its name, for example `eth0`.
    pub name: String,
}

/// Returns every network interface of this network namespace.
///
/// # Errors
///
/// As if_nameindex(3).
///
/// ```
/// let names = echosounder_socket::interfaces()?;
/// assert!(names.iter().any(|interface| interface.name == "lo"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "if_nameindex")]
pub fn interfaces() -> io::Result<Vec<Interface>> {
    let list = sys::interface::all()?;
    Ok(list.into_iter().map(|(index, name)| Interface { index, name: text(&name) }).collect())
}

/// Returns the index of an interface.
///
/// # Errors
///
/// ENODEV if no interface has this name.
///
/// ```
/// use echosounder_socket::{interface_index, interface_name};
///
/// assert_eq!(interface_name(interface_index("lo")?)?, "lo");
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "if_nametoindex")]
pub fn interface_index(name: &str) -> io::Result<u32> {
    sys::interface::index(&CString::new(name)?)
}

/// Returns the name of an interface.
///
/// # Errors
///
/// ENXIO if no interface has this index.
#[doc(alias = "if_indextoname")]
pub fn interface_name(index: u32) -> io::Result<String> {
    sys::interface::name(index).map(|name| text(&name))
}

/// Converts an interface name, which may contain any bytes and in practice is ASCII.
fn text(name: &CString) -> String {
    name.to_string_lossy().into_owned()
}
