//! Sockets that are made from descriptors without taking ownership in the type system.
#![expect(unsafe_code, reason = "raw descriptors")]

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::socket::Socket;

/// Adopts a descriptor, which keeps its blocking mode: a non-blocking one gets a timeout of zero.
///
/// Nothing checks that the descriptor is a socket. If it is not, calls fail with ENOTSOCK;
/// [`Socket::from_fd`] checks it.
///
/// # Safety
///
/// The descriptor must be open and owned by nothing else, as
/// [`FromRawFd`](FromRawFd::from_raw_fd) requires.
///
/// ```
/// use echosounder_socket::{Family, Socket};
/// use std::net::UdpSocket;
/// use std::os::fd::{FromRawFd, IntoRawFd};
///
/// let number = UdpSocket::bind("127.0.0.1:0")?.into_raw_fd();
/// // SAFETY: `into_raw_fd` has given up the descriptor, so the socket is its only owner.
/// let socket = unsafe { Socket::from_raw_fd(number) };
/// assert_eq!(socket.family()?, Family::INET);
/// # Ok::<(), std::io::Error>(())
/// ```
impl FromRawFd for Socket {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller gives the descriptor away.
        Self::adopted(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// A borrowed socket: every method of [`Socket`] on a descriptor that another object owns, such as a
/// socket of std, tokio, mio or socket2.
///
/// Creating one makes no system call, and dropping it does not close the descriptor. Calls follow
/// the blocking mode of the descriptor: they wait in the kernel or fail with `WouldBlock`, and
/// [`timeout`](Socket::timeout) returns `None` or zero accordingly.
/// [`set_nonblocking`](Socket::set_nonblocking) and [`set_timeout`](Socket::set_timeout) change that
/// mode for the owner too.
///
/// Nothing checks that the descriptor is a socket. If it is not, calls fail with ENOTSOCK.
///
/// ```
/// use echosounder_socket::{SocketRef, option};
/// use std::net::UdpSocket;
///
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// SocketRef::from(&socket).set_option(option::IP_PKTINFO, true)?;
/// socket.send_to(b"ahoy", socket.local_addr()?)?; // The socket is still open.
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "SockRef")]
pub struct SocketRef<'fd> {
    /// A second owner of the descriptor, which is never dropped. Only references to it leave this
    /// module.
    socket: ManuallyDrop<Socket>,
    fd: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> From<BorrowedFd<'fd>> for SocketRef<'fd> {
    fn from(fd: BorrowedFd<'fd>) -> Self {
        // SAFETY: the descriptor stays open for `'fd`, and nothing drops this `OwnedFd`.
        let owned = unsafe { OwnedFd::from_raw_fd(fd.as_raw_fd()) };
        Self { socket: ManuallyDrop::new(Socket::in_any_mode(owned)), fd: PhantomData }
    }
}

impl<'fd, S: AsFd> From<&'fd S> for SocketRef<'fd> {
    fn from(owner: &'fd S) -> Self {
        owner.as_fd().into()
    }
}

impl Deref for SocketRef<'_> {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for SocketRef<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for SocketRef<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Debug for SocketRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Socket::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};

    use crate::{Family, Protocol, Socket, SocketRef, Type};

    /// Returns a connection over TCP. Miri does not support receives from a socket pair.
    fn connection() -> (Socket, Socket) {
        let tcp = || Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT).unwrap();
        let (listener, client) = (tcp(), tcp());
        listener.bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.listen_with(1).unwrap();
        client.connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no ioctl(2) on sockets")]
    fn raw_descriptor_has_one_owner() {
        let (one, other) = connection();
        let number = one.as_raw_fd();
        assert_eq!(one.into_raw_fd(), number);
        // SAFETY: `into_raw_fd` has just given up the descriptor.
        let again = unsafe { Socket::from_raw_fd(number) };
        again.send(b"ahoy").unwrap();
        assert_eq!(other.recv(&mut [0; 8]).unwrap(), 4);
        drop(again);
        assert_eq!(other.recv(&mut [0; 8]).unwrap(), 0, "the descriptor is closed");
    }

    #[test]
    fn borrowed_socket_leaves_the_descriptor_open() {
        let (one, other) = connection();
        for borrowed in [SocketRef::from(&one), SocketRef::from(one.as_fd())] {
            assert_eq!(borrowed.as_raw_fd(), one.as_raw_fd());
            borrowed.send_all(b"ahoy").unwrap();
            assert_eq!(SocketRef::from(&other).recv(&mut [0; 8]).unwrap(), 4);
        }
        one.send_all(b"still open").unwrap();
        assert_eq!(other.recv(&mut [0; 16]).unwrap(), 10);
    }
}
