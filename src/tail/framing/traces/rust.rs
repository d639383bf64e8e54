//! `thread 'main' panicked at …`, its message, its backtrace and the note.

use super::{Verdict, contains, is_indented};

/// How far a stack trace has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tail::framing) enum At {
    /// At the line that names the thread; the message follows.
    Thread,
    /// In the message, which may have more lines.
    Message,
    Backtrace,
    Note,
}

impl At {
    pub(super) fn begin(line: &[u8]) -> Option<Self> {
        if !line.starts_with(b"thread '") || !contains(line, " panicked at ") {
            return None;
        }
        // Up to Rust 1.72 the message stands before the place, in the same line.
        Some(if line.ends_with(b":") { Self::Thread } else { Self::Message })
    }

    pub(super) fn next(self, line: &[u8]) -> Option<(Verdict, Self)> {
        if Self::begin(line).is_some() {
            return None;
        }
        let is_note = line.starts_with(b"note: ");
        match self {
            Self::Thread => Some((Verdict::Joins, Self::Message)),
            Self::Message if line == b"stack backtrace:" => Some((Verdict::Joins, Self::Backtrace)),
            Self::Message | Self::Backtrace if is_note => Some((Verdict::Joins, Self::Note)),
            Self::Message if is_indented(line) => Some((Verdict::Joins, Self::Message)),
            Self::Message => Some((Verdict::MayJoin, Self::Message)),
            Self::Backtrace if is_indented(line) => Some((Verdict::Joins, Self::Backtrace)),
            Self::Backtrace | Self::Note => None,
        }
    }
}
