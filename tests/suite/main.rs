//! The parts of logrelay against a real Redis.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod append;
mod deploy;
mod epochs;
mod failover;
mod half_open;
mod lost_replies;
mod outage;
mod paging;
mod pool;
mod proxy;
mod server;
mod spine;
mod subscribe;
mod support;
mod tail;
mod tailing;
mod takeover;
mod writing;
