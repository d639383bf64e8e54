//! The built binary, and readers in other languages, as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod access;
mod administer;
mod bad_input;
mod contract;
mod dev;
mod docs;
mod durable;
mod foreign;
mod fronted;
mod full_disk;
mod globs;
mod growth;
mod host;
mod hostile;
mod inputs;
mod killed_relay;
mod killed_subscriber;
mod killed_tailer;
mod make;
mod million;
mod numbered;
mod process;
mod publishing;
mod python;
mod reading;
mod relay;
mod reload;
mod rolling_restart;
mod slow_reader;
mod status;
mod stopped_tailer;
mod systemd;
mod tailer_metrics;

/// What the suite has for every test against a real Redis.
#[path = "../suite"]
mod suite {
    pub(crate) mod support;
}
