#![no_main]

#[path = "../properties/in_flight.rs"]
mod in_flight;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| in_flight::holds(input));
