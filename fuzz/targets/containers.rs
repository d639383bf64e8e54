//! libFuzzer for [`logrelay_fuzz::containers`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::containers::check(data));
