//! What to wait for, and what a wait has found.

use std::ffi::c_int;

bitflags::bitflags! {
    /// The readiness to wait for, and how a [`Poll`](crate::Poll) reports it.
    ///
    /// An empty set waits for errors and hang-ups alone, which are always reported: use it to wait
    /// for the error queue of a socket without being woken by data.
    ///
    /// [`poll`](crate::poll()) and [`ready`](crate::ready) are always level-triggered and ignore
    /// the flags from [`EDGE`](Self::EDGE) on.
    ///
    /// The names of the flags in epoll_ctl(2) and poll(2) are aliases in the search of this
    /// documentation.
    ///
    /// ```
    /// use echosounder_socket::Interest;
    ///
    /// let both = Interest::READ | Interest::WRITE;
    /// assert!(both.contains(Interest::READ));
    /// assert_eq!(both - Interest::READ, Interest::WRITE);
    /// assert_eq!(format!("{both:?}"), "Interest(READ | WRITE)");
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Interest: u32 {
        /// Readable: data, the end of the stream, or a connection to accept.
        #[doc(alias = "EPOLLIN")]
        #[doc(alias = "POLLIN")]
        const READ = bit(libc::EPOLLIN);
        /// Writable: buffer space for more data, or a connect that has ended, also if it was refused.
        #[doc(alias = "EPOLLOUT")]
        #[doc(alias = "POLLOUT")]
        const WRITE = bit(libc::EPOLLOUT);
        /// An exceptional condition: urgent data of a TCP stream, tcp(7).
        #[doc(alias = "EPOLLPRI")]
        #[doc(alias = "POLLPRI")]
        const PRIORITY = bit(libc::EPOLLPRI);
        /// The peer of a stream has closed the connection or shut down its sending direction.
        /// There may still be data to read.
        #[doc(alias = "EPOLLRDHUP")]
        #[doc(alias = "POLLRDHUP")]
        const PEER_CLOSED = bit(libc::EPOLLRDHUP);
        /// Report readiness once when it begins or when more data arrives, not as long as it lasts
        /// (edge-triggered). After an event, read or write until the call returns
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock), since remaining data causes no other
        /// event: epoll(7).
        #[doc(alias = "EPOLLET")]
        #[doc(alias = "edge-triggered")]
        const EDGE = bit(libc::EPOLLET);
        /// Report one event, then nothing until [`Poll::modify`](crate::Poll::modify) enables the
        /// descriptor again. Several threads can then wait with one [`Poll`](crate::Poll), and
        /// only one of them gets the descriptor.
        #[doc(alias = "EPOLLONESHOT")]
        const ONE_SHOT = bit(libc::EPOLLONESHOT);
        /// Wake one or a few of the [`Poll`](crate::Poll)s that wait for the same descriptor, not
        /// all of them (since Linux 4.5). For a listener that several workers share. The entry
        /// cannot be modified, only removed, and [`ONE_SHOT`](Self::ONE_SHOT) is refused:
        /// epoll_ctl(2).
        #[doc(alias = "EPOLLEXCLUSIVE")]
        const EXCLUSIVE = bit(libc::EPOLLEXCLUSIVE);
        /// Keep the system from suspending until the event has been processed: until the next wait,
        /// or until the descriptor is removed. The kernel ignores the flag unless the process has
        /// CAP_BLOCK_SUSPEND: epoll_ctl(2).
        #[doc(alias = "EPOLLWAKEUP")]
        const WAKEUP = bit(libc::EPOLLWAKEUP);
    }
}

bitflags::bitflags! {
    /// The readiness of a descriptor, as the kernel reports it.
    ///
    /// An error or a hang-up is reported even if nobody waited for it, often without
    /// [`READABLE`](Self::READABLE) or [`WRITABLE`](Self::WRITABLE). A loop that only receives and
    /// sends therefore checks [`can_read`](Self::can_read) and [`can_write`](Self::can_write): the
    /// call then returns the error. A loop that also reads the error queue checks
    /// [`is_error`](Self::is_error) first and receives with
    /// [`MessageFlags::ERRQUEUE`](crate::MessageFlags::ERRQUEUE) until the queue is empty, since
    /// the descriptor has an error as long as the queue is not.
    ///
    /// ```
    /// use echosounder_socket::Readiness;
    ///
    /// let ready = Readiness::READABLE | Readiness::PEER_CLOSED;
    /// assert!(ready.is_readable() && ready.can_read() && !ready.is_writable());
    /// let failed = Readiness::ERROR;
    /// assert!(failed.can_read() && !failed.is_readable());
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Readiness: u32 {
        /// There is data, the end of the stream, or a connection to accept.
        #[doc(alias = "EPOLLIN")]
        const READABLE = bit(libc::EPOLLIN);
        /// There is buffer space for more data, or a connection has been established.
        #[doc(alias = "EPOLLOUT")]
        const WRITABLE = bit(libc::EPOLLOUT);
        /// There is an exceptional condition: urgent data of a TCP stream, tcp(7).
        #[doc(alias = "EPOLLPRI")]
        const PRIORITY = bit(libc::EPOLLPRI);
        /// The peer has closed the connection or shut down its sending direction. Reported for
        /// [`Interest::PEER_CLOSED`] only.
        #[doc(alias = "EPOLLRDHUP")]
        const PEER_CLOSED = bit(libc::EPOLLRDHUP);
        /// There is an error to return ([`Socket::take_error`](crate::Socket::take_error)), or the
        /// error queue is not empty. Also the write end of a pipe without readers.
        #[doc(alias = "EPOLLERR")]
        const ERROR = bit(libc::EPOLLERR);
        /// Both directions of the connection are shut down, or the socket is not connected. Also
        /// the read end of a pipe without writers.
        #[doc(alias = "EPOLLHUP")]
        const HANG_UP = bit(libc::EPOLLHUP);
        /// The descriptor cannot be polled, for example because it was opened with O_PATH:
        /// open(2). Only poll(2) reports it.
        #[doc(alias = "POLLNVAL")]
        const INVALID = libc::POLLNVAL as u32;
    }
}

impl Readiness {
    /// Returns whether a receive or an accept does not block: the descriptor is readable, or has an
    /// error or a hang-up, which the call returns.
    pub fn can_read(self) -> bool {
        self.intersects(Self::READABLE.union(Self::ERROR).union(Self::HANG_UP))
    }

    /// Returns whether a send does not block: the descriptor is writable, or has an error or a
    /// hang-up, which the call returns.
    pub fn can_write(self) -> bool {
        self.intersects(Self::WRITABLE.union(Self::ERROR).union(Self::HANG_UP))
    }

    /// Returns whether the kernel reports [`READABLE`](Self::READABLE).
    pub fn is_readable(self) -> bool {
        self.contains(Self::READABLE)
    }

    /// Returns whether the kernel reports [`WRITABLE`](Self::WRITABLE).
    pub fn is_writable(self) -> bool {
        self.contains(Self::WRITABLE)
    }

    /// Returns whether the kernel reports [`PRIORITY`](Self::PRIORITY).
    pub fn is_priority(self) -> bool {
        self.contains(Self::PRIORITY)
    }

    /// Returns whether the kernel reports [`PEER_CLOSED`](Self::PEER_CLOSED).
    pub fn is_peer_closed(self) -> bool {
        self.contains(Self::PEER_CLOSED)
    }

    /// Returns whether the kernel reports [`ERROR`](Self::ERROR).
    pub fn is_error(self) -> bool {
        self.contains(Self::ERROR)
    }

    /// Returns whether the kernel reports [`HANG_UP`](Self::HANG_UP).
    pub fn is_hang_up(self) -> bool {
        self.contains(Self::HANG_UP)
    }
}

/// Returns the bits of a constant of epoll(7). The kernel's type is unsigned, that of libc signed.
const fn bit(constant: c_int) -> u32 {
    u32::from_ne_bytes(constant.to_ne_bytes())
}
