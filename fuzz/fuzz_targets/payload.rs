#![no_main]

#[path = "../properties/payload.rs"]
mod payload;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| payload::holds(input));
