#![no_main]

#[path = "../properties/timestamp.rs"]
mod timestamp;

libfuzzer_sys::fuzz_target!(|input: &[u8]| timestamp::holds(input));
