//! Reading and setting socket options.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::Socket;
use crate::control::ControlSpace;
use crate::message::MessageFlags;
use crate::option::{self, BpfInstruction, GetValue, SetValue, SocketOption};
use crate::poll::peer_has_finished;
use crate::sys;

/// Maximum length in bytes of an option that is read as bytes. The longest values of the kernel, the
/// tables of iptables(8) apart, are shorter.
const OPTION_MAX: usize = 1 << 20;

/// Socket options.
impl Socket {
    /// Sets an option: setsockopt(2).
    ///
    /// # Errors
    ///
    /// As setsockopt(2): EINVAL for a name that the kernel would truncate.
    ///
    /// ```
    /// use echosounder_socket::option::SO_KEEPALIVE;
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// assert!(!socket.option(SO_KEEPALIVE)?);
    /// socket.set_option(SO_KEEPALIVE, true)?;
    /// assert!(socket.option(SO_KEEPALIVE)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setsockopt")]
    pub fn set_option<S: SetValue, G>(&self, option: SocketOption<S, G>, value: S) -> io::Result<()> {
        sys::option::set(self.as_fd(), option, &value)
    }

    /// Returns the value of an option: getsockopt(2).
    ///
    /// # Errors
    ///
    /// As getsockopt(2); `InvalidData` if the kernel returns no value of the option's type.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type, option};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// socket.set_option(option::TCP_NODELAY, true)?;
    /// assert!(socket.option(option::TCP_NODELAY)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockopt")]
    pub fn option<S, G: GetValue>(&self, option: SocketOption<S, G>) -> io::Result<G> {
        sys::option::get(self.as_fd(), option)
    }

    /// Sets any option with a null pointer as its value and a length of `len`: setsockopt(2). Some
    /// options of the kernel take only that.
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "setsockopt")]
    pub fn clear_option(&self, level: i32, name: i32, len: u32) -> io::Result<()> {
        sys::option::clear(self.as_fd(), level, name, len)
    }

    /// Returns the value of any option as bytes, at most `len_max` of them: getsockopt(2). The
    /// kernel gets a buffer of zeros.
    ///
    /// [`Socket::option_with_input`] reads options whose getsockopt(2) takes input. A descriptor
    /// that an option creates, such as that of SO_PEERPIDFD, stays open:
    /// [`Socket::peer_pidfd`] returns it as an owner.
    ///
    /// # Errors
    ///
    /// As getsockopt(2); `InvalidInput` if `len_max` is not from 1 to 1,048,576.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// let (ipproto_tcp, tcp_info) = (6, 11);
    /// let info = socket.option_bytes(ipproto_tcp, tcp_info, 1024)?;
    /// assert!(info.len() < 1024);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockopt")]
    pub fn option_bytes(&self, level: i32, name: i32, len_max: usize) -> io::Result<Vec<u8>> {
        if !(1..=OPTION_MAX).contains(&len_max) {
            let message = "the length of an option must be from 1 to 1048576 bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut value = vec![0; len_max];
        let len = sys::option::get_zeroed(self.as_fd(), level, name, &mut value)?;
        value.truncate(len);
        Ok(value)
    }

    /// Attaches a classic BPF program, which decides for each packet whether and how many of its
    /// bytes the socket receives: SO_ATTACH_FILTER, socket(7). It replaces an earlier program.
    ///
    /// # Errors
    ///
    /// As setsockopt(2): EINVAL if the kernel refuses the program, EPERM if
    /// [`SO_LOCK_FILTER`](option::SO_LOCK_FILTER) is set.
    ///
    /// ```
    /// use echosounder_socket::option::{BpfInstruction, SO_DETACH_FILTER};
    /// use echosounder_socket::Transport;
    ///
    /// let (one, other) = Transport::UnixDatagram.pair()?;
    /// other.attach_filter(&[BpfInstruction::ret(3)])?; // The first three bytes of each message.
    /// one.send(b"ahoy")?;
    /// let mut buffer = [0; 8];
    /// assert_eq!(other.recv(&mut buffer)?, 3);
    /// assert_eq!(other.filter()?, [BpfInstruction::ret(3)]);
    ///
    /// other.set_option(SO_DETACH_FILTER, 0)?;
    /// assert_eq!(other.filter()?, []);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_ATTACH_FILTER")]
    pub fn attach_filter(&self, program: &[BpfInstruction]) -> io::Result<()> {
        sys::option::attach_program(self.as_fd(), libc::SO_ATTACH_FILTER, program)
    }

    /// Returns the classic BPF program of the socket; empty if it has none: SO_GET_FILTER, Linux
    /// 3.8.
    ///
    /// # Errors
    ///
    /// As getsockopt(2): EACCES for an eBPF program. See [`Socket::attach_filter`] for an example.
    #[doc(alias = "SO_GET_FILTER")]
    pub fn filter(&self) -> io::Result<Vec<BpfInstruction>> {
        // Programs have at most 4096 instructions: BPF_MAXINSNS, linux/bpf_common.h.
        let bytes = self.option_bytes(libc::SOL_SOCKET, libc::SO_GET_FILTER, 4096 * BpfInstruction::LEN)?;
        BpfInstruction::decode_all(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Attaches a classic BPF program that chooses the socket of a SO_REUSEPORT group for each
    /// packet or connection by its index: SO_ATTACH_REUSEPORT_CBPF, socket(7), Linux 4.5. It applies
    /// to the whole group. See [`Socket::attach_filter`] for an example of a program.
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    #[doc(alias = "SO_ATTACH_REUSEPORT_CBPF")]
    pub fn attach_reuseport_filter(&self, program: &[BpfInstruction]) -> io::Result<()> {
        sys::option::attach_program(self.as_fd(), libc::SO_ATTACH_REUSEPORT_CBPF, program)
    }

    /// Attaches an eBPF program of type BPF_PROG_TYPE_SOCKET_FILTER: SO_ATTACH_BPF, socket(7), Linux
    /// 3.19. The descriptor may be closed afterwards.
    ///
    /// # Errors
    ///
    /// As setsockopt(2): EINVAL if `program` is no such program.
    #[doc(alias = "SO_ATTACH_BPF")]
    pub fn attach_bpf(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        sys::option::attach_descriptor(self.as_fd(), libc::SO_ATTACH_BPF, program)
    }

    /// Attaches an eBPF program that chooses the socket of a SO_REUSEPORT group:
    /// SO_ATTACH_REUSEPORT_EBPF, socket(7), Linux 4.5. The descriptor may be closed afterwards.
    ///
    /// # Errors
    ///
    /// As setsockopt(2): EINVAL if `program` is no such program.
    #[doc(alias = "SO_ATTACH_REUSEPORT_EBPF")]
    pub fn attach_reuseport_bpf(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        sys::option::attach_descriptor(self.as_fd(), libc::SO_ATTACH_REUSEPORT_EBPF, program)
    }

    /// Returns a pidfd of the process that connected, listened or created the pair: SO_PEERPIDFD,
    /// Linux 6.5, close-on-exec. Unlike the process id of [`SO_PEERCRED`](option::SO_PEERCRED), it
    /// does not refer to another process later.
    ///
    /// # Errors
    ///
    /// As getsockopt(2): ENODATA if there is no such process.
    ///
    /// ```
    /// use echosounder_socket::Transport;
    ///
    /// let (one, _other) = Transport::UnixStream.pair()?;
    /// match one.peer_pidfd() {
    ///     Ok(process) => println!("our own pidfd: {process:?}"),
    ///     Err(error) => println!("before Linux 6.5: {error}"),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_PEERPIDFD")]
    pub fn peer_pidfd(&self) -> io::Result<OwnedFd> {
        // 77 in asm-generic/socket.h. The kernel sets close-on-exec (pidfd_prepare).
        sys::option::descriptor(self.as_fd(), libc::SOL_SOCKET, 77)
    }
}

/// The state of a socket.
impl Socket {
    /// Returns whether a receive of no bytes from a connected [`SEQPACKET`](crate::Type::SEQPACKET)
    /// socket of UNIX or VSOCK was the end of the connection rather than a message without content.
    /// recv(2) returns 0 for both.
    ///
    /// The kernel reports when the peer has finished (POLLRDHUP, poll(2)), but earlier messages may
    /// still have to be received. If that is nothing but empty messages, they are taken for the
    /// end.
    ///
    /// # Errors
    ///
    /// As poll(2).
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::SEQPACKET, Protocol::DEFAULT)?;
    /// other.send(b"")?;
    /// assert_eq!((one.recv(&mut [0; 8])?, one.has_ended()?), (0, false));
    /// drop(other);
    /// assert_eq!((one.recv(&mut [0; 8])?, one.has_ended()?), (0, true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "POLLRDHUP")]
    pub fn has_ended(&self) -> io::Result<bool> {
        if !peer_has_finished(self.as_fd())? {
            return Ok(false);
        }
        let next = self.recv_msg(&mut [IoSliceMut::new(&mut [0])], ControlSpace::NONE, MessageFlags::PEEK);
        Ok(next.map_or(true, |message| message.len == 0))
    }

    /// Returns the pending error of the socket, if there is one, and clears it: SO_ERROR, socket(7).
    ///
    /// A non-blocking connect reports its result this way: see
    /// [`is_in_progress`](Self::is_in_progress).
    ///
    /// # Errors
    ///
    /// As getsockopt(2), if the pending error cannot be read.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    /// use std::io::ErrorKind;
    ///
    /// let (one, other) = Socket::pair(Family::UNIX, Type::STREAM, Protocol::DEFAULT)?;
    /// one.send(b"unread")?;
    /// drop(other);
    /// let error = one.take_error()?.expect("the peer has discarded data");
    /// assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    /// assert!(one.take_error()?.is_none(), "the error was cleared");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "SO_ERROR")]
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        let errno = self.option(option::SO_ERROR)?;
        Ok((errno != 0).then(|| io::Error::from_raw_os_error(errno)))
    }

    /// Returns the pending error as an error, whether it or reading it has failed.
    pub(super) fn pending_error(&self) -> io::Result<()> {
        self.take_error()?.map_or(Ok(()), Err)
    }
}
