use std::num::NonZeroUsize;

use echosounder_proto::{
    EchoReader, Framing, Input, LocalTime, NotAnEcho, Responder, Scan, StampContext, TIMESTAMP_PLACEHOLDER,
    Template, Timestamp, scan,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::cut;

const SERVERS: [&str; 6] = ["ctime", "rfc3339", "unix", "ns", "none", "[{ctime}] "];

/// Returns what a server replies that reads `input` in these pieces, split further at `size`.
fn serve(stamp: &Template, input: &[u8], reads: &[usize], size: usize, fills: bool) -> Vec<u8> {
    let framing = Framing::Size(NonZeroUsize::new(size).unwrap());
    let responder = Responder { stamp: stamp.clone(), framing };
    let mut context = StampContext::anonymous(&LocalTime::EXAMPLE);
    let mut out = Vec::new();
    for piece in cut(input, reads).iter().flat_map(|read| read.chunks(size)) {
        if fills {
            responder.respond(piece, Input::More, &mut context, &mut out, |_| {});
        } else {
            responder.respond(b".", Input::More, &mut context, &mut out, |_| {});
            out.pop();
            out.extend_from_slice(piece);
        }
    }
    out
}

/// What a ping sends: a payload that does not begin with a bracket and holds no timestamp.
fn message() -> impl Strategy<Value = Vec<u8>> {
    ("[!-Z^-z][ -~]{0,200}\n", any::<bool>())
        .prop_map(
            |(payload, blank)| {
                if blank { [TIMESTAMP_PLACEHOLDER, payload.as_bytes()].concat() } else { payload.into() }
            },
        )
        .prop_filter("no stamp inside", |message| {
            (1..message.len()).all(|at| !matches!(scan(&message[at..]), Scan::Timestamp(..)))
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_message_is_recovered_from_split_and_merged_reads(
        messages in vec(message(), 1..8), reads in vec(1..300_usize, 0..20), size in 1..400_usize,
        arrivals in vec(1..300_usize, 0..40), server in 0..SERVERS.len(), fills: bool,
    ) {
        let stamp: Template = SERVERS[server].parse().unwrap();
        let echoed = serve(&stamp, &messages.concat(), &reads, size, fills);
        let mut reader = EchoReader::new();
        for message in &messages {
            reader.sent(message);
        }
        let mut whole = 0;
        for bytes in cut(&echoed, &arrivals) {
            let mut ends = Vec::new();
            prop_assert_eq!(reader.receive(bytes, |echo| ends.push(echo.end)), Ok(()));
            prop_assert!(ends.is_sorted() && ends.iter().all(|&end| end <= bytes.len()));
            whole += ends.len();
            prop_assert_eq!(reader.pending(), messages.len() - whole);
        }
        prop_assert_eq!(whole, messages.len());
    }

    #[test]
    fn in_lockstep_every_message_has_its_timestamp(messages in vec(message(), 1..8), server in 0..4_usize) {
        let stamp: Template = SERVERS[server].parse().unwrap();
        let mut reader = EchoReader::new();
        for message in &messages {
            reader.sent(message);
            let reply = serve(&stamp, message, &[], 1024, true);
            let mut echoes = Vec::new();
            prop_assert_eq!(reader.receive(&reply, |echo| echoes.push(echo)), Ok(()));
            prop_assert_eq!(echoes.len(), 1);
            prop_assert_eq!(echoes[0].end, reply.len());
            prop_assert!(echoes[0].stamp.is_some());
            let exact = matches!(echoes[0].stamp, Some(Timestamp::Ns { .. }));
            prop_assert!(exact || !message.starts_with(TIMESTAMP_PLACEHOLDER));
        }
    }

    #[test]
    fn no_received_bytes_panic(sent in vec(any::<Vec<u8>>(), 0..4), back in vec(any::<Vec<u8>>(), 0..6)) {
        let mut reader = EchoReader::new();
        sent.iter().for_each(|message| reader.sent(message));
        for bytes in back {
            if reader.receive(&bytes, |_| {}).is_err() {
                break;
            }
        }
    }
}

fn read(sent: &[&[u8]], back: &[u8]) -> Result<Vec<Option<Timestamp>>, NotAnEcho> {
    let mut reader = EchoReader::new();
    sent.iter().for_each(|message| reader.sent(message));
    let mut stamps = Vec::new();
    reader.receive(back, |echo| stamps.push(echo.stamp))?;
    Ok(stamps)
}

/// `[Sun Nov 22 12:19:36 2026] `
const NOON: Timestamp = Timestamp::Ctime(Some(1_795_349_976));

#[test]
fn only_a_timestamp_right_before_a_message_belongs_to_it() {
    let merged = b"[Sun Nov 22 12:19:36 2026] onetwo";
    assert_eq!(read(&[b"one", b"two"], merged), Ok(vec![Some(NOON), None]));
    let split = b"[Sun Nov 22 12:19:36 2026] one[Sun Nov 22 12:19:36 2026] two";
    assert_eq!(read(&[b"onetwo"], split), Ok(vec![Some(NOON)]));
    assert_eq!(read(&[b"one", b"two"], split), Ok(vec![Some(NOON), Some(NOON)]));
}

#[test]
fn other_echo_servers_are_followed_or_refused() {
    assert_eq!(read(&[b"plain"], b"plain"), Ok(vec![None]));
    assert_eq!(read(&[b"typed ["], b"typed ["), Ok(vec![None]));
    assert_eq!(read(&[TIMESTAMP_PLACEHOLDER], TIMESTAMP_PLACEHOLDER), Ok(vec![None]));
    assert_eq!(read(&[b"GET /"], b"HTTP/1.1 400"), Err(NotAnEcho));
    assert_eq!(read(&[], b"welcome"), Err(NotAnEcho));
    assert_eq!(NotAnEcho.to_string(), "the reply is not what was sent");
    assert_eq!(read(&[b"one"], b"one more"), Err(NotAnEcho));
    let stamps = b"[Sun Nov 22 12:19:36 2026] [Sun Nov 22 12:19:36 2026] ";
    assert_eq!(read(&[b"one"], stamps), Err(NotAnEcho));
    let quoted = b"[Sun Nov 22 12:19:36 2026] again";
    let reply = [&b"[Mon Nov 23 00:00:00 2026] "[..], quoted].concat();
    assert_eq!(read(&[quoted], &reply), Ok(vec![Some(Timestamp::Ctime(Some(1_795_392_000)))]));
    let reply = [&quoted[..27], quoted].concat();
    assert_eq!(read(&[quoted], &reply).map(|stamps| stamps.len()), Ok(1));
}

#[test]
fn a_message_of_the_placeholder_alone_is_filled_at_once() {
    let filled = b"[1795346376123456789 1795346376123456790] ";
    let stamps = read(&[TIMESTAMP_PLACEHOLDER], filled).unwrap();
    assert!(matches!(stamps[..], [Some(Timestamp::Ns { .. })]), "{stamps:?}");
}
