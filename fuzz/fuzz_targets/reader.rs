#![no_main]

#[path = "../properties/reader.rs"]
mod reader;
#[path = "../properties/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|input: &[u8]| reader::holds(input));
