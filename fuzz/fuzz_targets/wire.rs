#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tablelift_fuzz::wire::run(data));
