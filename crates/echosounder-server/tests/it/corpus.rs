//! Replays the corpus of the fuzzer. The properties are links into `fuzz/`, so that this crate can
//! be packaged without the corpus.

#[path = "properties/network.rs"]
mod network;
#[path = "properties/replay.rs"]
mod replay;
#[path = "properties/script.rs"]
#[expect(dead_code, reason = "other properties use the rest")]
mod script;

#[test]
fn network_corpus_satisfies_the_properties() {
    replay::replay("network", network::holds);
}
