//! Errors that a connected datagram socket returns about datagrams that it has sent before.

use std::io;

use echosounder_socket::{Kind, is_from_icmp};

/// Returns whether an error of a connected datagram socket is about an earlier datagram: ICMP has
/// reported it, or the kernel has dropped messages for which the receiver had no buffer space
/// (netlink(7)).
///
/// Such an error says nothing about the next datagram. It is counted and ends nothing, since
/// anybody who knows the port can forge it.
pub(crate) fn is_about_earlier(kind: Kind, error: &io::Error) -> bool {
    kind == Kind::Datagrams && (is_from_icmp(error) || error.kind() == io::ErrorKind::ConnectionReset)
}

/// Sends on a connected socket, twice if the first error may be about an earlier datagram. Returns
/// the result of the last send, and the earlier error.
pub(crate) fn send_twice<T>(
    kind: Kind,
    mut send: impl FnMut() -> io::Result<T>,
) -> (io::Result<T>, Option<io::Error>) {
    match send() {
        Err(earlier) if is_about_earlier(kind, &earlier) => (send(), Some(earlier)),
        result => (result, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn error_about_an_earlier_datagram_causes_one_more_send() {
        let script = |errors: &[i32]| {
            let mut left = errors.iter();
            let mut tries = 0;
            let (result, earlier) = send_twice(Kind::Datagrams, || {
                tries += 1;
                left.next().map_or(Ok(64), |errno| Err(of(*errno)))
            });
            let errno = |error: io::Error| error.raw_os_error();
            (result.map_err(errno), earlier.and_then(errno), tries)
        };
        assert_eq!(script(&[]), (Ok(64), None, 1));
        for errno in [90, 111, 113, 101, 13, 71] {
            assert_eq!(script(&[errno]), (Ok(64), Some(errno), 2));
            assert_eq!(script(&[errno, errno]), (Err(Some(errno)), Some(errno), 2));
        }
        // An error about this datagram, or about none, causes no second send.
        for errno in [11, 1, 22, 105, 9] {
            assert_eq!(script(&[errno]), (Err(Some(errno)), None, 1));
        }
        assert!(!is_about_earlier(Kind::Stream, &of(111)) && !is_about_earlier(Kind::Messages, &of(90)));
    }
}
