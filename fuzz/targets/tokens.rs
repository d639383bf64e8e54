//! libFuzzer for [`logrelay_fuzz::tokens`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::tokens::check(data));
