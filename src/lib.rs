//! logrelay carries log lines from files to any number of live readers.

pub mod hub;
pub mod proto;
pub mod publish;
pub mod record;
pub mod retry;
pub mod store;
