#![no_main]

#[path = "../properties/network.rs"]
mod network;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| network::holds(input));
