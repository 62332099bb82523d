//! What the fuzzer has found worth keeping, tried again. The laws are links into `fuzz/`, so that this crate can be
//! packaged; its corpus is not packaged.

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
fn the_laws_of_addresses_hold_of_the_corpus() {
    replay("address", address::holds);
}

#[test]
fn the_laws_of_control_messages_hold_of_the_corpus() {
    replay("control", control::holds);
}

#[test]
fn the_laws_of_endpoints_hold_of_the_corpus() {
    replay("endpoint", endpoint::holds);
}
