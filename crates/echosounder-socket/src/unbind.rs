//! Withdrawing names from TIPC sockets, which may be bound to several.

use std::io;

use crate::address::Address;
use crate::family::tipc::TipcAddress;
use crate::raw_address::RawAddress;
use crate::socket::Socket;

/// Operations of TIPC sockets only.
impl Socket {
    /// Withdraws one name that a TIPC socket is bound to.
    ///
    /// # Errors
    ///
    /// As bind(2): EINVAL if the socket is not bound to the name.
    ///
    /// ```no_run
    /// use echosounder_socket::{Address, Endpoint, IpVersion, Side, Transport};
    ///
    /// // Needs a kernel with TIPC.
    /// let endpoint: Endpoint = "tipc-rdm://4711:1".parse()?;
    /// let address = &endpoint.resolve(Side::Server, IpVersion::Any)?[0];
    /// let socket = Transport::TipcRdm.socket(address)?;
    /// socket.bind(address)?;
    /// if let Address::Tipc(name) = address {
    ///     socket.unbind(name)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unbind(&self, address: &TipcAddress) -> io::Result<()> {
        self.bind_raw(&address.withdrawal().ok_or(io::ErrorKind::InvalidInput)?)
    }

    /// Withdraws every name that a TIPC socket is bound to. See [`unbind`](Self::unbind) for one.
    ///
    /// # Errors
    ///
    /// As bind(2); `InvalidInput` if it is not a TIPC socket.
    pub fn unbind_all(&self) -> io::Result<()> {
        if !matches!(self.local_addr()?, Address::Tipc(_)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.bind_raw(&RawAddress::empty())
    }
}
