//! A line in the making. Pure.

use std::time::Instant;

use super::container::Stream;
use crate::record::{Labels, NewLine};

/// A line that may grow before it is published.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) stream: Stream,
    /// Whether the rule for joining applies to it.
    pub(super) joins: bool,
    pub(super) content: Vec<u8>,
    pub(super) truncated_bytes: u64,
    pub(super) time_unix_nano: u64,
    /// All its labels, where it has more than the one of its stream.
    pub(super) labels: Option<Labels>,
    /// The file positions before its first line and after its last one.
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Of how many lines it is made.
    pub(super) lines: u32,
    /// When the last of these was read.
    pub(super) grown_at: Instant,
}

impl Draft {
    /// Puts a line behind it.
    pub(super) fn join(&mut self, line: &Self) {
        self.content.push(b'\n');
        self.content.extend_from_slice(&line.content);
        self.truncated_bytes += line.truncated_bytes;
        self.grow(line);
    }

    /// Puts the next part of the same line behind it.
    pub(super) fn go_on(&mut self, part: &Self, max_line_bytes: usize) {
        // Once something was cut off, so is all that follows.
        let room =
            if self.truncated_bytes > 0 { 0 } else { max_line_bytes.saturating_sub(self.content.len()) };
        let kept = part.content.len().min(room);
        self.content.extend_from_slice(&part.content[..kept]);
        self.truncated_bytes += part.truncated_bytes + (part.content.len() - kept) as u64;
        self.grow(part);
    }

    fn grow(&mut self, with: &Self) {
        self.end = with.end;
        self.lines += with.lines;
        self.grown_at = with.grown_at;
    }

    pub(super) fn line(&self) -> NewLine<'_> {
        NewLine {
            content: &self.content,
            truncated_bytes: self.truncated_bytes,
            time_unix_nano: self.time_unix_nano,
            labels: self.labels.as_ref().or_else(|| self.stream.labels()),
        }
    }
}
