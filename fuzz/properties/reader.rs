//! The asker's reader, with whatever is sent and whatever comes back.

use std::num::NonZeroUsize;

use echosounder_proto::{
    EchoReader, Framing, Input, LocalTime, Responder, Scan, StampContext, TIMESTAMP_PLACEHOLDER, scan,
};

use super::script::{Script, cut};

const SERVERS: [&str; 6] = ["ctime", "rfc3339", "unix", "ns", "none", "[{unix}] "];

/// Reads the input as a script: a server, what it is sent, and where the bytes are cut on both ways. With a first
/// byte from 128 on, what comes back is the input's rest, whatever that is.
pub(crate) fn holds(input: &[u8]) {
    let mut script = Script(input);
    let choice = script.byte();
    let messages: Vec<Vec<u8>> = (0..script.byte() % 8).map(|_| message(&mut script)).collect();
    let (reads, arrivals) = (script.lengths(), script.lengths());
    if choice < 128 {
        let framing = Framing::Size(NonZeroUsize::MIN.saturating_add(script.number()));
        let stamp = SERVERS[choice % SERVERS.len()].parse().expect("a built-in stamp");
        let server = Server { responder: Responder { stamp, framing }, fills: choice < 64 };
        recovers(&messages, &server.answers(&messages.concat(), &reads), &arrivals);
    } else {
        survives(&messages, script.0, &arrivals);
    }
}

/// What the asker may send: a line. It holds no stamp, and a blank only at its beginning, with no bracket behind.
fn message(script: &mut Script<'_>) -> Vec<u8> {
    let blank = script.byte() % 2 == 1;
    let len = script.byte();
    let mut payload = script.bytes(len).to_vec();
    payload.push(b'\n');
    let stamped = |at: usize| {
        let rest = &payload[at..];
        rest.starts_with(TIMESTAMP_PLACEHOLDER) || matches!(scan(rest), Scan::Timestamp(..))
    };
    if (0..payload.len()).any(stamped) || blank && payload[0] == b'[' {
        payload = b"\n".into();
    }
    if blank { [&TIMESTAMP_PLACEHOLDER[..], &payload].concat() } else { payload }
}

struct Server {
    responder: Responder,
    /// Whether it knows the blank; others put a stamp before it.
    fills: bool,
}

impl Server {
    /// What it answers, reading `input` in these pieces.
    fn answers(&self, input: &[u8], reads: &[usize]) -> Vec<u8> {
        let Framing::Size(size) = self.responder.framing else { return Vec::new() };
        let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
        let mut out = Vec::new();
        for piece in cut(input, reads).iter().flat_map(|read| read.chunks(size.get())) {
            let asked = if self.fills { piece } else { b"." };
            self.responder.respond(asked, Input::More, &mut context, &mut out, |_| {});
            if !self.fills {
                out.pop();
                out.extend_from_slice(piece);
            }
        }
        out
    }
}

/// Every message is told, whatever the server has split or merged.
fn recovers(messages: &[Vec<u8>], answers: &[u8], arrivals: &[usize]) {
    let mut reader = EchoReader::new();
    messages.iter().for_each(|message| reader.sent(message));
    let mut whole = 0;
    for bytes in cut(answers, arrivals) {
        let mut ends = Vec::new();
        assert_eq!(reader.receive(bytes, |echo| ends.push(echo.end)), Ok(()), "it is an echo");
        assert!(ends.is_sorted() && ends.iter().all(|&end| end <= bytes.len()));
        whole += ends.len();
        assert_eq!(reader.pending(), messages.len() - whole);
    }
    assert_eq!(whole, messages.len());
}

/// Whatever comes back, no more is told than was sent.
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
