//! libFuzzer for [`logrelay_fuzz::values`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::values::check(data));
