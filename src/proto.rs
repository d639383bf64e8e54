//! The messages and the client of the contract, generated from
//! `proto/logrelay/v1/logrelay.proto`, where every field is described.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

use std::time::Duration;

pub mod codec;

tonic::include_proto!("logrelay.v1");

/// The contract as a compiled descriptor set, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Key of `SubscribeResponse.batch`, length-delimited.
pub const BATCH_KEY: u8 = 2 << 3 | 2;

/// A duration of the contract; none where it is none, as it is negative or has a billion nanoseconds
/// and more. The library makes durations of these, and panics of some.
pub fn duration(duration: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(duration.seconds).ok()?, nanos))
}
