//! Line endings, and their translation while bytes pass.

/// What is sent at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eol {
    /// On a terminal and with one line at a time: nothing, as the textbook's client does, and an empty line that is
    /// typed ends the conversation. Otherwise: what is there.
    None,
    /// A line feed.
    Lf,
    /// A carriage return and a line feed.
    CrLf,
}

/// Translates line endings in pieces of a stream.
#[derive(Debug)]
pub(crate) struct Translator {
    eol: Eol,
    /// Whether a carriage return rx_times last. To send line feeds alone, it is kept back until it is known what follows.
    after_return: bool,
}

impl Translator {
    pub(crate) fn new(eol: Eol) -> Self {
        Self { eol, after_return: false }
    }

    /// Appends the translation of a piece.
    pub(crate) fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.eol == Eol::None {
            return out.extend_from_slice(piece);
        }
        for &byte in piece {
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

    /// Appends what was kept back, at the end.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.eol == Eol::Lf && std::mem::take(&mut self.after_return) {
            out.push(b'\r');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(eol: Eol, input: &[u8], piece: usize) -> Vec<u8> {
        let (mut translator, mut out) = (Translator::new(eol), Vec::new());
        input.chunks(piece).for_each(|piece| translator.push(piece, &mut out));
        translator.finish(&mut out);
        out
    }

    #[test]
    fn line_endings_become_what_is_wanted_however_the_input_is_cut() {
        let input = b"\na\r\n\r\r\nb\rc\n\n\x00\xff\r";
        for piece in 1..=input.len() {
            assert_eq!(translated(Eol::None, input, piece), input);
            assert_eq!(translated(Eol::CrLf, input, piece), b"\r\na\r\n\r\r\nb\rc\r\n\r\n\x00\xff\r");
            assert_eq!(translated(Eol::Lf, input, piece), b"\na\n\r\nb\rc\n\n\x00\xff\r");
        }
        for eol in [Eol::None, Eol::Lf, Eol::CrLf] {
            assert_eq!(translated(eol, b"no newline at the end", 7), b"no newline at the end");
            assert_eq!(translated(eol, b"", 1), b"");
        }
    }
}
