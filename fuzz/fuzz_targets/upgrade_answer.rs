#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fwd_fuzz::properties::upgrade_answer(data));
