//! The bytes of a file as lines, whatever they are encoded in. Pure.

use super::utf16::{ByteOrder, Utf16Lines};
use crate::tail::{
    input::Encoding,
    lines::{Cut, Lines},
};

/// Cuts lines in one encoding.
#[derive(Debug)]
pub(super) enum Cutter {
    Raw(Lines),
    Utf16(Utf16Lines),
}

impl Cutter {
    /// Lines from `position` on; `head` are the first bytes of the file, none past the
    /// position.
    pub(super) fn new(encoding: Encoding, max_line_bytes: usize, position: u64, head: &[u8]) -> Self {
        let order = match encoding {
            Encoding::Raw => return Self::Raw(Lines::new(position, max_line_bytes)),
            Encoding::Utf16 | Encoding::Utf16Le => ByteOrder::Little,
            Encoding::Utf16Be => ByteOrder::Big,
        };
        Self::Utf16(Utf16Lines::new(order, position, head, max_line_bytes))
    }

    pub(super) fn seek(&mut self, position: u64, head: &[u8]) {
        match self {
            Self::Raw(lines) => lines.seek(position),
            Self::Utf16(lines) => lines.seek(position, head),
        }
    }

    /// Whether nothing but the hole at the beginning of a file was read yet.
    pub(super) fn is_in_hole(&self) -> bool {
        matches!(self, Self::Raw(lines) if lines.is_in_hole())
    }

    /// Passes the hole up to `position`.
    pub(super) fn pass_hole(&mut self, position: u64) {
        if let Self::Raw(lines) = self {
            lines.pass_hole(position);
        }
    }

    pub(super) fn extend(&mut self, block: &[u8]) {
        match self {
            Self::Raw(lines) => lines.extend(block),
            Self::Utf16(lines) => lines.extend(block),
        }
    }

    /// The next complete line; `None` when more bytes are needed.
    pub(super) fn next_cut(&mut self) -> Option<Cut> {
        match self {
            Self::Raw(lines) => lines.next_cut(),
            Self::Utf16(lines) => lines.next_cut(),
        }
    }

    /// After all complete lines: the unfinished last one, if it has content.
    pub(super) fn partial_cut(&mut self) -> Option<Cut> {
        match self {
            Self::Raw(lines) => lines.finish_cut(),
            Self::Utf16(lines) => lines.partial_cut(),
        }
    }

    /// The same for a file that has come to its end: nothing is left of it.
    pub(super) fn finish_cut(&mut self) -> Option<Cut> {
        match self {
            Self::Raw(lines) => lines.finish_cut(),
            Self::Utf16(lines) => lines.finish_cut(),
        }
    }

    /// The content of the line that was cut last.
    pub(super) fn content(&self, cut: &Cut) -> &[u8] {
        match self {
            Self::Raw(lines) => lines.content(cut),
            Self::Utf16(lines) => lines.content(cut),
        }
    }

    /// Whether [`partial_cut`](Self::partial_cut) has something, once there are no more
    /// complete lines.
    pub(super) fn holds_partial(&self) -> bool {
        match self {
            Self::Raw(lines) => lines.held_back() > 0,
            Self::Utf16(lines) => lines.holds_partial(),
        }
    }

    /// The file position after the last line that was cut.
    pub(super) fn position(&self) -> u64 {
        match self {
            Self::Raw(lines) => lines.position(),
            Self::Utf16(lines) => lines.position(),
        }
    }

    /// The file position that the next block has to come from.
    pub(super) fn read_position(&self) -> u64 {
        match self {
            Self::Raw(lines) => lines.read_position(),
            Self::Utf16(lines) => lines.read_position(),
        }
    }

    pub(super) fn shrink(&mut self) {
        match self {
            Self::Raw(lines) => lines.shrink(),
            Self::Utf16(lines) => lines.shrink(),
        }
    }
}
