#![no_main]

#[path = "../properties/framing.rs"]
mod framing;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| framing::holds(input));
