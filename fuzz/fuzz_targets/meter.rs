#![no_main]

#[path = "../properties/meter.rs"]
mod meter;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| meter::holds(input));
