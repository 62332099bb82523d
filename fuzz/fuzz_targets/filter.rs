#![no_main]

#[path = "../properties/filter.rs"]
mod filter;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| filter::holds(input));
