#![no_main]

#[path = "../properties/icmp.rs"]
mod icmp;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| icmp::holds(input));
