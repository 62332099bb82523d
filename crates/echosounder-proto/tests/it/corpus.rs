//! Replays the corpus of the fuzzer. The properties are links into `fuzz/`, so that this crate can
//! be packaged without the corpus.

#[path = "properties/reader.rs"]
mod reader;
#[path = "properties/replay.rs"]
mod replay;
#[path = "properties/responder.rs"]
mod responder;
#[path = "properties/script.rs"]
mod script;
#[path = "properties/timestamp.rs"]
mod timestamp;

use replay::replay;

#[test]
fn the_laws_of_timestamps_hold_of_the_corpus() {
    replay("timestamp", timestamp::holds);
}

#[test]
fn the_laws_of_the_reader_hold_of_the_corpus() {
    replay("reader", reader::holds);
}

#[test]
fn the_laws_of_the_responder_hold_of_the_corpus() {
    replay("responder", responder::holds);
}
