#![no_main]

#[path = "../properties/script.rs"]
mod script;
#[path = "../properties/template.rs"]
mod template;

libfuzzer_sys::fuzz_target!(|input: &[u8]| template::holds(input));
