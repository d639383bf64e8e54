//! libFuzzer for [`logrelay_fuzz::batch`].

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| logrelay_fuzz::batch::check(data));
