//! Replays the corpus of the fuzzer. The properties are links into `fuzz/`, so that this crate can
//! be packaged without the corpus.

#[path = "properties/escape.rs"]
mod properties;
#[path = "properties/replay.rs"]
mod replay;
#[path = "properties/script.rs"]
#[expect(dead_code, reason = "other properties use the rest")]
mod script;

use super::{escape, terminal_text};

#[test]
fn escape_corpus_satisfies_the_properties() {
    replay::replay("escape", properties::holds);
}
