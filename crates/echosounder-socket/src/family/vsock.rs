//! AF_VSOCK: virtual machines and their hosts, by context id and port. See vsock(7).
//!
//! - A connection can be half-closed, as with TCP.
//! - Connections within one machine need the loopback transport (vsock_loopback, Linux 5.6).
//!   Without it, binding to `local` fails with EADDRNOTAVAIL, binding to `any` succeeds, and
//!   connecting to this machine fails.
//! - The local address of a client that has not been bound has the context id `any`. The peer sees
//!   the real one.
//! - An empty message is not sent.
//! - Before Linux 6.4 a message that cannot be sent fails with ENOMEM, even if it is too long.
//!
//! ```no_run
//! use echosounder_socket::{ServerOptions, create_connection, create_server};
//!
//! let server = create_server("vsock://any:21567", ServerOptions::default())?;
//! let client = create_connection("vsock://local:21567", None, None)?;
//! client.send_all(b"ahoy")?;
//! let (connection, _peer) = server.accept()?;
//! assert_eq!(connection.recv(&mut [0; 16])?, 4);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::str::FromStr;

use crate::endpoint_error::EndpointError;
use crate::errno::{PeerFailure, PeerOperation, has_no_route, is_feature_absent};
use crate::lookup::Side;
use crate::raw_address::RawAddress;
use crate::sys;
use crate::transport::DEFAULT_PORT;

/// The address of a VSOCK socket.
///
/// As text, it is `CID:PORT`, with `any`, `local` and `host` for three of the context ids and 0 for
/// [`PORT_ANY`](Self::PORT_ANY). The text of port 0 itself, which hardly any program uses, is `0x0`.
///
/// ```
/// use echosounder_socket::family::vsock::VsockAddress;
///
/// let address = VsockAddress { cid: VsockAddress::CID_HOST, port: 21567 };
/// assert_eq!(address.to_string(), "host:21567");
/// assert_eq!("host:21567".parse(), Ok(address));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VsockAddress {
    /// The context id of the machine.
    pub cid: u32,
    /// The port. Binding a port below 1024 needs CAP_NET_BIND_SERVICE.
    pub port: u32,
}

/// The text of port 0: that of [`VsockAddress::PORT_ANY`] is "0".
const PORT_ZERO: &str = "0x0";

impl VsockAddress {
    /// Any context id of this machine: VMADDR_CID_ANY.
    pub const CID_ANY: u32 = libc::VMADDR_CID_ANY;
    /// This machine, through the loopback transport: VMADDR_CID_LOCAL, since Linux 5.6.
    pub const CID_LOCAL: u32 = libc::VMADDR_CID_LOCAL;
    /// The host of this guest: VMADDR_CID_HOST.
    pub const CID_HOST: u32 = libc::VMADDR_CID_HOST;
    /// In a bind: a free port that the kernel chooses. VMADDR_PORT_ANY.
    pub const PORT_ANY: u32 = libc::VMADDR_PORT_ANY;

    /// Returns the context id of this machine: IOCTL_VM_SOCKETS_GET_LOCAL_CID, vsock(7).
    ///
    /// A host without guests has [`CID_HOST`](Self::CID_HOST) or [`CID_ANY`](Self::CID_ANY).
    ///
    /// # Errors
    ///
    /// ENOENT if /dev/vsock does not exist, EACCES if this process may not open it.
    ///
    /// ```no_run
    /// use echosounder_socket::family::vsock::VsockAddress;
    ///
    /// println!("this machine is {}", VsockAddress::local_cid()?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "IOCTL_VM_SOCKETS_GET_LOCAL_CID")]
    pub fn local_cid() -> io::Result<u32> {
        sys::kernel::local_cid(File::open("/dev/vsock")?.as_fd())
    }

    /// Parses `CID`, `CID:PORT` or `:PORT`. CID is a number, `any`, `local` or `host`; port 0 lets
    /// the kernel choose, `0x0` is port 0 itself.
    pub(crate) fn parse(text: &str) -> Result<Self, EndpointError> {
        let (cid, port) = match text.split_once(':') {
            Some((cid, port)) => (cid, Some(port)),
            None => (text, None),
        };
        let cid = match cid {
            "" | "*" | "any" => Self::CID_ANY,
            "local" => Self::CID_LOCAL,
            "host" => Self::CID_HOST,
            number => super::number(number).ok_or_else(|| EndpointError::BadCid(number.into()))?,
        };
        let port = match port {
            None => u32::from(DEFAULT_PORT),
            Some(PORT_ZERO) => 0,
            Some(port) => match super::number(port) {
                None => return Err(EndpointError::BadVsockPort(port.into())),
                Some(0) => Self::PORT_ANY,
                Some(port) => port,
            },
        };
        Ok(Self { cid, port })
    }

    /// Returns the address to bind or to connect to: for a client, `any` means this machine.
    pub(crate) fn on(self, side: Side) -> Self {
        let is_this_machine = side == Side::Client && self.cid == Self::CID_ANY;
        Self { cid: if is_this_machine { Self::CID_LOCAL } else { self.cid }, ..self }
    }

    pub(crate) fn put(&self, raw: &mut RawAddress) {
        raw.put(&[0; 2]);
        raw.put(&self.port.to_ne_bytes());
        raw.put(&self.cid.to_ne_bytes());
        raw.put(&[0; 4]);
    }

    /// Decodes an address; `None` for one with flags (VMADDR_FLAG_TO_HOST), which has no form here.
    pub(crate) fn get(raw: &RawAddress) -> Option<Self> {
        let plain = raw.field::<4>(12)? == [0; 4] && raw.field::<2>(2)? == [0; 2];
        let address =
            Self { port: u32::from_ne_bytes(raw.field(4)?), cid: u32::from_ne_bytes(raw.field(8)?) };
        plain.then_some(address)
    }
}

/// Returns the failure of the peer that an error indicates, if AF_VSOCK gives it its own meaning.
pub(crate) fn peer_failure(operation: PeerOperation, error: &io::Error) -> Option<PeerFailure> {
    if operation == PeerOperation::Connect && error.kind() == io::ErrorKind::ConnectionReset {
        // No socket listens on the port.
        return Some(PeerFailure::Refused);
    }
    // No machine has the context id, or no transport reaches it (ENODEV).
    let is_unreachable = is_feature_absent(error) || has_no_route(error);
    is_unreachable.then_some(PeerFailure::Unreachable)
}

const _: () = assert!(size_of::<libc::sockaddr_vm>() == 16);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_vm, svm_port) == 4);
const _: () = assert!(std::mem::offset_of!(libc::sockaddr_vm, svm_cid) == 8);

impl FromStr for VsockAddress {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl fmt::Display for VsockAddress {
    /// Writes the address as in an endpoint: `local:21567`. Port 0 means any free port, `0x0` port 0
    /// itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cid {
            Self::CID_ANY => f.write_str("any")?,
            Self::CID_LOCAL => f.write_str("local")?,
            Self::CID_HOST => f.write_str("host")?,
            cid => write!(f, "{cid}")?,
        }
        match self.port {
            Self::PORT_ANY => f.write_str(":0"),
            0 => write!(f, ":{PORT_ZERO}"),
            port => write!(f, ":{port}"),
        }
    }
}
