//! How a stream is cut into the pieces that are stamped.

use core::num::NonZeroUsize;

/// Most bytes that one stamp may stand for on a stream, and the most of an unfinished line that is kept.
pub const FRAME_MAX: usize = 64 * 1024;

/// What is stamped as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// What one read brought, cut into pieces of at most so many bytes.
    Size(NonZeroUsize),
    /// Each line with its newline; an unfinished one when it is so many bytes long, at most [`FRAME_MAX`], or when
    /// the peer ends.
    Line(NonZeroUsize),
    /// What one read brought, whole: for sockets that keep the bounds of messages.
    Message,
}

impl Default for Framing {
    /// At most 1,024 bytes, the buffer of the textbook's server.
    fn default() -> Self {
        Self::Size(const { NonZeroUsize::new(1024).expect("1024 is not zero") })
    }
}

/// Whether more input may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// More may come.
    More,
    /// The peer has finished.
    Last,
}

impl Framing {
    /// The length of the first piece of `input`, or `None` if there is none yet.
    pub fn frame_len(self, input: &[u8], kind: Input) -> Option<usize> {
        if input.is_empty() {
            return None;
        }
        match self {
            Self::Size(size) => Some(input.len().min(size.get())),
            Self::Message => Some(input.len()),
            Self::Line(max) => {
                let max = max.get().min(FRAME_MAX);
                let reach = &input[..input.len().min(max)];
                match reach.iter().position(|&byte| byte == b'\n') {
                    Some(newline) => Some(newline + 1),
                    None if reach.len() == max || kind == Input::Last => Some(reach.len()),
                    None => None,
                }
            }
        }
    }
}
