//! logrelay carries log lines from files to any number of live readers, through a
//! Redis, every line once. The life of a line, room by room:
//!
//! 1. [`tail`] finds files, knows each by its content, and cuts bytes into lines;
//! 2. [`publish`] groups the lines of a source into batches and appends them;
//! 3. [`store`] is the only room that speaks Redis: one batch is one stream entry,
//!    and the source's position is stored in the same atomic step;
//! 4. [`hub`] reads each topic from Redis once, however many readers it has;
//! 5. [`serve`] sends batches to subscribers over gRPC, each with the cursor from
//!    which to go on;
//! 6. [`client`] subscribes, and resumes after a disconnect on any relay.
//!
//! [`record`] has the values that travel through all of them, [`proto`] the contract
//! on the wire, [`access`] who may do what, [`files`] how files of settings are read, [`retry`] the delays. [`cli`]
//! puts the rooms together, as [`config`] says; [`telemetry`] is what they report.

pub mod access;
pub mod cli;
pub mod client;
pub mod config;
pub mod files;
pub mod hub;
pub mod proto;
pub mod publish;
pub mod record;
pub mod retry;
pub mod serve;
pub mod store;
pub mod tail;
pub mod telemetry;
