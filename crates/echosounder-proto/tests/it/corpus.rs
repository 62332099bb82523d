//! What the fuzzer has found worth keeping, tried again.

#[path = "../../../../fuzz/properties/conversation.rs"]
mod conversation;
#[path = "../../../../fuzz/properties/reader.rs"]
mod reader;
#[path = "../../../../fuzz/properties/replay.rs"]
mod replay;
#[path = "../../../../fuzz/properties/script.rs"]
mod script;
#[path = "../../../../fuzz/properties/stamp.rs"]
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
