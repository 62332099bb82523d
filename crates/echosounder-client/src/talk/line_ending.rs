//! Line endings, and their translation in a stream that arrives in chunks.

/// The line ending that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// A conversation sends lines without their newlines, and an empty line that is typed ends it.
    /// A pipe passes the bytes unchanged.
    None,
    /// A line feed (LF).
    Lf,
    /// A carriage return and a line feed (CR LF).
    CrLf,
}

/// Translates the line endings of a stream, chunk by chunk.
#[derive(Debug)]
pub(crate) struct Translator {
    eol: Eol,
    /// Whether the last byte was a carriage return. For [`Eol::Lf`] it is held back, since a line
    /// feed may follow.
    after_return: bool,
}

impl Translator {
    pub(crate) fn new(eol: Eol) -> Self {
        Self { eol, after_return: false }
    }

    /// Appends the translation of a chunk to `out`.
    pub(crate) fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.eol == Eol::None {
            return out.extend_from_slice(chunk);
        }
        for &byte in chunk {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match (self.eol, byte) {
                (Eol::CrLf, b'\n') if !after_return => out.extend_from_slice(b"\r\n"),
                (Eol::Lf, b'\n') | (Eol::CrLf, _) => out.push(byte),
                _ => {
                    out.extend(after_return.then_some(b'\r'));
                    out.extend((byte != b'\r').then_some(byte));
                }
            }
        }
    }

    /// Appends the byte that was held back, at the end of the stream.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.eol == Eol::Lf && std::mem::take(&mut self.after_return) {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(eol: Eol, input: &[u8], chunk_len: usize) -> Vec<u8> {
        let (mut translator, mut out) = (Translator::new(eol), Vec::new());
        input.chunks(chunk_len).for_each(|chunk| translator.push(chunk, &mut out));
        translator.finish(&mut out);
        out
    }

    #[test]
    fn translation_does_not_depend_on_the_chunks() {
        let input = b"\na\r\n\r\r\nb\rc\n\n\x00\xff\r";
        for len in 1..=input.len() {
            assert_eq!(translated(Eol::None, input, len), input);
            assert_eq!(translated(Eol::CrLf, input, len), b"\r\na\r\n\r\r\nb\rc\r\n\r\n\x00\xff\r");
            assert_eq!(translated(Eol::Lf, input, len), b"\na\n\r\nb\rc\n\n\x00\xff\r");
        }
        for eol in [Eol::None, Eol::Lf, Eol::CrLf] {
            assert_eq!(translated(eol, b"no newline at the end", 7), b"no newline at the end");
            assert_eq!(translated(eol, b"", 1), b"");
        }
    }
}
