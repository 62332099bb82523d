//! An input as a script: numbers and texts, taken off its front. At its end they are zero and empty.

/// What is left of the input.
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    /// A number from 0 to 255.
    pub(crate) fn byte(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, self.0));
        self.0 = rest;
        usize::from(*first)
    }

    /// A number from 0 to 65535.
    pub(crate) fn number(&mut self) -> usize {
        self.byte() << 8 | self.byte()
    }

    /// At most so many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// Up to a dozen lengths from 1 to 256.
    pub(crate) fn lengths(&mut self) -> Vec<usize> {
        (0..self.byte() % 13).map(|_| self.byte() + 1).collect()
    }
}

/// Cuts `bytes` after each of the lengths; the last piece is what is left.
pub(crate) fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths {
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}
