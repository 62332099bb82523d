//! Connections in every order of events, against the model that is [`Responder::answer`].

use std::thread;

use echosounder_proto::{
    DropReason, EchoReader, Framing, Input, LocalTime, Responder, Scan, StampContext, scan,
};
use echosounder_socket::{Shutdown, Socket, Transport};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::table::{Table, hear, hear_all, say};
use crate::{CTIME, Client, Told, dropped, line, size};

const PEERS: usize = 4;
const BACKLOG_MAX: usize = 1 << 20;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A peer says so many bytes, if it is let.
    Say(usize, usize),
    /// A peer reads so many at most.
    Hear(usize, usize),
    /// A peer says that it has finished.
    Finish(usize),
    /// A peer goes, whatever it has not heard.
    Vanish(usize),
    /// The worker takes a turn.
    Turn,
    /// The wall clock moves by so many seconds.
    Clock(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = || prop_oneof![1..40_usize, 1..3000_usize, 1..70_000_usize];
    let step = prop_oneof![
        8 => (0..PEERS, length()).prop_map(|(peer, len)| Step::Say(peer, len)),
        6 => (0..PEERS, length()).prop_map(|(peer, len)| Step::Hear(peer, len)),
        1 => (0..PEERS).prop_map(Step::Finish),
        1 => (0..PEERS).prop_map(Step::Vanish),
        8 => Just(Step::Turn),
        1 => (-100_000..100_000_i64).prop_map(Step::Clock),
    ];
    vec(step, 0..150)
}

/// A peer, what it has said and heard, and what it should hear.
struct Peer {
    socket: Option<Socket>,
    finished: bool,
    said: Vec<u8>,
    heard: Vec<u8>,
    pieces: Vec<Vec<u8>>,
    /// Each answer that the model gives, and where it begins.
    due: Vec<u8>,
    starts: Vec<usize>,
    closed: Option<Told>,
}

/// Letters and newlines, another text for each peer.
fn text(peer: usize, from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| match (at * 31 + at / 7 * 17 + peer * 5) % 97 {
            0 => b'\n',
            n => b'a' + u8::try_from(n % 26).unwrap(),
        })
        .collect()
}

/// One run of a worker and its peers.
struct Play {
    table: Table,
    framing: Framing,
    model: Responder,
    /// Whether the stamp shows the day.
    by_day: bool,
    peers: Vec<Peer>,
}

impl Play {
    fn new(transport: Transport, stamp: &str, framing: Framing, buffer: i32) -> Self {
        let mut table = Table::new(stamp, framing, BACKLOG_MAX);
        let peers = (0..PEERS)
            .map(|number| Peer {
                socket: Some(table.seat(transport, &number.to_string(), buffer)),
                finished: false,
                said: Vec::new(),
                heard: Vec::new(),
                pieces: Vec::new(),
                due: Vec::new(),
                starts: Vec::new(),
                closed: None,
            })
            .collect();
        let model = Responder { stamp: stamp.parse().unwrap(), framing: Framing::Message };
        Self { table, framing, model, by_day: stamp == "ctime", peers }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Turn => self.turn(),
            Step::Clock(seconds) => self.table.clock.step(seconds * 1_000_000_000, 0),
            Step::Say(number, len) => {
                let peer = &mut self.peers[number];
                if let Some(socket) = peer.socket.as_ref().filter(|_| !peer.finished) {
                    let bytes = text(number, peer.said.len(), len);
                    let taken = say(socket, &bytes);
                    peer.said.extend(&bytes[..taken]);
                }
            }
            Step::Hear(number, len) => {
                let peer = &mut self.peers[number];
                if let Some(more) = peer.socket.as_ref().and_then(|socket| hear(socket, len)) {
                    peer.heard.extend(more);
                }
            }
            Step::Finish(number) => {
                let peer = &mut self.peers[number];
                peer.finished = true;
                if let Some(socket) = &peer.socket {
                    // The worker may have ended the connection already, if the peer had finished before.
                    let _ = socket.shutdown(Shutdown::Write);
                }
            }
            Step::Vanish(number) => self.peers[number].socket = None,
        }
    }

    /// A turn, and what the model has to say to the pieces that were answered in it.
    fn turn(&mut self) {
        let wall = self.table.clock.wall();
        let label = LocalTime { wall, ..LocalTime::EXAMPLE };
        let before: Vec<usize> = self.peers.iter().map(|peer| peer.pieces.len()).collect();
        for told in self.table.turn() {
            match told {
                Told::Message(name, bytes) => {
                    let number: usize = name.strip_prefix('@').unwrap().parse().unwrap();
                    let peer = &mut self.peers[number];
                    let seq = peer.pieces.len() as u64;
                    let mut context = StampContext { peer: &name, seq, ..StampContext::anonymous(&label) };
                    peer.starts.push(peer.due.len());
                    self.model.answer(&bytes, Input::More, &mut context, &mut peer.due, |_| {});
                    peer.pieces.push(bytes);
                }
                Told::Closed(ref name, ..) => {
                    let number: usize = name.strip_prefix('@').unwrap().parse().unwrap();
                    assert_eq!(self.peers[number].closed, None);
                    self.peers[number].closed = Some(told);
                }
                other => panic!("{other:?}"),
            }
        }
        // What one read brought is cut at the full size as long as it goes.
        if let Framing::Size(size) = self.framing {
            for (peer, before) in self.peers.iter().zip(before) {
                let lengths: Vec<usize> = peer.pieces[before..].iter().map(Vec::len).collect();
                if let [whole @ .., last] = &lengths[..] {
                    assert!(whole.iter().all(|&len| len == size.get()) && *last <= size.get(), "{lengths:?}");
                }
            }
        }
    }

    /// Everybody finishes and hears the rest.
    fn end(&mut self) {
        for number in 0..PEERS {
            self.take(&Step::Finish(number));
        }
        let mut idle = 0;
        while self.table.worker.connections() != 0 {
            let before = self.progress();
            self.turn();
            for number in 0..PEERS {
                self.take(&Step::Hear(number, 1 << 16));
            }
            idle = if before == self.progress() { idle + 1 } else { 0 };
            assert!(idle < 10, "the worker does not come to an end");
        }
        for peer in self.peers.iter_mut().filter(|peer| peer.socket.is_some()) {
            while let Some(more) = hear(peer.socket.as_ref().unwrap(), 1 << 16) {
                peer.heard.extend(&more);
                if more.is_empty() {
                    break;
                }
            }
        }
    }

    /// How far everything has come.
    fn progress(&self) -> (usize, usize, usize) {
        let sum = |of: fn(&Peer) -> usize| self.peers.iter().map(of).sum();
        (sum(|peer| peer.heard.len()), sum(|peer| peer.pieces.len()), self.table.worker.connections())
    }

    /// What everybody heard is what the model says, byte for byte.
    fn check(&mut self) {
        for (number, peer) in self.peers.iter_mut().enumerate() {
            let answered = peer.pieces.concat();
            assert!(peer.said.starts_with(&answered), "what was answered to {number} is what it said");
            // The day and hour depend on the zone of the machine; the clock's tests look at them.
            for &start in self.by_day.then_some(&peer.starts).into_iter().flatten() {
                let Some(stamp) = peer.heard.get_mut(start..).filter(|stamp| !stamp.is_empty()) else {
                    break;
                };
                assert_ne!(scan(stamp), Scan::Other);
                let shown = stamp.len().min(CTIME);
                stamp[..shown].copy_from_slice(&peer.due[start..start + shown]);
            }
            assert!(peer.due.starts_with(&peer.heard), "what {number} heard is what the model says");
            if peer.socket.is_some() {
                assert_eq!(answered.len(), peer.said.len(), "all that {number} said was answered");
                assert_eq!(peer.heard.len(), peer.due.len(), "all that was answered, {number} heard");
                let messages = peer.pieces.len() as u64;
                assert_eq!(peer.closed, Some(Told::Closed(format!("@{number}"), messages, None)));
                if let Framing::Line(_) = self.framing {
                    assert!(peer.pieces == cuts(self.framing, &peer.said), "by line the reads do not matter");
                }
            }
        }
        let totals = self.table.totals();
        let pieces = || self.peers.iter().flat_map(|peer| &peer.pieces);
        assert_eq!(totals.messages, pieces().count() as u64);
        assert_eq!(totals.bytes, pieces().map(Vec::len).sum::<usize>() as u64);
        assert_eq!((totals.connections, totals.dropped()), (PEERS as u64, 0));
    }
}

/// The pieces that everything a peer said falls into.
fn cuts(framing: Framing, mut said: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while let Some(len) = framing.frame_len(said, Input::Last) {
        let (piece, rest) = said.split_at(len);
        pieces.push(piece.to_vec());
        said = rest;
    }
    pieces
}

fn framings() -> impl Strategy<Value = Framing> {
    let limit = prop_oneof![1..20_usize, 1..2000_usize, Just(echosounder_proto::FRAME_MAX)];
    (any::<bool>(), limit).prop_map(|(by_line, limit)| if by_line { line(limit) } else { size(limit) })
}

const STAMPS: [&str; 4] = ["none", "ctime", "unix", "{seq} {peer} {unix}> "];

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_time: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_every_peer_hears_what_the_model_says(
        steps in steps(), stamp in select(&STAMPS[..]), framing in framings(), buffer in 1..30_000_i32,
    ) {
        let mut play = Play::new(Transport::UnixStream, stamp, framing, buffer);
        steps.iter().for_each(|step| play.take(step));
        play.end();
        play.check();
        for peer in play.peers.iter().filter(|peer| peer.socket.is_some()) {
            if stamp == "none" {
                prop_assert!(peer.heard == peer.said);
            } else if !stamp.starts_with('{') {
                let mut reader = EchoReader::new();
                reader.sent(&peer.said);
                prop_assert_eq!(reader.receive(&peer.heard, |_| {}), Ok(()));
                prop_assert_eq!(reader.pending(), 0);
            }
        }
    }

    #[test]
    fn in_any_order_a_message_gets_one_answer(
        steps in vec((0..PEERS, 1..3000_usize, 0..3_u8), 0..150), stamp in select(&STAMPS[..]),
    ) {
        let mut play = Play::new(Transport::UnixSeqpacket, stamp, Framing::Message, 1);
        let mut calls = vec![Vec::new(); PEERS];
        for (number, len, what) in steps {
            let before = play.peers[number].said.len();
            match what {
                0 => play.take(&Step::Say(number, len)),
                1 => play.take(&Step::Hear(number, 1 << 16)),
                _ => play.take(&Step::Turn),
            }
            let said = &play.peers[number].said[before..];
            if !said.is_empty() {
                calls[number].push(said.to_vec());
            }
        }
        play.end();
        play.check();
        for (peer, calls) in play.peers.iter().zip(calls) {
            prop_assert!(peer.pieces == calls);
        }
    }
}

#[test]
fn a_half_close_in_mid_message_loses_nothing() {
    for (framing, stamps) in [(line(60_000), 2001), (size(1000), 0)] {
        let mut table = Table::new("ctime", framing, BACKLOG_MAX);
        let peer = table.seat(Transport::UnixStream, "a", 1);
        let call = ["a line\n".repeat(2000), "its end is missing".into()].concat();
        let mut said = 0;
        let mut heard = Vec::new();
        while said < call.len() {
            let taken = say(&peer, &call.as_bytes()[said..]);
            said += taken;
            if taken == 0 {
                // Nothing goes any more: the peer has not read one answer yet. It reads a little.
                assert!(heard.len() < 10 * call.len());
                table.settle();
                heard.extend(hear(&peer, 3000).unwrap_or_default());
            }
        }
        peer.shutdown(Shutdown::Write).unwrap();
        while table.worker.connections() != 0 {
            table.settle();
            heard.extend(hear_all(&peer));
        }
        heard.extend(hear_all(&peer));
        assert_eq!(hear(&peer, 1), Some(Vec::new()));
        let mut reader = EchoReader::new();
        reader.sent(call.as_bytes());
        reader.receive(&heard, |_| {}).unwrap();
        assert_eq!(reader.pending(), 0);
        if stamps != 0 {
            assert_eq!(heard.len(), call.len() + stamps * CTIME);
        }
    }
}

#[test]
fn a_stop_sends_what_is_kept_and_the_unfinished_line() {
    let mut table = Table::new("none", line(60_000), BACKLOG_MAX);
    let peer = table.seat(Transport::UnixStream, "a", 1);
    let mut call = vec![b'x'; 20_000];
    let mut said = 0;
    while said < call.len() {
        said += say(&peer, &call[said..]);
        table.settle();
    }
    // The line's end and what follows come in one read, and the line's answer is too long to leave at once.
    assert_eq!(say(&peer, b"\nno end"), 7);
    call.extend(b"\nno end");
    table.settle();
    let kind = Transport::UnixStream.kind();
    let heard = thread::spawn(move || Client { socket: peer, kind, half_closes: true }.recv_all());
    table.stop();
    assert!(heard.join().unwrap() == call);
}

#[test]
fn a_turn_reads_once() {
    let mut table = Table::new("none", size(1024), BACKLOG_MAX);
    let busy = table.seat(Transport::UnixStream, "busy", 200_000);
    let patient = table.seat(Transport::UnixStream, "patient", 4096);
    let said = say(&busy, &[b'b'; 300_000]);
    assert!(150_000 < said);
    assert_eq!(say(&patient, b"hello"), 5);
    table.turn();
    assert_eq!(hear_all(&patient), b"hello");
    let first = hear_all(&busy).len();
    assert!(0 < first && first <= 64 * 1024, "{first}");
    table.settle();
    assert_eq!(first + hear_all(&busy).len(), said);

    let messages = table.seat(Transport::UnixSeqpacket, "messages", 200_000);
    assert_eq!((say(&messages, b"one"), say(&messages, b"two")), (3, 3));
    table.turn();
    assert_eq!((hear(&messages, 9), hear(&messages, 9)), (Some(b"one".to_vec()), None));
}

#[test]
fn a_message_too_long_is_dropped_and_counted() {
    let mut table = Table::new("ctime", size(1024), BACKLOG_MAX);
    let peer = table.seat(Transport::UnixSeqpacket, "a", 200_000);
    assert_eq!(say(&peer, &[b'x'; 256 * 1024 + 1]), 256 * 1024 + 1);
    assert_eq!(say(&peer, b"short"), 5);
    table.settle();
    assert_eq!(dropped(&table.totals(), DropReason::Truncated), 1);
    assert_eq!(hear(&peer, 100).unwrap()[CTIME..], *b"short");
    assert_eq!(hear(&peer, 100), None);
    assert_eq!((table.totals().messages, table.totals().bytes), (1, 5));
}

#[test]
fn an_empty_message_is_a_message_and_the_end_is_the_end() {
    let mut table = Table::new("ctime", size(1024), BACKLOG_MAX);
    let peer = table.seat(Transport::UnixSeqpacket, "a", 4096);
    assert_eq!((say(&peer, b"one"), peer.send(b"").unwrap(), say(&peer, b"last")), (3, 0, 4));
    assert_eq!(table.settle().last(), Some(&Told::Message("@a".into(), b"last".to_vec())));
    for reply in [&b"one"[..], b"", b"last"] {
        assert_eq!(hear(&peer, 100).unwrap()[CTIME..], *reply);
    }
    peer.shutdown(Shutdown::Write).unwrap();
    assert_eq!(table.settle().last(), Some(&Told::Closed("@a".into(), 3, None)));
    assert_eq!(hear(&peer, 100), Some(Vec::new()));
}

#[test]
fn a_peer_that_goes_with_answers_unread_is_told_as_an_error() {
    let mut table = Table::new("none", size(1024), BACKLOG_MAX);
    let peer = table.seat(Transport::UnixStream, "a", 1);
    while say(&peer, &[b'x'; 1000]) != 0 {
        table.settle();
    }
    drop(peer);
    let told = table.settle();
    assert!(matches!(told[..], [.., Told::Closed(_, _, Some(_))]), "{told:?}");
    assert_eq!((table.worker.connections(), table.totals().errors), (0, 1));
}

#[test]
fn a_stamp_shows_who_talks_and_how_often() {
    let mut table = Table::new("{seq} {peer} at {local} on {host}: ", size(1024), BACKLOG_MAX);
    let peer = table.seat(Transport::UnixStream, "a name", 4096);
    for expected in ["1 @a%20name at unnamed on here: x", "2 @a%20name at unnamed on here: x"] {
        say(&peer, b"x");
        table.turn();
        assert_eq!(String::from_utf8(hear_all(&peer)).unwrap(), expected);
    }
}
