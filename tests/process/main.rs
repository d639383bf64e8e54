//! The built binary, and readers in other languages, as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod every_language;
#[path = "../../examples/demo/processes.rs"]
#[allow(dead_code, reason = "what the demo and the tests need of a process is not the same")]
mod processes;
mod python;
