//! Pipes: bytes in both directions, and what ends them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use echosounder_client::{BackgroundWriter, Eol, Peer, Pipe, PipeSummary, TalkEnd, WaitLimit};

use crate::pair::{Pair, WAIT, pair};

/// A pipe between an input that the test writes to and an output that it reads.
struct Ends {
    input: UnixStream,
    output: UnixStream,
}

fn pipe(peer: Peer, limit: WaitLimit, eol: Eol) -> (Pipe<UnixStream>, Ends) {
    let (input, reader) = UnixStream::pair().unwrap();
    let (output, writer) = UnixStream::pair().unwrap();
    let writer = BackgroundWriter::start(writer, limit).unwrap();
    (Pipe::new(peer, reader, writer, eol), Ends { input, output })
}

/// Runs a pipe with this input, and returns its result, its output, and what the server's side
/// returns.
fn run<T: Send + 'static>(
    input: &[u8],
    eol: Eol,
    serve: impl FnOnce(Pair) -> T + Send + 'static,
) -> (PipeSummary, Vec<u8>, T) {
    let (peer, pair) = pair("unix");
    let (pipe, mut ends) = pipe(peer, pair.limit.clone(), eol);
    let server = thread::spawn(move || serve(pair));
    ends.input.write_all(input).unwrap();
    drop(ends.input);
    let summary = pipe.run().unwrap();
    let mut output = Vec::new();
    ends.output.read_to_end(&mut output).unwrap();
    (summary, output, server.join().unwrap())
}

#[test]
fn bytes_pass_unchanged_in_both_directions() {
    let input = b"\x00\r\n\x1b[2J\xff\n\n";
    let (summary, output, received) = run(input, Eol::None, |pair| {
        pair.send(b"first\n");
        let received = pair.receive_all();
        pair.send(b"\xff\x00 last");
        received
    });
    assert_eq!((received, output), (input.to_vec(), b"first\n\xff\x00 last".to_vec()));
    assert_eq!((summary.sent_bytes, summary.received_bytes), (input.len() as u64, 13));
    assert_eq!((summary.unsent_bytes, summary.close_reason), (0, TalkEnd::EndOfInput));
    assert!(summary.failure.is_none());
}

#[test]
fn line_endings_are_translated() {
    let (_, _, received) = run(b"a\r\nb\n", Eol::CrLf, |pair| pair.receive_all());
    assert_eq!(received, b"a\r\nb\r\n");
}

#[test]
fn silence_after_the_end_of_input_ends_the_pipe() {
    let (summary, output, pair) = run(b"hello", Eol::None, |pair| {
        pair.receive_all();
        pair.clock.advance(WAIT);
        pair
    });
    assert_eq!((summary.close_reason, output), (TalkEnd::EndOfInput, Vec::new()));
    drop(pair);
}

#[test]
fn input_that_the_peer_did_not_receive_is_counted() {
    let (peer, pair) = pair("unix");
    let (pipe, mut ends) = pipe(peer, pair.limit.clone(), Eol::None);
    drop(pair);
    ends.input.write_all(b"too late").unwrap();
    drop(ends.input);
    let summary = pipe.run().unwrap();
    assert_eq!((summary.close_reason, summary.unsent_bytes, summary.more_unsent), (TalkEnd::Peer, 8, false));
}

#[test]
fn stop_ends_a_pipe_whose_output_nobody_reads() {
    let (peer, pair) = pair("unix");
    let (pipe, ends) = pipe(peer, pair.limit.clone(), Eol::None);
    let server = thread::spawn(move || {
        pair.server.set_nonblocking(true).unwrap();
        // More than the buffers on the way hold, so that the pipe waits for its output.
        while pair.server.send(&[b'x'; 64 * 1024]).is_ok() {}
        pair.stop.stop();
        pair
    });
    let summary = pipe.run().unwrap();
    assert_eq!(summary.close_reason, TalkEnd::Stopped);
    drop((ends, server.join().unwrap()));
}
