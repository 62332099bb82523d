//! Public functions with promises that the compiler cannot check.
#![expect(unsafe_code, reason = "functions that only their callers can make sound")]

use std::io;
use std::os::fd::AsFd;

use super::option;
use crate::option::SocketOption;
use crate::socket::Socket;

impl<S, G> SocketOption<S, G> {
    /// Defines an option that [`option`](crate::option) lacks, with the level and the number from
    /// its protocol's header file.
    ///
    /// # Safety
    ///
    /// Every value of `S` must be valid for the kernel: a memory address in it must point to memory
    /// that the kernel may read or write for this option, and a descriptor number in it must be an
    /// open descriptor that the caller may use. Likewise, `G` must not trust an address, and must
    /// own or borrow a descriptor that the kernel returns. Numbers and other plain bytes are always
    /// valid. Examples of options with addresses or descriptors are SO_ATTACH_FILTER,
    /// SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF, SO_PEERPIDFD,
    /// XDP_UMEM_REG, RDS_GET_MR, TCP_ZEROCOPY_RECEIVE, SCTP_SOCKOPT_CONNECTX3,
    /// SCTP_SOCKOPT_PEELOFF, ALG_SET_KEY_BY_KEY_SERIAL and the tables of iptables(8) such as
    /// IPT_SO_SET_REPLACE.
    ///
    /// ```
    /// use echosounder_socket::option::SocketOption;
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// // SAFETY: SO_PRIORITY of asm-generic/socket.h is an int.
    /// const PRIORITY: SocketOption<i32> = unsafe { SocketOption::new(1, 12) };
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// socket.set_option(PRIORITY, 3)?;
    /// assert_eq!(socket.option(PRIORITY)?, 3);
    /// assert_eq!(format!("{PRIORITY:?}"), "SO_PRIORITY"); // It is option::SO_PRIORITY.
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const unsafe fn new(level: i32, name: i32) -> Self {
        Self::of(level, name)
    }
}

/// Socket options as bytes whose meaning the compiler does not know.
impl Socket {
    /// Sets any option, with its value as bytes: setsockopt(2).
    ///
    /// # Errors
    ///
    /// As setsockopt(2).
    ///
    /// # Safety
    ///
    /// `value` must be valid for the kernel: a memory address in it must point to memory that the
    /// kernel may read or write for this option, for as long as the kernel uses it, and a
    /// descriptor number in it must be an open descriptor that the caller may use.
    /// [`SocketOption::new`] lists examples of such options.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    /// let (sol_socket, so_keepalive) = (1, 9);
    /// // SAFETY: the value of SO_KEEPALIVE is an int.
    /// unsafe { socket.set_option_bytes(sol_socket, so_keepalive, &1_i32.to_ne_bytes())? };
    /// assert_eq!(socket.option_bytes(sol_socket, so_keepalive, 4)?, 1_i32.to_ne_bytes());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "setsockopt")]
    pub unsafe fn set_option_bytes(&self, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
        // SAFETY: the caller makes the same promise.
        unsafe { option::set_bytes(self.as_fd(), level, name, value) }
    }

    /// Reads an option whose getsockopt(2) also reads the buffer, such as SCTP_STATUS of one
    /// association or TCP_AO_GET_KEYS. `value` contains the input; it is overwritten with the
    /// output. Returns the length of the output in bytes, at most that of `value`.
    ///
    /// [`Socket::option_bytes`] reads options without input.
    ///
    /// # Errors
    ///
    /// As getsockopt(2).
    ///
    /// # Safety
    ///
    /// A memory address in `value` must point to memory that the kernel may read or write for this
    /// option, and a descriptor number in it must be an open descriptor that the caller may use.
    /// TCP_ZEROCOPY_RECEIVE, MPTCP_FULL_INFO and EBT_SO_GET_ENTRIES contain addresses.
    ///
    /// ```
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// // PACKET_HDRLEN (11) reads a TPACKET version and returns the length of its header.
    /// # if let Ok(socket) = Socket::new(Family(17), Type::RAW, Protocol::DEFAULT) {
    /// let mut value = 2_i32.to_ne_bytes();
    /// // SAFETY: input and output are an int.
    /// let len = unsafe { socket.option_with_input(263, 11, &mut value)? };
    /// assert_eq!((len, i32::from_ne_bytes(value)), (4, 48));
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "getsockopt")]
    pub unsafe fn option_with_input(&self, level: i32, name: i32, value: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the caller makes the same promise.
        let len = unsafe { option::get_bytes(self.as_fd(), level, name, value)? };
        Ok(len.min(value.len()))
    }
}
