//! Consecutive lines of one source, in the bytes that are stored and sent.
//!
//! A stored batch is the part of the message `logrelay.v1.Batch` that the tailer
//! writes: fields 8 and up, ascending. A relay puts fields 1 to 6 before it, and
//! the two are one legal message, because protobuf fields may be concatenated.
//! So lines are encoded once, by [`BatchBuilder`], and never again.

mod builder;
mod encoded;

use std::ops::Range;

use bytes::{BufMut, Bytes};
use prost::Message as _;

pub use self::{
    builder::{BatchBuilder, Labels, NewLine, SealedBatch},
    encoded::{EncodedLines, EncodingError, LineBounds},
};
use crate::proto;

/// Key of field 15 (`lines`), length-delimited, as one byte.
const LINES_KEY: u8 = 15 << 3 | 2;
/// Keys of the other stored fields.
const SOURCE_KEY: u8 = 8 << 3 | 2;
const START_POSITION_KEY: u8 = 9 << 3;
const END_POSITION_KEY: u8 = 10 << 3;
const FIRST_LINE_KEY: u8 = 11 << 3;
const POSITION_UNIT_KEY: u8 = 12 << 3;
/// Keys inside a `Line`.
const CONTENT_KEY: u8 = 1 << 3 | 2;
const TRUNCATED_KEY: u8 = 2 << 3;
const LINE_TIME_KEY: u8 = 3 << 3 | 1;
const LINE_LABELS_KEY: u8 = 4 << 3 | 2;

/// Why bytes from Redis are no stored batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// It ends in the middle of a field, or a field is malformed.
    #[error("the stored batch is malformed at byte {0}")]
    Malformed(usize),
    /// A field that only a relay may write, or one that is unknown.
    #[error("the stored batch has a field {0}, which is not for it")]
    ForeignField(u64),
    /// Its fields are not ascending.
    #[error("the stored batch's fields are out of order at byte {0}")]
    Order(usize),
    /// A text in it is not UTF-8, or its head is otherwise wrong.
    #[error("the stored batch's head: {0}")]
    Head(String),
    /// It has more or fewer lines than its entry says.
    #[error("the stored batch has {found} lines, its entry says {expected}")]
    LineCount {
        /// The number in the entry.
        expected: u32,
        /// The number in the batch.
        found: usize,
    },
    /// It is too large to be addressed.
    #[error("the stored batch has {0} bytes, which is more than 4 GiB")]
    TooLarge(usize),
}

/// A stored batch that was checked once: its bytes, and where each line is.
#[derive(Debug, Clone)]
pub struct StoredBatch {
    stored: Bytes,
    /// The head, decoded: everything but the lines.
    head: Box<proto::Batch>,
    /// Where each line's field begins, and the end of the last one.
    bounds: Vec<u32>,
}

/// One line inside a stored batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineView<'a> {
    /// The line's bytes without its ending.
    pub content: &'a [u8],
    /// How many bytes were cut off.
    pub truncated_bytes: u64,
    /// Its own time in nanoseconds since 1970; 0: it has none.
    pub time_unix_nano: u64,
    /// Its encoded fields from the first label on; empty: it has none.
    encoded_labels: &'a [u8],
}

impl LineView<'_> {
    /// Its own labels.
    pub fn labels(&self) -> Labels {
        // Most lines have none.
        if self.encoded_labels.is_empty() {
            return Labels::new();
        }
        proto::Line::decode(self.encoded_labels).map(|line| line.labels).unwrap_or_default()
    }
}

impl StoredBatch {
    /// Checks stored bytes: only fields from 8 on, ascending, texts in UTF-8, and
    /// `lines` lines.
    ///
    /// # Errors
    /// [`BatchError`].
    pub fn parse(stored: Bytes, lines: u32) -> Result<Self, BatchError> {
        if u32::try_from(stored.len()).is_err() {
            return Err(BatchError::TooLarge(stored.len()));
        }
        let head_end = head_end(&stored)?;
        let head =
            proto::Batch::decode(stored.slice(..head_end)).map_err(|e| BatchError::Head(e.to_string()))?;
        // A number that is wrong must not take memory: no line has less than two bytes.
        let most_lines = (stored.len() - head_end) / 2;
        let mut bounds = Vec::with_capacity(most_lines.min(lines as usize) + 1);
        let mut at = head_end;
        while at < stored.len() {
            bounds.push(at_u32(at));
            if stored[at] != LINES_KEY {
                return Err(BatchError::Order(at));
            }
            let (body, end) = delimited(&stored, at + 1)?;
            check_line(&stored[body.clone()]).ok_or(BatchError::Malformed(body.start))?;
            at = end;
        }
        if bounds.len() != lines as usize {
            return Err(BatchError::LineCount { expected: lines, found: bounds.len() });
        }
        bounds.push(at_u32(at));
        Ok(Self { stored, head: Box::new(head), bounds })
    }

    /// The whole of the stored bytes.
    pub fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// Everything but the lines; the relay's own fields are unset.
    pub fn head(&self) -> &proto::Batch {
        &self.head
    }

    /// How many lines.
    pub fn lines(&self) -> u32 {
        at_u32(self.bounds.len() - 1)
    }

    /// The stored bytes of the head alone.
    pub fn head_bytes(&self) -> Bytes {
        self.stored.slice(..self.bounds[0] as usize)
    }

    /// The stored bytes of these lines, each with its field key. A range past the
    /// last line is cut to it.
    pub fn line_bytes(&self, lines: Range<u32>) -> Bytes {
        let last = self.lines();
        let (from, to) = (lines.start.min(last), lines.end.min(last));
        self.stored.slice(self.bounds[from as usize] as usize..self.bounds[to.max(from) as usize] as usize)
    }

    /// Where the field of a line begins in the stored bytes; of the one behind the last line, where
    /// they end.
    pub fn begin_of(&self, index: u32) -> Option<usize> {
        self.bounds.get(index as usize).map(|&begin| begin as usize)
    }

    /// The place of the line whose field holds this byte of the stored ones; the first line for
    /// those before it, and the last one for those behind it.
    pub fn line_with(&self, byte: usize) -> u32 {
        let before = self.bounds.partition_point(|&begin| begin as usize <= byte);
        at_u32(before.saturating_sub(1)).min(self.lines().saturating_sub(1))
    }

    /// One line, by its place in the batch.
    pub fn line(&self, index: u32) -> Option<LineView<'_>> {
        let begin = *self.bounds.get(index as usize)? as usize;
        let end = *self.bounds.get(index as usize + 1)? as usize;
        let (body, _) = delimited(&self.stored[..end], begin + 1).ok()?;
        view_line(&self.stored[body])
    }

    /// The same line decoded, with all of its fields.
    pub fn decoded_line(&self, index: u32) -> Option<proto::Line> {
        let bytes = self.line_bytes(index..index.checked_add(1)?);
        let (body, _) = delimited(&bytes, 1).ok()?;
        proto::Line::decode(bytes.slice(body)).ok()
    }
}

fn at_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Where the lines begin. Checks that everything before is of fields 8 to 12,
/// ascending.
fn head_end(stored: &[u8]) -> Result<usize, BatchError> {
    let (mut at, mut before) = (0, 0);
    while at < stored.len() && stored[at] != LINES_KEY {
        let field = u64::from(stored[at] >> 3);
        if stored[at] >= 0x80 || !(8..=12).contains(&field) {
            let (key, _) = varint(stored, at).ok_or(BatchError::Malformed(at))?;
            return Err(BatchError::ForeignField(key >> 3));
        }
        if field <= before {
            return Err(BatchError::Order(at));
        }
        before = field;
        at = match stored[at] & 7 {
            0 => varint(stored, at + 1).ok_or(BatchError::Malformed(at))?.1,
            2 => delimited(stored, at + 1)?.1,
            _ => return Err(BatchError::Malformed(at)),
        };
    }
    Ok(at)
}

/// Walks over one `Line`; none when it is malformed or its labels are not UTF-8.
fn check_line(body: &[u8]) -> Option<LineView<'_>> {
    let line = view_line(body)?;
    // Rare, so that decoding it for its check costs nothing that counts.
    if !line.encoded_labels.is_empty() {
        proto::Line::decode(line.encoded_labels).ok()?;
    }
    Some(line)
}

/// The same for one that was checked.
fn view_line(body: &[u8]) -> Option<LineView<'_>> {
    let mut line = LineView::default();
    let mut at = 0;
    while at < body.len() {
        at = match body[at] {
            CONTENT_KEY => {
                let (content, end) = delimited(body, at + 1).ok()?;
                line.content = &body[content];
                end
            }
            TRUNCATED_KEY => {
                let (number, end) = varint(body, at + 1)?;
                line.truncated_bytes = number;
                end
            }
            LINE_TIME_KEY => {
                let (time, _) = body[at + 1..].split_first_chunk()?;
                line.time_unix_nano = u64::from_le_bytes(*time);
                at + 9
            }
            LINE_LABELS_KEY => {
                if line.encoded_labels.is_empty() {
                    line.encoded_labels = &body[at..];
                }
                delimited(body, at + 1).ok()?.1
            }
            _ => return None,
        };
    }
    Some(line)
}

/// A length and as many bytes: where they are, and where the next field begins.
fn delimited(bytes: &[u8], at: usize) -> Result<(Range<usize>, usize), BatchError> {
    let (len, begin) = varint(bytes, at).ok_or(BatchError::Malformed(at))?;
    let end = usize::try_from(len).ok().and_then(|len| begin.checked_add(len));
    match end.filter(|&end| end <= bytes.len()) {
        Some(end) => Ok((begin..end, end)),
        None => Err(BatchError::Malformed(at)),
    }
}

/// A base-128 number and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut number = 0;
    for (index, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        // The tenth byte holds the one bit that is left of 64.
        if index == 9 && byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((number, at + index + 1));
        }
    }
    None
}

fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(buffer: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        buffer.put_u8(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    buffer.put_u8(u8::try_from(number).unwrap_or(0));
}

#[cfg(test)]
mod tests;
