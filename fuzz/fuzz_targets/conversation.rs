#![no_main]

#[path = "../properties/conversation.rs"]
mod conversation;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| conversation::holds(input));
