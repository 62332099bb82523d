//! The names of this machine's network interfaces, and their numbers. See if_nameindex(3).

use std::ffi::CString;
use std::io;

use crate::sys;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interface {
    /// Its number, which scope ids and [`PacketInfo`](crate::PacketInfo) carry.
    pub index: u32,
    /// Its name, such as `eth0`.
    pub name: String,
}

/// Every network interface of this network namespace.
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

/// The number of an interface.
///
/// # Errors
///
/// ENODEV if there is none of this name.
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

/// The name of an interface.
///
/// # Errors
///
/// ENXIO if there is none of this number.
#[doc(alias = "if_indextoname")]
pub fn interface_name(index: u32) -> io::Result<String> {
    sys::interface::name(index).map(|name| text(&name))
}

/// The kernel takes any bytes for a name; in practice they are ASCII.
fn text(name: &CString) -> String {
    name.to_string_lossy().into_owned()
}
