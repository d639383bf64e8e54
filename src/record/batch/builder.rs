//! Encodes a batch, line by line.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::{
    CONTENT_KEY, END_POSITION_KEY, FIRST_LINE_KEY, LINE_LABELS_KEY, LINE_TIME_KEY, LINES_KEY,
    POSITION_UNIT_KEY, SOURCE_KEY, START_POSITION_KEY, TRUNCATED_KEY, put_varint, varint_len,
};
use crate::proto;

/// Keys inside an entry of a map.
const MAP_KEY_KEY: u8 = 1 << 3 | 2;
const MAP_VALUE_KEY: u8 = 2 << 3 | 2;

/// What a line carries besides its content.
pub type Labels = BTreeMap<String, String>;

/// A line as it goes into a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewLine<'a> {
    /// Its bytes without the line ending.
    pub content: &'a [u8],
    /// How many bytes were cut off.
    pub truncated_bytes: u64,
    /// Its own time in nanoseconds since 1970; 0: it has none.
    pub time_unix_nano: u64,
    /// Its own labels; none: it has none.
    pub labels: Option<&'a Labels>,
}

/// Builds the stored bytes of a batch, line by line, without a copy of its own:
/// room for the head is left in front and filled in when the batch is sealed.
#[derive(Debug)]
pub struct BatchBuilder {
    source: Bytes,
    headroom: usize,
    buffer: BytesMut,
    start_position: u64,
    unit: proto::PositionUnit,
    first_line: u64,
    lines: u32,
    /// The size of the batch before: the next one will be as large.
    expected_bytes: usize,
}

/// A finished batch: the stored bytes, and what the append has to know of it.
#[derive(Debug, Clone)]
pub struct SealedBatch {
    /// Fields 8 and up of `logrelay.v1.Batch`.
    pub stored: Bytes,
    /// The same, packed by zstd; none: it is kept as it is.
    pub packed: Option<Bytes>,
    /// How many lines; at least one.
    pub lines: u32,
    /// The number of the line after the last one.
    pub next_line: u64,
    /// Where the source stands after it.
    pub end_position: u64,
}

impl BatchBuilder {
    /// An empty batch of `source`, whose first line has the number `first_line`
    /// and begins at `start_position` (in bytes of the file).
    pub fn new(source: &proto::Source, start_position: u64, first_line: u64) -> Self {
        let source = Bytes::from(source.encode_to_vec());
        Self::with_encoded_source(source, start_position, first_line, proto::PositionUnit::Bytes)
    }

    /// An empty batch of a producer, whose first line has the number `sequence`.
    pub fn of_producer(source: &proto::Source, sequence: u64) -> Self {
        let source = Bytes::from(source.encode_to_vec());
        Self::with_encoded_source(source, sequence, sequence, proto::PositionUnit::Sequence)
    }

    fn with_encoded_source(
        source: Bytes,
        start_position: u64,
        first_line: u64,
        unit: proto::PositionUnit,
    ) -> Self {
        // Three numbers of at most ten bytes and a unit, each with its key byte.
        let headroom = 1 + varint_len(source.len() as u64) + source.len() + 3 * 11 + 2;
        let buffer = BytesMut::new();
        Self { source, headroom, buffer, start_position, unit, first_line, lines: 0, expected_bytes: 0 }
    }

    /// Makes room for a line: with the first one for all, but not before, as idle sources hold
    /// nothing.
    fn reserve(&mut self, line_bytes: usize) {
        if self.is_empty() {
            self.buffer.reserve(self.expected_bytes.max(self.headroom + line_bytes));
            self.buffer.put_bytes(0, self.headroom);
        } else {
            self.buffer.reserve(line_bytes);
        }
    }

    /// Adds a line that has neither a time nor labels: its content without the line
    /// ending, and how many bytes were cut off its end.
    pub fn push(&mut self, content: &[u8], truncated_bytes: u64) {
        self.put(content, truncated_bytes, 0);
    }

    /// Adds a line.
    pub fn push_line(&mut self, line: &NewLine<'_>) {
        let time_len = if line.time_unix_nano == 0 { 0 } else { 9 };
        let labels = line.labels.into_iter().flatten();
        let labels_len: usize = labels.clone().map(|label| field_len(label_len(label))).sum();
        self.put(line.content, line.truncated_bytes, time_len + labels_len);
        if time_len > 0 {
            self.buffer.put_u8(LINE_TIME_KEY);
            self.buffer.put_u64_le(line.time_unix_nano);
        }
        for label in labels {
            self.buffer.put_u8(LINE_LABELS_KEY);
            put_varint(&mut self.buffer, label_len(label) as u64);
            for (key, text) in [(MAP_KEY_KEY, label.0), (MAP_VALUE_KEY, label.1)] {
                if !text.is_empty() {
                    self.buffer.put_u8(key);
                    put_varint(&mut self.buffer, text.len() as u64);
                    self.buffer.put_slice(text.as_bytes());
                }
            }
        }
    }

    /// Adds a line that is encoded already, as [`EncodedLines`](super::EncodedLines) has it.
    pub fn push_encoded(&mut self, line: &[u8]) {
        self.reserve(line.len() + 11);
        self.buffer.put_u8(LINES_KEY);
        put_varint(&mut self.buffer, line.len() as u64);
        self.buffer.put_slice(line);
        self.lines += 1;
    }

    /// Begins a line; `more_len` bytes of other fields have to follow.
    fn put(&mut self, content: &[u8], truncated_bytes: u64, more_len: usize) {
        let content_len = text_len(content.len());
        let truncated_len = match truncated_bytes {
            0 => 0,
            number => 1 + varint_len(number),
        };
        let line_len = content_len + truncated_len + more_len;
        self.reserve(line_len + 11);
        // The keys and lengths before the content go in by one copy.
        let mut head = [0; 2 * 11];
        let mut rest = &mut head[..];
        rest.put_u8(LINES_KEY);
        put_varint(&mut rest, line_len as u64);
        if content_len > 0 {
            rest.put_u8(CONTENT_KEY);
            put_varint(&mut rest, content.len() as u64);
        }
        let head_len = 2 * 11 - rest.len();
        self.buffer.put_slice(&head[..head_len]);
        self.buffer.put_slice(content);
        if truncated_len > 0 {
            self.buffer.put_u8(TRUNCATED_KEY);
            put_varint(&mut self.buffer, truncated_bytes);
        }
        self.lines += 1;
    }

    /// How many lines are in it.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Its size in bytes, nearly: the encoded lines.
    pub fn bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.headroom)
    }

    /// Whether there is no line in it.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Takes the batch out and begins the next one at `end_position`. None when
    /// there is no line in it.
    pub fn seal(&mut self, end_position: u64) -> Option<SealedBatch> {
        if self.is_empty() {
            return None;
        }
        let next_line = self.first_line + u64::from(self.lines);
        let mut fresh = Self::with_encoded_source(self.source.clone(), end_position, next_line, self.unit);
        fresh.expected_bytes = self.buffer.len();
        let full = std::mem::replace(self, fresh);
        let head = full.head(end_position);
        let Self { mut buffer, headroom, lines, .. } = full;
        let begin = headroom - head.len();
        buffer[begin..headroom].copy_from_slice(&head);
        let stored = buffer.freeze().slice(begin..);
        Some(SealedBatch { stored, packed: None, lines, next_line, end_position })
    }

    fn head(&self, end_position: u64) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.headroom);
        head.put_u8(SOURCE_KEY);
        put_varint(&mut head, self.source.len() as u64);
        head.put_slice(&self.source);
        let numbers = [
            (START_POSITION_KEY, self.start_position),
            (END_POSITION_KEY, end_position),
            (FIRST_LINE_KEY, self.first_line),
            (POSITION_UNIT_KEY, self.unit as u64),
        ];
        for (key, number) in numbers {
            // The default is not written, as prost does not write it.
            if number != 0 {
                head.put_u8(key);
                put_varint(&mut head, number);
            }
        }
        head
    }
}

/// The size of a field of `len` bytes with its key and length.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// The same for a text, which is left out where it is empty.
fn text_len(len: usize) -> usize {
    if len == 0 { 0 } else { field_len(len) }
}

fn label_len((name, value): (&String, &String)) -> usize {
    text_len(name.len()) + text_len(value.len())
}
