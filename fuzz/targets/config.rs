//! libFuzzer for [`logrelay_fuzz::config`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::config::check(data));
