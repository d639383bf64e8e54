//! What a process says of itself: logs on standard error, metrics over HTTP.
//!
//! Data never goes there, and nothing here goes to standard output.

mod logs;
mod metrics;

pub use self::{
    logs::{LogFormat, LogLevel, LogLevelError, Logs, Terminal, start_logs},
    metrics::{MetricsError, MetricsListener, metrics_text},
};
