//! The sockets at paths that datagrams came from, held so that answers reach them and nobody else.

use std::io;

use echosounder_proto::Reason;
use echosounder_socket::Address;
use echosounder_socket::family::unix::{HeldSocket, SocketFile};

/// How many sockets are held between turns.
pub(crate) const HELD_MAX: usize = 32;

/// The sockets that a datagram socket has answered last.
///
/// Each answer looks at its path anew, so a socket that is held serves only as long as its path leads to it.
#[derive(Debug, Default)]
pub(crate) struct HeldPeers {
    /// With the addresses to send to, in the order of their last use.
    peers: Vec<(HeldSocket, Address)>,
}

impl HeldPeers {
    /// The address by which an answer reaches the socket that a path leads to now, if that is the user's. It is good
    /// until [`let_go`](Self::let_go).
    pub(crate) fn address(&mut self, path: &[u8], user: Option<u32>) -> Result<&Address, Reason> {
        let seen = SocketFile::at(path).map_err(reason)?;
        if !user.is_some_and(|user| seen.is_owned_by(user)) {
            return Err(Reason::Forged);
        }
        match self.peers.iter().position(|(held, _)| held.about() == seen) {
            Some(place) => self.peers[place..].rotate_left(1),
            None => {
                let held = HeldSocket::open(path).map_err(reason)?;
                // Another may stand there since it was looked at.
                if held.about() != seen {
                    return Err(Reason::Forged);
                }
                let address = held.name().clone().into();
                self.peers.push((held, address));
            }
        }
        let (_, address) = self.peers.last().expect("one was found or pushed");
        Ok(address)
    }

    /// Lets those go that were answered longest ago. An answer that has an address and has not left yet would reach
    /// whatever is opened next in its place.
    pub(crate) fn let_go(&mut self) {
        self.peers.drain(..self.peers.len().saturating_sub(HELD_MAX));
    }
}

/// Why there is no way back to what cannot be looked at.
fn reason(error: io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::InvalidInput => Reason::Forged,
        _ => Reason::Unsent,
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::UnixDatagram;
    use std::process;

    use echosounder_socket::effective_user;

    use super::*;

    #[test]
    fn sockets_are_held_up_to_a_limit_and_not_let_go_too_soon() {
        let folder = env::temp_dir().join(format!("echosounder-held-{}", process::id()));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("peer");
        let user = Some(effective_user());
        let mut held = HeldPeers::default();
        let address = |held: &mut HeldPeers| held.address(path.as_os_str().as_bytes(), user).cloned();

        let mut bound = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..=2 * HELD_MAX {
            bound.push(UnixDatagram::bind(&path).unwrap());
            addresses.push(address(&mut held).unwrap());
            assert_eq!(address(&mut held).as_ref(), Ok(addresses.last().unwrap()));
            fs::remove_file(&path).unwrap();
        }
        // Each is a socket of its own, and none has got the descriptor of another.
        addresses.sort_by_key(ToString::to_string);
        addresses.dedup();
        assert_eq!((addresses.len(), held.peers.len()), (2 * HELD_MAX + 1, 2 * HELD_MAX + 1));
        held.let_go();
        assert_eq!(held.peers.len(), HELD_MAX);
        held.let_go();
        assert_eq!(held.peers.len(), HELD_MAX);
        assert_eq!(address(&mut held), Err(Reason::Unsent));
        fs::remove_dir(&folder).unwrap();
    }
}
