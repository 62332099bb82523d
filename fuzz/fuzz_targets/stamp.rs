#![no_main]

#[path = "../properties/stamp.rs"]
mod stamp;

libfuzzer_sys::fuzz_target!(|input: &[u8]| stamp::holds(input));
