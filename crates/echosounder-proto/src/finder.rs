//! Finding requests in the replies of a server that decorates them in a way of its own.

use alloc::vec::Vec;

use crate::payload::Payload;
use crate::reader::EchoReader;
use crate::timestamp::Timestamp;

/// Finds the requests of a measurement in a stream, with any bytes before, between and after them.
///
/// It is the second choice, for servers that the [reader](EchoReader) cannot follow: a request
/// counts as returned when as many bytes as it has have arrived from its beginning on, so inserted
/// text ends it early.
#[derive(Debug)]
pub struct Finder {
    payload: Payload,
    /// The last bytes that arrived, in which a request may begin.
    tail: Vec<u8>,
    /// The request that is coming back.
    begun: Option<Begun>,
    /// Whether any request was found.
    has_found: bool,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    number: u64,
    stamp: Option<Timestamp>,
    /// Bytes that have not arrived.
    missing: usize,
}

/// A request that has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub number: u64,
    /// The timestamps that were filled in.
    pub stamp: Option<Timestamp>,
}

impl Finder {
    /// Creates a finder for requests that begin as those of `payload` do, to continue where a
    /// reader could not follow. `first` is the number and the length of the oldest request that has
    /// not come back.
    pub fn after(reader: &EchoReader, payload: Payload, first: Option<(u64, usize)>) -> Self {
        // A single byte proves nothing: only a request whose head has come back has surely begun.
        let begun = reader.missing().zip(first).and_then(|(missing, (number, len))| {
            let has_begun = missing <= len.saturating_sub(payload.head_len());
            has_begun.then(|| Begun { number, stamp: None, missing: missing.saturating_sub(NEWLINE.len()) })
        });
        Self { payload, tail: Vec::new(), begun, has_found: false }
    }

    /// Takes the bytes that arrived, and passes each request that is complete to `each`. The next
    /// request will have the number `next`; `len` returns the length of a request that was sent.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        next: u64,
        len: impl Fn(u64) -> usize,
        mut each: impl FnMut(Found),
    ) {
        let mut arrived = core::mem::take(&mut self.tail);
        arrived.extend_from_slice(bytes);
        let mut rest = &arrived[..];
        loop {
            if let Some(begun) = &mut self.begun {
                let taken = begun.missing.min(rest.len());
                begun.missing -= taken;
                rest = &rest[taken..];
                if begun.missing != 0 {
                    return;
                }
                each(Found { number: begun.number, stamp: begun.stamp });
                (self.begun, self.has_found) = (None, true);
            }
            let Some(located) = self.payload.locate(rest, next) else { break };
            rest = &rest[located.body..];
            let missing = len(located.number).saturating_sub(self.payload.body_start() + NEWLINE.len());
            self.begun = Some(Begun { number: located.number, stamp: located.stamp, missing });
        }
        // A request may begin here and continue with the next bytes.
        let tail = rest.len().min(self.payload.head_len().saturating_sub(1));
        self.tail.extend_from_slice(&rest[rest.len() - tail..]);
    }

    /// Returns whether no request has come back or begun to.
    pub fn has_found_nothing(&self) -> bool {
        !self.has_found && self.begun.is_none()
    }
}

/// The end of a request, which a server may remove or write in another way.
const NEWLINE: &[u8] = b"\n";

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: Payload = Payload::new(64);

    fn request(number: u64) -> Vec<u8> {
        let mut request = Vec::new();
        PAYLOAD.write(number, &mut request);
        request
    }

    /// Returns the numbers that are found if the bytes arrive in pieces of this size.
    fn found(bytes: &[u8], piece: usize) -> Vec<u64> {
        let mut finder = Finder::after(&EchoReader::new(), PAYLOAD, None);
        let mut numbers = Vec::new();
        for bytes in bytes.chunks(piece) {
            finder.receive(bytes, 100, |_| 64, |found| numbers.push(found.number));
        }
        assert_eq!(finder.has_found_nothing(), numbers.is_empty());
        numbers
    }

    #[test]
    fn requests_are_found_in_any_decoration_and_segmentation() {
        let quoted = |number| [b"[b'Fri Nov 27 2026'] b'", &request(number)[..63], b"\\n'"].concat();
        let behind = |number| [b"[0.12] [[000", &request(number)[..], b" <- you said"].concat();
        for piece in 1..200 {
            assert_eq!(found(&[quoted(7), quoted(8), behind(9)].concat(), piece), [7, 8, 9], "{piece}");
            assert_eq!(
                found(b"HTTP/1.1 400 Bad Request\r\n\r\n[0000000000000000000 00", piece),
                [] as [u64; 0]
            );
        }
    }

    #[test]
    fn a_request_without_its_newline_is_complete() {
        assert_eq!(found(&request(7)[..63], 64), [7]);
    }

    #[test]
    fn a_request_that_had_begun_ends_where_its_last_byte_is() {
        let mut reader = EchoReader::new();
        reader.sent(&request(3));
        assert!(reader.receive(&request(3)[..62], |_| {}).is_ok());
        assert!(reader.receive(b"?", |_| {}).is_err());
        assert_eq!(reader.unread(), b"?");
        let mut finder = Finder::after(&reader, PAYLOAD, Some((3, 64)));
        let mut numbers = Vec::new();
        // The newline may be missing, so one byte is left.
        finder.receive(reader.unread(), 100, |_| 64, |found| numbers.push(found.number));
        assert_eq!(numbers, [3]);
    }
}
