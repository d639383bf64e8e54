//! ① From files to lines: finds files, notices changes, cuts bytes into lines.

pub mod discover;
pub mod lines;
pub mod watcher;
