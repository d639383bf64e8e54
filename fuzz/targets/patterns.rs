//! libFuzzer for [`logrelay_fuzz::patterns`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::patterns::check(data));
