//! Properties of the echo reader: it recovers every message from a server, and survives any other bytes.

use std::num::NonZeroUsize;

use echosounder_proto::{
    EchoReader, Framing, Input, LocalTime, Responder, Scan, StampContext, TIMESTAMP_PLACEHOLDER, scan,
};

use super::script::{Script, cut};

const SERVERS: [&str; 6] = ["ctime", "rfc3339", "unix", "ns", "none", "[{unix}] "];

/// Reads the input as a script: a server, the messages, and where the bytes are split in both directions. If the
/// first byte is 128 or more, the rest of the input comes back in place of replies.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let choice = script.byte();
    let messages: Vec<Vec<u8>> = (0..script.byte() % 8).map(|_| message(&mut script)).collect();
    let (reads, arrivals) = (script.lengths(), script.lengths());
    if choice < 128 {
        let framing = Framing::Size(NonZeroUsize::MIN.saturating_add(script.number()));
        let stamp = SERVERS[choice % SERVERS.len()].parse().expect("a built-in stamp");
        let server = Server { responder: Responder { stamp, framing }, fills: choice < 64 };
        recovers(&messages, &server.replies(&messages.concat(), &reads), &arrivals);
    } else {
        survives(&messages, script.0, &arrivals);
    }
}

/// Returns a line that a client may send. It contains no timestamp, and a placeholder only at its beginning, without a
/// bracket after it.
fn message(script: &mut Script<'_>) -> Vec<u8> {
    let has_placeholder = script.byte() % 2 == 1;
    let len = script.byte();
    let mut payload = script.bytes(len).to_vec();
    payload.push(b'\n');
    let has_timestamp = |at: usize| {
        let rest = &payload[at..];
        rest.starts_with(TIMESTAMP_PLACEHOLDER) || matches!(scan(rest), Scan::Timestamp(..))
    };
    if (0..payload.len()).any(has_timestamp) || has_placeholder && payload[0] == b'[' {
        payload = b"\n".into();
    }
    if has_placeholder { [&TIMESTAMP_PLACEHOLDER[..], &payload].concat() } else { payload }
}

struct Server {
    responder: Responder,
    /// Whether it fills placeholders in; other servers put a timestamp before them.
    fills: bool,
}

impl Server {
    /// Returns the replies to `input`, read in these pieces.
    fn replies(&self, input: &[u8], reads: &[usize]) -> Vec<u8> {
        let Framing::Size(size) = self.responder.framing else { return Vec::new() };
        let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
        let mut out = Vec::new();
        for piece in cut(input, reads).iter().flat_map(|read| read.chunks(size.get())) {
            let request = if self.fills { piece } else { b"." };
            self.responder.respond(request, Input::More, &mut context, &mut out, |_| {});
            if !self.fills {
                out.pop();
                out.extend_from_slice(piece);
            }
        }
        out
    }
}

/// Asserts that every message is recovered, however the replies are split and merged.
fn recovers(messages: &[Vec<u8>], replies: &[u8], arrivals: &[usize]) {
    let mut reader = EchoReader::new();
    messages.iter().for_each(|message| reader.sent(message));
    let mut whole = 0;
    for bytes in cut(replies, arrivals) {
        let mut ends = Vec::new();
        assert_eq!(reader.receive(bytes, |echo| ends.push(echo.end)), Ok(()), "it is an echo");
        assert!(ends.is_sorted() && ends.iter().all(|&end| end <= bytes.len()));
        whole += ends.len();
        assert_eq!(reader.pending(), messages.len() - whole);
    }
    assert_eq!(whole, messages.len());
}

/// Asserts that no more messages come back than were sent, whatever the bytes are.
fn survives(messages: &[Vec<u8>], back: &[u8], arrivals: &[usize]) {
    let mut reader = EchoReader::new();
    messages.iter().for_each(|message| reader.sent(message));
    let mut whole = 0;
    for bytes in cut(back, arrivals) {
        if reader.receive(bytes, |echo| whole += usize::from(echo.end <= bytes.len())).is_err() {
            break;
        }
        assert_eq!(reader.pending(), messages.len() - whole);
    }
}
