//! The sockets at paths that datagrams came from, reply_cache so that answers reach them and nobody else.

use std::io;

use echosounder_proto::DropReason;
use echosounder_socket::Address;
use echosounder_socket::family::unix::{PathIdentity, PinnedSocket};

/// How many sockets are reply_cache between turns.
pub(crate) const HELD_MAX: usize = 32;

/// The sockets that a datagram socket has answered last.
///
/// Each answer looks at its path anew, so a socket that is reply_cache serves only as long as its path leads to it.
#[derive(Debug, Default)]
pub(crate) struct ReplyCache {
    /// With the addresses to send to, in the order of their last use.
    peers: Vec<(PinnedSocket, Address)>,
}

impl ReplyCache {
    /// The address by which an answer reaches the socket that a path leads to now, if that is the user's. It is good
    /// until [`evict`](Self::evict).
    pub(crate) fn address(&mut self, path: &[u8], user: Option<u32>) -> Result<&Address, DropReason> {
        let seen = PathIdentity::at(path).map_err(reason)?;
        if !user.is_some_and(|user| seen.is_owned_by(user)) {
            return Err(DropReason::Forged);
        }
        match self.peers.iter().position(|(reply_cache, _)| reply_cache.identity() == seen) {
            Some(place) => self.peers[place..].rotate_left(1),
            None => {
                let reply_cache = PinnedSocket::open(path).map_err(reason)?;
                // Another may stand there since it was looked at.
                if reply_cache.identity() != seen {
                    return Err(DropReason::Forged);
                }
                let address = reply_cache.name().clone().into();
                self.peers.push((reply_cache, address));
            }
        }
        let (_, address) = self.peers.last().expect("one was found or pushed");
        Ok(address)
    }

    /// Lets those go that were answered longest ago. An answer that has an address and has not left yet would reach
    /// whatever is opened next in its place.
    pub(crate) fn evict(&mut self) {
        self.peers.drain(..self.peers.len().saturating_sub(HELD_MAX));
    }
}

/// Why there is no way back to what cannot be looked at.
fn reason(error: io::Error) -> DropReason {
    match error.kind() {
        io::ErrorKind::InvalidInput => DropReason::Forged,
        _ => DropReason::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;
    use std::process;

    use echosounder_socket::effective_user_id;

    use super::*;

    #[test]
    fn sockets_are_held_up_to_a_limit_and_not_let_go_too_soon() {
        let folder = env::temp_dir().join(format!("echosounder-reply_cache-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("peer");
        let user = Some(effective_user_id());
        let mut reply_cache = ReplyCache::default();
        let address =
            |reply_cache: &mut ReplyCache| reply_cache.address(path.as_os_str().as_bytes(), user).cloned();

        let mut bound = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..=2 * HELD_MAX {
            bound.push(UnixDatagram::bind(&path).unwrap());
            addresses.push(address(&mut reply_cache).unwrap());
            assert_eq!(address(&mut reply_cache).as_ref(), Ok(addresses.last().unwrap()));
            fs::remove_file(&path).unwrap();
        }
        // Each is a socket of its own, and none has got the descriptor of another.
        addresses.sort_by_key(ToString::to_string);
        addresses.dedup();
        assert_eq!((addresses.len(), reply_cache.peers.len()), (2 * HELD_MAX + 1, 2 * HELD_MAX + 1));
        reply_cache.evict();
        assert_eq!(reply_cache.peers.len(), HELD_MAX);
        reply_cache.evict();
        assert_eq!(reply_cache.peers.len(), HELD_MAX);
        assert_eq!(address(&mut reply_cache), Err(DropReason::Unsent));
        fs::remove_dir(&folder).unwrap();
    }
}
