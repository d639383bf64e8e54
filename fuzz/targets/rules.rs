//! libFuzzer for [`logrelay_fuzz::rules`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::rules::check(data));
