#![no_main]

#[path = "../properties/script.rs"]
mod script;
#[path = "../properties/stamp_reply.rs"]
mod stamp_reply;

libfuzzer_sys::fuzz_target!(|input: &[u8]| stamp_reply::holds(input));
