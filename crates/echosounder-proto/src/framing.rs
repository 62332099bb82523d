//! How a stream is split into messages.

use core::num::NonZeroUsize;

/// The longest message on a stream in bytes, and the longest unfinished line that is buffered.
pub const FRAME_MAX: usize = 64 * 1024;

/// The division of received bytes into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The bytes of one read, split into messages of at most that many bytes.
    Size(NonZeroUsize),
    /// Each line with its newline. A line also ends when it reaches that many bytes, at most
    /// [`FRAME_MAX`], or at the end of the input.
    Line(NonZeroUsize),
    /// The bytes of one read: for sockets that keep the bounds of messages.
    Message,
}

impl Default for Framing {
    /// Returns 1,024 bytes, the buffer size of the textbook's server.
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
    /// Returns whether `new` completes a message. `unfinished` bytes of the message, without a
    /// newline among them, have arrived before.
    pub fn completes(self, unfinished: usize, new: &[u8]) -> bool {
        match self {
            Self::Line(max) => {
                let missing = max.get().min(FRAME_MAX).saturating_sub(unfinished);
                missing <= new.len() || new.contains(&b'\n')
            }
            Self::Size(_) | Self::Message => true,
        }
    }

    /// Returns the length of the first message of `input`, or `None` if it is not complete yet.
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
