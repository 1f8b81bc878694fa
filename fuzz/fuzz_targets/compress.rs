#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coldcase_fuzz::compression(bytes));
