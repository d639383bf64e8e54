//! The built binary, and readers in other languages, as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bad_input;
mod program;
mod python;
mod reading;
