//! The parts of logrelay against a real Redis.

mod pool;
mod server;
mod support;
