#![no_main]

#[path = "../properties/stamp_tlv.rs"]
mod stamp_tlv;

libfuzzer_sys::fuzz_target!(|input: &[u8]| stamp_tlv::holds(input));
