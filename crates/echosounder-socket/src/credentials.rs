//! The identity of a process, as the kernel reports it beside a message or for a connection.

/// The identity of a process: `struct ucred`, unix(7).
///
/// ```
/// use echosounder_socket::{Transport, option};
///
/// let (one, _other) = Transport::UnixStream.pair()?;
/// let peer = one.option(option::SO_PEERCRED)?;
/// assert_eq!(u32::try_from(peer.pid), Ok(std::process::id()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Credentials {
    /// The process id, in the reader's PID namespace.
    pub pid: i32,
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl Credentials {
    pub(crate) const LEN: usize = 12;

    pub(crate) fn decode(data: &[u8]) -> Option<Self> {
        let (pid, data) = data.split_first_chunk()?;
        let (uid, data) = data.split_first_chunk()?;
        let gid = data.first_chunk()?;
        Some(Self {
            pid: i32::from_ne_bytes(*pid),
            uid: u32::from_ne_bytes(*uid),
            gid: u32::from_ne_bytes(*gid),
        })
    }

    pub(crate) fn encode(self) -> [u8; Self::LEN] {
        let mut data = [0; Self::LEN];
        data[..4].copy_from_slice(&self.pid.to_ne_bytes());
        data[4..8].copy_from_slice(&self.uid.to_ne_bytes());
        data[8..].copy_from_slice(&self.gid.to_ne_bytes());
        data
    }
}

const _: () = assert!(size_of::<libc::ucred>() == Credentials::LEN);
