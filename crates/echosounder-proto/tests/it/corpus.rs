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
fn timestamp_corpus_satisfies_the_properties() {
    replay("timestamp", timestamp::holds);
}

#[test]
fn reader_corpus_satisfies_the_properties() {
    replay("reader", reader::holds);
}

#[test]
fn responder_corpus_satisfies_the_properties() {
    replay("responder", responder::holds);
}
