#![no_main]

#[path = "../properties/prober.rs"]
mod prober;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| prober::holds(input));
