//! The lines of one batch, as a reader sees them.

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    proto,
    record::{
        Cursor, CursorError, EncodedLines, Epoch, EpochError, Labels, LineView, Offset, OffsetError, Topic,
        TopicError,
    },
};

/// Consecutive lines of one source that the reader has not seen; at least one.
#[derive(Debug, Clone)]
pub struct Lines {
    topic: Topic,
    epoch: Epoch,
    base_offset: Offset,
    next_cursor: Cursor,
    /// Without its lines.
    batch: proto::Batch,
    encoded: EncodedLines,
    /// How many lines at the front were seen before.
    seen: usize,
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number in the topic.
    pub offset: Offset,
    /// Its number in the source.
    pub number: u64,
    /// Its bytes without the line ending, valid UTF-8 or not.
    pub content: &'a [u8],
    /// How many bytes were cut off its end because it was too long.
    pub truncated_bytes: u64,
    /// Its own time in nanoseconds since 1970; 0: it has none.
    pub time_unix_nano: u64,
    view: LineView<'a>,
}

impl Line<'_> {
    /// Its own labels.
    pub fn labels(&self) -> Labels {
        self.view.labels()
    }
}

/// A message that no relay should send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum BatchFault {
    #[error("{0}")]
    Topic(#[from] TopicError),
    #[error("{0}")]
    Epoch(#[from] EpochError),
    #[error("{0}")]
    Cursor(#[from] CursorError),
    #[error("{0}")]
    Offset(#[from] OffsetError),
    #[error("cursor {cursor} stands in a message for {topic}")]
    OtherTopic { cursor: Cursor, topic: Topic },
    #[error("topic {0} was not asked for")]
    Unasked(Topic),
    #[error("{lines} lines have {deltas} offset deltas, or deltas that do not grow")]
    Deltas { lines: usize, deltas: usize },
    #[error("line numbers from {0} on are too large")]
    LineNumber(u64),
    #[error("topic {topic}: line {found} came where {expected} was due")]
    Order { topic: Topic, expected: Offset, found: Offset },
    #[error("a message without an event")]
    Empty,
}

/// Reads a cursor that has to be one of this topic.
pub(super) fn cursor_of(topic: &Topic, text: &str) -> Result<Cursor, BatchFault> {
    let cursor: Cursor = text.parse()?;
    if cursor.topic != *topic {
        return Err(BatchFault::OtherTopic { cursor, topic: topic.clone() });
    }
    Ok(cursor)
}

impl Lines {
    /// Checks a batch as it came; none of its lines counts as seen yet.
    pub(super) fn parse(batch: proto::Batch, encoded: EncodedLines) -> Result<Self, BatchFault> {
        let topic: Topic = batch.topic.parse()?;
        let epoch: Epoch = batch.epoch.parse()?;
        let next_cursor = cursor_of(&topic, &batch.next_cursor)?;
        let base_offset = Offset::new(batch.base_offset)?;
        let (count, deltas) = (encoded.len(), batch.offset_deltas.len());
        let good_deltas = deltas == 0
            || (deltas == count && batch.offset_deltas.is_sorted_by(|before, after| before < after));
        if !good_deltas {
            return Err(BatchFault::Deltas { lines: count, deltas });
        }
        let greatest = batch.offset_deltas.last().map_or(count as u64, |&delta| u64::from(delta) + 1);
        Offset::new(batch.base_offset.saturating_add(greatest))?;
        if batch.first_line.checked_add(greatest).is_none() {
            return Err(BatchFault::LineNumber(batch.first_line));
        }
        Ok(Self { topic, epoch, base_offset, next_cursor, batch, encoded, seen: 0 })
    }

    /// Leaves out the lines whose number in the source is below `next_line`.
    pub(super) fn drop_before(&mut self, next_line: u64) {
        let wanted_delta = next_line.saturating_sub(self.batch.first_line);
        self.seen = match self.batch.offset_deltas.as_slice() {
            [] => usize::try_from(wanted_delta).unwrap_or(usize::MAX).min(self.encoded.len()),
            deltas => deltas.partition_point(|&delta| u64::from(delta) < wanted_delta),
        };
    }

    /// The offset of the first line that came, seen before or not.
    pub(super) fn first_offset(&self) -> Option<Offset> {
        (!self.encoded.is_empty()).then(|| self.base_offset.plus(self.delta(0)))
    }

    /// The number in the source of the line after the last one.
    pub(super) fn next_line(&self) -> u64 {
        match self.encoded.len() {
            0 => self.batch.first_line,
            lines => self.batch.first_line + self.delta(lines - 1) + 1,
        }
    }

    fn delta(&self, index: usize) -> u64 {
        self.batch.offset_deltas.get(index).map_or(index as u64, |&delta| u64::from(delta))
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The epoch in which the lines were appended.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// From where to resume after these lines.
    pub fn next_cursor(&self) -> &Cursor {
        &self.next_cursor
    }

    /// From where to resume after one of these lines.
    pub fn cursor_after(&self, line: &Line<'_>) -> Cursor {
        Cursor { topic: self.topic.clone(), epoch: self.epoch, offset: line.offset.plus(1) }
    }

    /// When they were appended, by the clock of Redis.
    pub fn time(&self) -> Option<SystemTime> {
        self.batch.time.and_then(|time| time.try_into().ok())
    }

    /// The key of their source; empty when the relay named none.
    pub fn source_key(&self) -> &str {
        self.batch.source.as_ref().map_or("", |source| &source.key)
    }

    /// The host of their source.
    pub fn host(&self) -> &str {
        self.batch.source.as_ref().map_or("", |source| &source.host)
    }

    /// The path of their source; bytes that are not UTF-8 as `\xNN`.
    pub fn path(&self) -> &str {
        self.batch.source.as_ref().map_or("", |source| &source.path)
    }

    /// The labels of their source; a line may have others of its own.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.batch.source.as_ref().map_or(&NONE, |source| &source.labels)
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.encoded.len() - self.seen
    }

    /// Whether every line was seen before. Never true of lines that a subscription gives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lines in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Line<'_>> {
        (self.seen..self.encoded.len()).map(|index| {
            // It is there, and was checked when it came.
            let view = self.encoded.line(index).unwrap_or_default();
            Line {
                offset: self.base_offset.plus(self.delta(index)),
                number: self.batch.first_line + self.delta(index),
                content: view.content,
                truncated_bytes: view.truncated_bytes,
                time_unix_nano: view.time_unix_nano,
                view,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::record::LineBounds;

    fn batch(lines: usize, base_offset: u64, first_line: u64, offset_deltas: Vec<u32>) -> proto::Batch {
        proto::Batch {
            topic: "app".into(),
            epoch: "00000000000000aa".into(),
            base_offset,
            next_cursor: format!("app@00000000000000aa:{}", base_offset.saturating_add(lines as u64)),
            offset_deltas,
            first_line,
            lines: vec![proto::Line::default(); lines],
            ..proto::Batch::default()
        }
    }

    fn parse(batch: proto::Batch) -> Result<Lines, BatchFault> {
        let (_, lines) = EncodedLines::split(batch.encode_to_vec().into(), &LineBounds::NONE).unwrap();
        Lines::parse(batch, lines)
    }

    proptest! {
        #[test]
        fn exactly_the_lines_below_the_mark_are_dropped(
            deltas in proptest::collection::btree_set(0_u32..40, 0..10), cut: bool, first_line in 0_u64..30,
            mark in 0_u64..90,
        ) {
            let deltas: Vec<u32> = if cut { deltas.into_iter().collect() } else { (0..).take(deltas.len()).collect() };
            let sent = if cut { deltas.clone() } else { Vec::new() };
            let mut lines = parse(batch(deltas.len(), 1_000, first_line, sent)).unwrap();
            lines.drop_before(mark);
            let expected: Vec<_> = deltas.iter().map(|&delta| u64::from(delta))
                .filter(|delta| first_line + delta >= mark)
                .map(|delta| (1_000 + delta, first_line + delta)).collect();
            let found: Vec<_> = lines.iter().map(|line| (line.offset.get(), line.number)).collect();
            prop_assert_eq!(lines.len(), found.len());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_batch_makes_the_parser_panic(
            topic in "[a/]{0,2}", epoch in "[0-9a-g]{15,16}", base_offset: u64, first_line: u64,
            next_cursor in "a?@?[0-9a-f]{16}:[0-9]{1,17}", deltas: Vec<u32>, lines in 0_usize..5, mark: u64,
        ) {
            let mut wild = batch(lines, base_offset, first_line, deltas);
            (wild.topic, wild.epoch, wild.next_cursor) = (topic, epoch, next_cursor);
            if let Ok(mut lines) = parse(wild) {
                lines.drop_before(mark);
                let (count, next) = (lines.iter().count(), lines.next_line());
                prop_assert!(count == lines.len() && lines.iter().all(|line| line.number < next));
            }
        }
    }

    #[test]
    fn what_no_relay_should_send_is_named() {
        let fault = |batch| parse(batch).unwrap_err();
        assert!(matches!(fault(batch(2, 0, 0, vec![1])), BatchFault::Deltas { lines: 2, deltas: 1 }));
        assert!(matches!(fault(batch(2, 0, 0, vec![1, 1])), BatchFault::Deltas { .. }));
        assert!(matches!(fault(batch(1, 0, u64::MAX, vec![])), BatchFault::LineNumber(_)));
        let mut other = batch(1, 0, 0, vec![]);
        other.next_cursor = "web@00000000000000aa:1".into();
        assert!(matches!(fault(other), BatchFault::OtherTopic { .. }));
    }

    #[test]
    fn the_cursor_after_a_line_is_the_next_offset_in_its_epoch() {
        let lines = parse(batch(3, 10, 0, vec![])).unwrap();
        let cursors: Vec<_> = lines.iter().map(|line| lines.cursor_after(&line).to_string()).collect();
        assert_eq!(cursors[0], "app@00000000000000aa:11");
        assert_eq!(cursors[2], lines.next_cursor().to_string());
    }
}
