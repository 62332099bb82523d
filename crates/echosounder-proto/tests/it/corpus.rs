//! What the fuzzer has found worth keeping, tried again. The laws are links into `fuzz/`, so that this crate can be
//! packaged; its corpus is not packaged.

#[path = "properties/conversation.rs"]
mod conversation;
#[path = "properties/reader.rs"]
mod reader;
#[path = "properties/replay.rs"]
mod replay;
#[path = "properties/script.rs"]
mod script;
#[path = "properties/stamp.rs"]
mod stamp;

use replay::replay;

#[test]
fn the_laws_of_stamps_hold_of_the_corpus() {
    replay("stamp", stamp::holds);
}

#[test]
fn the_laws_of_the_reader_hold_of_the_corpus() {
    replay("reader", reader::holds);
}

#[test]
fn the_laws_of_the_conversation_hold_of_the_corpus() {
    replay("conversation", conversation::holds);
}
