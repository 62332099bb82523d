//! Messages that have arrived although nobody has received them yet.

use std::net::{Ipv4Addr, UdpSocket};

use echosounder_socket::{ServerOptions, create_connection, create_server};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::{PATIENCE, wait_until};

/// Waits until the kernel has delivered everything that was sent over loopback before.
///
/// A send over UNIX sockets, netlink, or TIPC within a node has delivered the message when it
/// returns. The other families may deliver it later:
///
/// - A packet of the loopback interface waits in the queue of the CPU that sent it, for as long as
///   the kernel leaves the queue to ksoftirqd: kernel/softirq.c. The queue keeps the order, so a
///   datagram that is sent later from the same CPU arrives later.
/// - All packets of VSOCK wait in one queue for a worker of the kernel: vsock_loopback.c in
///   net/vmw_vsock. A connection that is requested later is established later.
///
/// The calling thread runs on each of its CPUs for a moment.
///
/// ```
/// use std::net::UdpSocket;
///
/// let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
/// receiver.set_nonblocking(true)?;
/// sender.send_to(b"hello", receiver.local_addr()?)?;
/// echosounder_testkit::flush_loopback();
/// assert_eq!(receiver.recv(&mut [0; 8])?, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn flush_loopback() {
    flush_interface();
    flush_vsock();
}

fn flush_interface() {
    let allowed = sched_getaffinity(None).unwrap();
    for cpu in (0..CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)) {
        let mut only = CpuSet::new();
        only.set(cpu);
        sched_setaffinity(None, &only).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(socket.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE / 100)).unwrap();
        // A queue that is full drops the datagram.
        wait_until("a datagram over loopback", || {
            socket.send(b"last").is_ok() && socket.recv(&mut [0; 8]).is_ok()
        });
    }
    sched_setaffinity(None, &allowed).unwrap();
}

fn flush_vsock() {
    // Without VSOCK or its loopback transport, nothing has been sent over it.
    let Ok(server) = create_server("vsock://local:0", ServerOptions::default()) else { return };
    create_connection(server.local_addr().unwrap(), Some(PATIENCE), None).unwrap();
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn datagrams_have_arrived_after_a_flush() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let before = sched_getaffinity(None).unwrap();
        for _ in 0..100 {
            sender.send_to(b"hello", receiver.local_addr().unwrap()).unwrap();
            flush_loopback();
            assert_eq!(receiver.recv(&mut [0; 8]).unwrap(), 5);
        }
        assert_eq!(receiver.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
