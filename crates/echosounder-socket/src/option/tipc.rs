//! Options of TIPC: SOL_TIPC. The numbers are those of linux/tipc.h.

use super::value::{ReadOnly, SetValue, SocketOption, WriteOnly, options};

/// Membership in a TIPC group: `struct tipc_group_req`, linux/tipc.h.
///
/// ```no_run
/// use echosounder_socket::option::{TIPC_GROUP_JOIN, TipcGroup, TipcGroupFlags};
/// use echosounder_socket::{Family, Protocol, Socket, Type};
///
/// let socket = Socket::new(Family::TIPC, Type::RDM, Protocol::DEFAULT)?;
/// let (group, flags) = (21567, TipcGroupFlags::MEMBER_EVENTS);
/// socket.set_option(TIPC_GROUP_JOIN, TipcGroup { group, instance: 1, scope: 3, flags })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "tipc_group_req")]
pub struct TipcGroup {
    /// The group.
    pub group: u32,
    /// This member's instance.
    pub instance: u32,
    /// 2 for the whole cluster, 3 for this node only.
    pub scope: u32,
    /// What the member receives.
    pub flags: TipcGroupFlags,
}

bitflags::bitflags! {
    /// What a member of a TIPC group receives: the TIPC_GROUP_ flags of linux/tipc.h.
    ///
    /// See [how to set and read options](crate::option).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TipcGroupFlags: u32 {
        /// The messages that the member itself sends: TIPC_GROUP_LOOPBACK.
        const LOOPBACK = 1;
        /// Messages without content when members join and leave: TIPC_GROUP_MEMBER_EVTS.
        const MEMBER_EVENTS = 2;
    }
}

impl SetValue for TipcGroup {
    type Bytes = [u8; 16];

    fn encode(&self) -> Option<[u8; 16]> {
        let mut bytes = [0; 16];
        let fields = [self.group, self.instance, self.scope, self.flags.bits()];
        for (to, field) in bytes.chunks_mut(4).zip(fields) {
            to.copy_from_slice(&field.to_ne_bytes());
        }
        Some(bytes)
    }
}

options! {
    level libc::SOL_TIPC;
    /// Timeout of a connect in milliseconds, 8000 by default: linux/tipc.h. Do not set less than 4:
    /// some kernels divide by zero (CVE-2026-43411).
    TIPC_CONN_TIMEOUT: SocketOption<u32> = 130;
    /// Drop messages that have no receiver instead of returning them: linux/tipc.h.
    TIPC_DEST_DROPPABLE: SocketOption<bool> = 129;
    /// Join a group; it is read as the number of the group that the socket has joined, or 0:
    /// linux/tipc.h. [`TIPC_GROUP_LEAVE`] leaves it.
    TIPC_GROUP_JOIN: SocketOption<TipcGroup, u32> = 135;
    /// Leave the group that the socket has joined: linux/tipc.h.
    TIPC_GROUP_LEAVE: SocketOption<(), WriteOnly> = 136;
    /// Importance of sent messages, 0 to 3: how full a receive queue may be to accept them:
    /// linux/tipc.h.
    TIPC_IMPORTANCE: SocketOption<u32> = 127;
    /// Send multicast messages as broadcasts of the network: linux/tipc.h. A node without a bearer
    /// refuses it.
    TIPC_MCAST_BROADCAST: SocketOption<(), WriteOnly> = 133;
    /// Send multicast messages as one copy for each receiving node: linux/tipc.h. A node without a
    /// bearer refuses it.
    TIPC_MCAST_REPLICAST: SocketOption<(), WriteOnly> = 134;
    /// Send small segments at once: linux/tipc.h.
    TIPC_NODELAY: SocketOption<bool, WriteOnly> = 138;
    /// Always 0, since the queues of a node are no longer counted: linux/tipc.h.
    TIPC_NODE_RECVQ_DEPTH: SocketOption<ReadOnly, u32> = 131;
    /// Number of messages in the receive queue: linux/tipc.h.
    TIPC_SOCK_RECVQ_DEPTH: SocketOption<ReadOnly, u32> = 132;
    /// Bytes in the receive queue: linux/tipc.h.
    TIPC_SOCK_RECVQ_USED: SocketOption<ReadOnly, u32> = 137;
    /// Drop sent messages on a congested link: linux/tipc.h.
    TIPC_SRC_DROPPABLE: SocketOption<bool> = 128;
}
