//! libFuzzer for [`logrelay_fuzz::lines`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::lines::check(data));
