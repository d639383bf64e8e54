//! logrelay carries log lines from files to any number of live readers.

pub mod cli;
pub mod client;
pub mod proto;
pub mod publish;
pub mod record;
pub mod retry;
pub mod store;
pub mod telemetry;
