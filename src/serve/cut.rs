//! Cuts an entry into pieces that keep the bounds of a subscription. Pure.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::filter::{Filter, selected::Selected};
use crate::{record::Offset, store::Entry};

/// What the relay's prefix takes at most beside the names in it.
const PREFIX_BYTES: usize = 128;
/// What a line of a cut batch takes at most in the prefix: its offset delta.
const DELTA_BYTES: usize = 5;

/// The bounds of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Greatest number of lines.
    pub(super) lines: u32,
    /// Greatest size in bytes; a single line may be larger.
    pub(super) bytes: usize,
}

impl Bounds {
    /// The same, with messages of at most so many bytes.
    pub(super) fn at_most(self, bytes: usize) -> Self {
        Self { bytes: self.bytes.min(bytes), ..self }
    }
}

/// Some lines of an entry.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) entry: Arc<Entry>,
    /// What a filter has left of it; none: everything.
    selected: Option<Arc<Selected>>,
    /// Which of these; never empty.
    lines: Range<u32>,
}

impl Piece {
    /// The lines of an entry from an offset on that a filter wants; none where it wants
    /// none of them.
    pub(super) fn new(entry: Arc<Entry>, from: Offset, filter: Option<&Filter>) -> Option<Self> {
        let selected = filter.and_then(|filter| filter.select(&entry));
        let skipped = u32::try_from(from.since(entry.first)).unwrap_or(u32::MAX);
        let lines = match &selected {
            Some(selected) => {
                let start = selected.places().partition_point(|place| *place < skipped);
                u32::try_from(start).unwrap_or(u32::MAX)..selected.len()
            }
            None => skipped.min(entry.batch.lines().saturating_sub(1))..entry.batch.lines(),
        };
        (!lines.is_empty()).then_some(Self { entry, selected, lines })
    }

    /// How many lines are in it.
    pub(super) fn len(&self) -> u32 {
        self.lines.end - self.lines.start
    }

    /// Whether no line of the entry is left out.
    pub(super) fn is_whole(&self) -> bool {
        self.selected.is_none() && self.lines == (0..self.entry.batch.lines())
    }

    /// The places of its lines in the entry.
    pub(super) fn places(&self) -> Vec<u32> {
        match &self.selected {
            Some(selected) => selected.places()[self.lines.start as usize..self.lines.end as usize].to_vec(),
            None => self.lines.clone().collect(),
        }
    }

    /// Its lines as they are stored.
    pub(super) fn line_bytes(&self) -> Bytes {
        self.bytes_of(self.lines.clone())
    }

    /// The offset after its last line, and after what is left out behind that.
    pub(super) fn next(&self) -> Offset {
        let last = match &self.selected {
            Some(selected) if self.lines.end == selected.len() => self.entry.batch.lines(),
            Some(selected) => selected.places()[self.lines.end as usize - 1] + 1,
            None => self.lines.end,
        };
        self.entry.first.plus(u64::from(last))
    }

    fn bytes_of(&self, lines: Range<u32>) -> Bytes {
        match &self.selected {
            Some(selected) => selected.bytes(lines.start, lines.end),
            None => self.entry.batch.line_bytes(lines),
        }
    }

    /// Cuts off the first piece that keeps the bounds, of at least one line; what is
    /// left, if anything.
    pub(super) fn cut(mut self, topic_bytes: usize, bounds: Bounds) -> (Self, Option<Self>) {
        let Range { start, end } = self.lines;
        let limit = end.min(start.saturating_add(bounds.lines.max(1)));
        // Sizes grow with the number of lines: the last one that fits, by bisection.
        let (mut fits, mut too_large) = (start + 1, limit + 1);
        while too_large - fits > 1 {
            let middle = fits + (too_large - fits) / 2;
            if self.bytes(start..middle, topic_bytes) <= bounds.bytes {
                fits = middle;
            } else {
                too_large = middle;
            }
        }
        self.lines = start..fits;
        let rest = (fits < end).then(|| Self { lines: fits..end, ..self.clone() });
        (self, rest)
    }

    /// Cuts off the last piece that keeps the bounds, of at least one line; what is left before
    /// it, if anything.
    pub(super) fn cut_last(mut self, topic_bytes: usize, bounds: Bounds) -> (Option<Self>, Self) {
        let Range { start, end } = self.lines;
        // Sizes grow with the number of lines: the first one that fits, by bisection.
        let (mut low, mut high) = (start.max(end.saturating_sub(bounds.lines.max(1))), end - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bytes(middle..end, topic_bytes) <= bounds.bytes {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.lines = high..end;
        let rest = (start < high).then(|| Self { lines: start..high, ..self.clone() });
        (rest, self)
    }

    /// Those of its lines that are before an offset; none where there is none.
    pub(super) fn before(mut self, offset: Offset) -> Option<Self> {
        let place = u32::try_from(offset.since(self.entry.first)).unwrap_or(u32::MAX);
        let end = match &self.selected {
            Some(selected) => {
                u32::try_from(selected.places().partition_point(|other| *other < place)).unwrap_or(u32::MAX)
            }
            None => place,
        };
        self.lines.end = self.lines.end.min(end);
        (!self.lines.is_empty()).then_some(self)
    }

    /// The offset of its first line.
    pub(super) fn first(&self) -> Offset {
        let place = match &self.selected {
            Some(selected) => selected.places()[self.lines.start as usize],
            None => self.lines.start,
        };
        self.entry.first.plus(u64::from(place))
    }

    /// The greatest size of these lines as a message, in bytes.
    fn bytes(&self, lines: Range<u32>, topic_bytes: usize) -> usize {
        let batch = &self.entry.batch;
        let prefix = PREFIX_BYTES + 2 * topic_bytes;
        if self.selected.is_none() && lines == (0..batch.lines()) {
            return prefix + batch.stored().len();
        }
        let deltas = lines.len() * DELTA_BYTES;
        prefix + deltas + batch.head_bytes().len() + self.bytes_of(lines).len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut as _, BytesMut};
    use proptest::prelude::*;
    use prost::Message as _;

    use super::{
        super::frame::{Frame, Parts},
        *,
    };
    use crate::{
        proto,
        record::{BatchBuilder, Cursor, Epoch, StoredBatch, Topic},
    };

    fn entry(contents: &[Vec<u8>], first: u64) -> Arc<Entry> {
        let source = proto::Source { key: "h/1".to_owned(), path: "/a".to_owned(), ..Default::default() };
        let mut builder = BatchBuilder::new(&source, 100, 7);
        for content in contents {
            builder.push(content, 0);
        }
        let lines = u32::try_from(contents.len()).unwrap();
        let batch = StoredBatch::parse(builder.seal(900).unwrap().stored, lines).unwrap();
        let first = Offset::new(first).unwrap();
        Arc::new(Entry::new(first, Epoch::new(3), 1_700_000_000_123, batch))
    }

    fn decoded(frame: Frame) -> proto::Batch {
        let Frame::Batch(parts) = frame else { panic!("no batch") };
        let Parts { prefix, stored, lines, .. } = *parts;
        let mut bytes = BytesMut::new();
        for part in [prefix, stored, lines] {
            bytes.put(part);
        }
        proto::Batch::decode(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn pieces_are_legal_messages_that_hold_every_line_from_the_first_wanted_one(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
            first in 0..1_000_000_000_000_u64, skipped in any::<prop::sample::Index>(),
            max_lines in 1..50_u32, max_bytes in 0..4000_usize,
        ) {
            let topic: Topic = "app".parse().unwrap();
            let entry = entry(&contents, first);
            let skipped = skipped.index(contents.len());
            let bounds = Bounds { lines: max_lines, bytes: max_bytes };
            let mut rest = Piece::new(Arc::clone(&entry), entry.first.plus(skipped as u64), None);
            let mut next_line = skipped;
            while let Some(piece) = rest.take() {
                let (piece, left) = piece.cut(topic.as_str().len(), bounds);
                let cursor = Cursor { topic: topic.clone(), epoch: entry.epoch, offset: piece.next() };
                let frame = Frame::batch(&piece, &cursor);
                let size = frame.batch_bytes();
                let batch = decoded(frame);
                let count = batch.lines.len();
                prop_assert!(count == 1 || (count <= max_lines as usize && size <= max_bytes));
                let places: Vec<u32> = if count == contents.len() {
                    prop_assert!(batch.offset_deltas.is_empty());
                    (0..u32::try_from(count).unwrap()).collect()
                } else {
                    batch.offset_deltas.clone()
                };
                let expected = proto::Batch {
                    topic: "app".to_owned(),
                    epoch: entry.epoch.to_string(),
                    base_offset: first,
                    next_cursor: cursor.to_string(),
                    time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 123_000_000 }),
                    offset_deltas: batch.offset_deltas.clone(),
                    lines: batch.lines.clone(),
                    ..entry.batch.head().clone()
                };
                prop_assert_eq!(&batch, &expected);
                for (place, line) in places.iter().zip(&batch.lines) {
                    prop_assert_eq!(*place as usize, next_line);
                    prop_assert_eq!(&line.content[..], &contents[next_line][..]);
                    next_line += 1;
                }
                prop_assert_eq!(cursor.offset.get(), first + next_line as u64);
                rest = left;
            }
            prop_assert_eq!(next_line, contents.len());
        }

        #[test]
        fn pieces_from_the_end_hold_every_line_before_an_offset_and_keep_the_bounds(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..40),
            wanted in any::<prop::sample::Index>(), max_lines in 1..50_u32, max_bytes in 0..4000_usize,
        ) {
            let entry = entry(&contents, 1000);
            let bounds = Bounds { lines: max_lines, bytes: max_bytes };
            let mut end = wanted.index(contents.len() + 1);
            let whole = Piece::new(Arc::clone(&entry), entry.first, None).unwrap();
            let mut rest = whole.before(entry.first.plus(end as u64));
            while let Some(piece) = rest.take() {
                let (left, piece) = piece.cut_last(3, bounds);
                let offset = piece.next();
                prop_assert_eq!(offset, entry.first.plus(end as u64));
                let cursor = Cursor { topic: "app".parse().unwrap(), epoch: entry.epoch, offset };
                let frame = Frame::batch(&piece, &cursor);
                let size = frame.batch_bytes();
                let count = decoded(frame).lines.len();
                prop_assert!(count == 1 || (count <= max_lines as usize && size <= max_bytes));
                end -= count;
                prop_assert_eq!(piece.first(), entry.first.plus(end as u64));
                rest = left;
            }
            prop_assert_eq!(end, 0);
        }
    }
}
