//! The memory into which replies are received.

use std::io;

use echosounder_proto::{Payload, Returned};
use echosounder_socket::{Batch, IoBuffer, Kind};

/// The maximum number of datagrams of one system call, in either direction.
pub(super) const BATCH_MAX: usize = 64;

/// The length of a read, or the length of a message if that is longer.
const READ_MAX: usize = 256 * 1024;

/// The maximum length of a timestamp that a server puts before a message.
const PREFIX_MAX: usize = 256;

/// Buffers of one generator, used by all its connections.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) buffer: IoBuffer,
    /// Memory for many datagrams of one system call; `None` for other sockets.
    pub(super) batch: Option<Batch>,
    pub(super) scratch: Vec<u8>,
    /// Whether each message of a read has a timestamp of its own.
    pub(super) timestamps: Vec<bool>,
    /// The replies of a batch; `None` for data that is no reply.
    pub(super) replies: Vec<Option<Returned>>,
}

impl Inbox {
    /// Allocates memory for replies to messages of up to `message_max` bytes, if there is enough.
    pub(super) fn try_new(kind: Kind, message_max: usize) -> io::Result<Self> {
        let reply_max = message_max + PREFIX_MAX;
        let batch = (kind == Kind::Datagrams).then(|| Batch::try_new(BATCH_MAX, reply_max)).transpose()?;
        Ok(Self {
            buffer: IoBuffer::try_zeroed(reply_max.max(READ_MAX))?,
            batch,
            scratch: Vec::new(),
            timestamps: Vec::new(),
            replies: Vec::new(),
        })
    }
}

/// Reads a reply to one message, even if the server has put text around the message. `next` is the
/// number of the next message.
pub(super) fn read_reply(reply: &[u8], next: u64, scratch: &mut Vec<u8>) -> Option<Returned> {
    Payload::read(reply, scratch).or_else(|| Payload::find_in(reply, next))
}
