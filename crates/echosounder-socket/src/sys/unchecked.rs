//! Public functions with promises that the compiler cannot check.
#![expect(unsafe_code, reason = "functions that only their callers can make sound")]

use std::io::{self, IoSlice};
use std::os::fd::AsFd;

use super::{message, option};
use crate::address::Address;
use crate::control::SendControl;
use crate::message::MessageFlags;
use crate::option::SocketOption;
use crate::poll::Interest;
use crate::raw_address::RawAddress;
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

/// Sending from memory that the kernel reads after the call.
impl Socket {
    /// Sends a message like [`send_msg`](Self::send_msg), without a copy of its bytes: MSG_ZEROCOPY,
    /// since Linux 4.14.
    ///
    /// The socket needs the option [`SO_ZEROCOPY`](crate::option::SO_ZEROCOPY); without it the kernel
    /// copies the bytes, and reports no completion. The completion comes through the error queue:
    /// [`ExtendedError::zerocopy`](crate::ExtendedError::zerocopy). The kernel's document
    /// networking/msg_zerocopy recommends the flag for more than 10 KB per call. All other sends
    /// refuse the flag.
    ///
    /// # Errors
    ///
    /// As [`send_msg`](Self::send_msg); ENOBUFS if there are too many sends without a completion.
    ///
    /// # Safety
    ///
    /// The kernel reads the memory of `buffers` after the call. Until it has reported the completion
    /// of this send, that memory must stay allocated and must not change, also if the socket is closed.
    ///
    /// ```
    /// use echosounder_socket::option::SO_ZEROCOPY;
    /// use echosounder_socket::{
    ///     ControlSpace, Interest, MessageFlags, ServerOptions, create_connection, create_server, ready,
    /// };
    /// use std::io::IoSlice;
    /// use std::os::fd::AsFd;
    ///
    /// static PAGES: [u8; 16384] = [7; 16384];
    ///
    /// let server = create_server("127.0.0.1:0", ServerOptions::default())?;
    /// let client = create_connection(server.local_addr()?, None, None)?;
    /// client.set_option(SO_ZEROCOPY, true)?;
    /// // SAFETY: the memory is static, and never changes.
    /// unsafe { client.send_msg_zerocopy(&[IoSlice::new(&PAGES)], &[], None, MessageFlags::NONE)? };
    ///
    /// let (connection, _) = server.accept()?;
    /// connection.recv_with(&mut [0; 16384], MessageFlags::WAITALL)?;
    /// ready([(client.as_fd(), Interest::empty())], None)?; // The error queue is not empty.
    /// let message = client.recv_msg(&mut [], ControlSpace::ERROR, MessageFlags::ERRQUEUE)?;
    /// let completion = message.error().and_then(|error| error.zerocopy()).expect("a completion");
    /// assert_eq!((completion.first, completion.last), (0, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "MSG_ZEROCOPY")]
    pub unsafe fn send_msg_zerocopy(
        &self,
        buffers: &[IoSlice<'_>],
        control: &[SendControl<'_>],
        to: Option<&Address>,
        flags: MessageFlags,
    ) -> io::Result<usize> {
        let (control, to) = (SendControl::encode_all(control)?, to.map(RawAddress::try_from).transpose()?);
        let send = || {
            let flags = flags.bits() | self.mode();
            // SAFETY: the caller makes the same promise.
            unsafe { message::send_zerocopy(self.as_fd(), buffers, &control, to.as_ref(), flags) }
        };
        self.call_wait_with(flags).call(self.as_fd(), Interest::WRITE, send)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use crate::control::ControlSpace;
    use crate::create::{ServerOptions, create_server};
    use crate::option::SO_ZEROCOPY;
    use crate::poll::ready;
    use crate::transport::Transport;

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no error queue")]
    fn zerocopy_sends_report_their_completion() -> io::Result<()> {
        let listener = create_server("127.0.0.1:0", ServerOptions::default())?;
        let client = Transport::Tcp.socket(&listener.local_addr()?)?;
        client.connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        client.set_option(SO_ZEROCOPY, true)?;
        let bytes = vec![7; 20_000];
        for _ in 0..2 {
            let parts = [IoSlice::new(&bytes)];
            // SAFETY: the bytes live until the test has seen the completion, and do not change.
            let sent = unsafe { client.send_msg_zerocopy(&parts, &[], None, MessageFlags::NONE)? };
            assert_eq!(sent, bytes.len());
        }
        let mut buffer = vec![0; 40_000];
        let into = &mut [IoSliceMut::new(&mut buffer)];
        assert_eq!(server.recv_msg(into, ControlSpace::NONE, MessageFlags::WAITALL)?.len, 40_000);
        let mut next = 0;
        while next < 2 {
            ready([(client.as_fd(), Interest::READ)], None)?;
            let message = client.recv_msg(&mut [], ControlSpace::ERROR, MessageFlags::ERRQUEUE)?;
            let completion = message.error().and_then(|error| error.zerocopy()).expect("a completion");
            assert_eq!(completion.first, next);
            assert!(completion.copied, "a receiver on this host gets a copy");
            next = completion.last + 1;
        }
        assert_eq!(next, 2);
        Ok(())
    }
}
