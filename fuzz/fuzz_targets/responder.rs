#![no_main]

#[path = "../properties/responder.rs"]
mod responder;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| responder::holds(input));
