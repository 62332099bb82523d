//! Which timestamps the kernel takes and reports.

use super::value::flag_set;

bitflags::bitflags! {
    /// Which timestamps the kernel takes of received and sent packets, and how it reports them: the
    /// SOF_TIMESTAMPING_ flags of linux/net_tstamp.h. The kernel's document networking/timestamping
    /// describes them.
    ///
    /// A timestamp is only reported if both its source, such as `RX_SOFTWARE`, and its kind,
    /// `SOFTWARE` or `RAW_HARDWARE`, are set.
    ///
    /// ```
    /// use echosounder_socket::option::{SO_TIMESTAMPING, TimestampingFlags};
    /// use echosounder_socket::{Family, Protocol, Socket, Type};
    ///
    /// let socket = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    /// let flags = TimestampingFlags::RX_SOFTWARE | TimestampingFlags::SOFTWARE;
    /// socket.set_option(SO_TIMESTAMPING, flags)?;
    /// assert_eq!(socket.option(SO_TIMESTAMPING)?, flags);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    #[doc(alias = "SOF_TIMESTAMPING")]
    pub struct TimestampingFlags: u32 {
        /// Timestamp sent packets in the network interface.
        const TX_HARDWARE = 1 << 0;
        /// Timestamp sent packets when the kernel passes them to the interface. The timestamps
        /// arrive on the error queue, with the packets.
        const TX_SOFTWARE = 1 << 1;
        /// Timestamp received packets in the network interface.
        const RX_HARDWARE = 1 << 2;
        /// Timestamp received packets when the kernel gets them from the interface.
        const RX_SOFTWARE = 1 << 3;
        /// Report the timestamps that the kernel takes.
        const SOFTWARE = 1 << 4;
        /// Without effect since Linux 3.17.
        const SYS_HARDWARE = 1 << 5;
        /// Report the timestamps that the interface takes, in the time of its clock.
        const RAW_HARDWARE = 1 << 6;
        /// Number the timestamps of sent packets.
        const OPT_ID = 1 << 7;
        /// Timestamp sent packets when they enter the queue of the interface.
        const TX_SCHED = 1 << 8;
        /// Timestamp the acknowledgement of sent bytes: TCP only.
        const TX_ACK = 1 << 9;
        /// Report the packet information (IP_PKTINFO) with timestamps of sent packets.
        const OPT_CMSG = 1 << 10;
        /// Report timestamps of sent packets without the packets.
        const OPT_TSONLY = 1 << 11;
        /// Report statistics of the connection with timestamps of sent packets: TCP only.
        const OPT_STATS = 1 << 12;
        /// Report interface and length of packets with timestamps of the interface: Linux 4.13.
        const OPT_PKTINFO = 1 << 13;
        /// Take timestamps of sent packets both in the kernel and in the interface: Linux 4.13.
        const OPT_TX_SWHW = 1 << 14;
        /// Take hardware timestamps with a PTP virtual clock: Linux 5.15.
        const BIND_PHC = 1 << 15;
        /// Number the bytes of a TCP connection from the call that sets the option on: Linux 6.2.
        const OPT_ID_TCP = 1 << 16;
        /// Report receive timestamps only if this socket has asked for their source: Linux 6.13.
        const OPT_RX_FILTER = 1 << 17;
        /// Timestamp sent packets when the interface has completed them: Linux 6.14.
        const TX_COMPLETION = 1 << 18;
    }
}

flag_set!(TimestampingFlags: u32);
