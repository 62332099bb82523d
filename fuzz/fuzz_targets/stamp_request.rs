#![no_main]

#[path = "../properties/script.rs"]
mod script;
#[path = "../properties/stamp_request.rs"]
mod stamp_request;

libfuzzer_sys::fuzz_target!(|input: &[u8]| stamp_request::holds(input));
