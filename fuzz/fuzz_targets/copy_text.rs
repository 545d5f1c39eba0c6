#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tablelift_fuzz::copy_text::run(data));
