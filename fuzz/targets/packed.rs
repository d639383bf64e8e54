//! libFuzzer for [`logrelay_fuzz::packed`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::packed::check(data));
