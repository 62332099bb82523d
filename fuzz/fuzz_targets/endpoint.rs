#![no_main]

#[path = "../properties/endpoint.rs"]
mod endpoint;

libfuzzer_sys::fuzz_target!(|input: &[u8]| endpoint::holds(input));
