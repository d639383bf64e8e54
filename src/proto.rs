//! The messages and the client of the contract, generated from
//! `proto/logrelay/v1/logrelay.proto`, where every field is described.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]

pub mod codec;

tonic::include_proto!("logrelay.v1");

/// The contract as a compiled descriptor set, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
