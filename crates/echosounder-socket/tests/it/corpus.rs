//! Replays the fuzzing corpus. The properties are symbolic links into `fuzz/`, so that this crate
//! can be packaged; the corpus is not packaged.

#[path = "properties/address.rs"]
mod address;
#[path = "properties/control.rs"]
mod control;
#[path = "properties/endpoint.rs"]
mod endpoint;
#[path = "properties/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn address_corpus_satisfies_the_properties() {
    replay("address", address::holds);
}

#[test]
fn control_corpus_satisfies_the_properties() {
    replay("control", control::holds);
}

#[test]
fn endpoint_corpus_satisfies_the_properties() {
    replay("endpoint", endpoint::holds);
}
