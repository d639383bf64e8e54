//! The parts of logrelay against a real Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod advice;
mod append;
mod copytruncate;
mod deploy;
mod epochs;
mod failover;
mod half_open;
mod hub;
mod identity;
mod lost_replies;
mod mirror;
mod outage;
mod packed_siblings;
mod packing;
mod paging;
mod pool;
mod promoted_writers;
mod promotion;
mod proxy;
mod resume;
mod rotated_away;
mod rotation;
mod serve;
mod server;
mod silence;
mod spine;
mod subscribe;
mod support;
mod tail;
mod tailing;
mod writing;
