//! The sockets behind the paths of UNIX datagram clients, pinned so that a reply reaches the sender
//! of its request.
//!
//! The sender of a request can exchange its path for a link to another socket while the request is
//! on its way. The cache therefore looks at each path again, compares the socket's owner with the
//! sender's credentials, and sends to the socket that it looked at.

use std::io;

use echosounder_proto::DropReason;
use echosounder_socket::Address;
use echosounder_socket::internal::{PathIdentity, PinnedSocket};

/// Maximum number of sockets that stay pinned between turns.
pub(crate) const CAPACITY: usize = 32;

/// The clients' sockets that a datagram socket replied to last.
#[derive(Debug, Default)]
pub(crate) struct ReplyCache {
    /// Each socket with the address that reaches it, the least recently used first.
    peers: Vec<(PinnedSocket, Address)>,
}

impl ReplyCache {
    /// Returns an address that reaches the socket at `path`, if the user `uid` owns it. The address
    /// is valid until [`evict`](Self::evict).
    pub(crate) fn address(&mut self, path: &[u8], uid: Option<u32>) -> Result<&Address, DropReason> {
        let seen = PathIdentity::at(path).map_err(drop_reason)?;
        if !uid.is_some_and(|uid| seen.is_owned_by(uid)) {
            return Err(DropReason::Forged);
        }
        match self.peers.iter().position(|(socket, _)| socket.identity() == seen) {
            Some(index) => self.peers[index..].rotate_left(1),
            None => {
                let socket = PinnedSocket::open(path).map_err(drop_reason)?;
                // Another socket may have taken the path since.
                if socket.identity() != seen {
                    return Err(DropReason::Forged);
                }
                let address = socket.name().clone().into();
                self.peers.push((socket, address));
            }
        }
        let (_, address) = self.peers.last().expect("one was found or pushed");
        Ok(address)
    }

    /// Closes the least recently used sockets beyond [`CAPACITY`]. Call it after the replies have
    /// been sent: an address contains a descriptor number, which the next open reuses.
    pub(crate) fn evict(&mut self) {
        self.peers.drain(..self.peers.len().saturating_sub(CAPACITY));
    }
}

/// Returns why there is no reply to a path that cannot be opened.
fn drop_reason(error: io::Error) -> DropReason {
    match error.kind() {
        io::ErrorKind::InvalidInput => DropReason::Forged,
        _ => DropReason::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;

    use echosounder_socket::internal::effective_user_id;

    use super::*;

    #[test]
    fn sockets_stay_pinned_until_they_are_evicted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer");
        let uid = Some(effective_user_id());
        let mut cache = ReplyCache::default();
        let address = |cache: &mut ReplyCache| cache.address(path.as_os_str().as_bytes(), uid).cloned();

        let mut bound = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..=2 * CAPACITY {
            bound.push(UnixDatagram::bind(&path).unwrap());
            addresses.push(address(&mut cache).unwrap());
            assert_eq!(address(&mut cache).as_ref(), Ok(addresses.last().unwrap()));
            fs::remove_file(&path).unwrap();
        }
        // No socket has the descriptor of another.
        addresses.sort_by_key(ToString::to_string);
        addresses.dedup();
        assert_eq!((addresses.len(), cache.peers.len()), (2 * CAPACITY + 1, 2 * CAPACITY + 1));
        cache.evict();
        assert_eq!(cache.peers.len(), CAPACITY);
        cache.evict();
        assert_eq!(cache.peers.len(), CAPACITY);
        assert_eq!(address(&mut cache), Err(DropReason::Unsent));
    }
}
