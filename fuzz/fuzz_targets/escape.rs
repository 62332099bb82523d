#![no_main]

// The program is no library, so its modules are included.
#[path = "../../crates/echosounder/src/render/escape.rs"]
mod escape;
#[path = "../properties/escape.rs"]
mod properties;
#[path = "../properties/script.rs"]
mod script;
#[path = "../../crates/echosounder/src/render/terminal_text.rs"]
mod terminal_text;

libfuzzer_sys::fuzz_target!(|input: &[u8]| properties::holds(input));
