//! libFuzzer for [`logrelay_fuzz::framing`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::framing::check(data));
