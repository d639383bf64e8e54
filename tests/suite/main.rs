//! The parts of logrelay against a real Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod hub;
mod mirror;
mod outage;
mod pool;
mod resume;
mod serve;
mod server;
mod subscribe;
mod support;
mod tail;
mod tailing;
