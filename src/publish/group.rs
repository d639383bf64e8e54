//! The batch that grows while the one before it is in flight.

use tokio::sync::OwnedSemaphorePermit;

use super::Options;
use crate::{
    proto,
    record::{BatchBuilder, NewLine, SealedBatch},
};

/// The lines of one source that wait to be appended. Bounded: when it is full, its
/// source stops reading.
#[derive(Debug)]
pub struct Group {
    builder: BatchBuilder,
    max_bytes: usize,
    max_lines: u32,
    /// Pays for the bytes that were read; goes with the lines until they are stored.
    room: Option<OwnedSemaphorePermit>,
}

impl Group {
    /// An empty group of a source that stands at `position`, with the number of its
    /// next line.
    pub fn new(options: &Options, source: &proto::Source, position: u64, next_line: u64) -> Self {
        Self::of(options, BatchBuilder::new(source, position, next_line))
    }

    /// An empty group of a producer whose next line has the number `sequence`.
    pub fn of_producer(options: &Options, source: &proto::Source, sequence: u64) -> Self {
        Self::of(options, BatchBuilder::of_producer(source, sequence))
    }

    fn of(options: &Options, builder: BatchBuilder) -> Self {
        let Options { max_batch_bytes: max_bytes, max_batch_lines: max_lines, .. } = *options;
        Self { builder, max_bytes, max_lines, room: None }
    }

    /// Whether the next line has to wait until this batch is on its way.
    pub fn is_full(&self) -> bool {
        self.builder.lines() >= self.max_lines || self.builder.bytes() >= self.max_bytes
    }

    /// Whether there is nothing to append.
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Adds a line.
    pub fn push(&mut self, line: &NewLine<'_>) {
        self.builder.push_line(line);
    }

    /// Adds a line that is encoded already.
    pub fn push_encoded(&mut self, line: &[u8]) {
        self.builder.push_encoded(line);
    }

    /// Keeps the room that was taken for bytes whose lines are in here.
    pub fn pay(&mut self, room: OwnedSemaphorePermit) {
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
    }

    /// Gives back the room where no line is waiting: what is held back of an
    /// unfinished line must not keep others from reading.
    pub fn release_if_empty(&mut self) {
        if self.is_empty() {
            self.room = None;
        }
    }

    /// Takes the batch out, with its room; the source stands at `position` after it.
    pub fn seal(&mut self, position: u64) -> Option<(SealedBatch, Option<OwnedSemaphorePermit>)> {
        let batch = self.builder.seal(position)?;
        Some((batch, self.room.take()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_at_either_bound_and_empty_again_when_sealed() {
        let options = Options { max_batch_bytes: 100, max_batch_lines: 3, ..Options::default() };
        let mut group = Group::new(&options, &proto::Source::default(), 0, 0);
        let line = |content| NewLine { content, truncated_bytes: 0, time_unix_nano: 0, labels: None };
        group.push(&line(b"a"));
        group.push(&line(b"b"));
        assert!(!group.is_full());
        group.push(&line(b"c"));
        assert!(group.is_full());
        let (batch, _) = group.seal(6).unwrap();
        assert_eq!((batch.lines, batch.next_line, batch.end_position), (3, 3, 6));
        assert!(group.is_empty() && group.seal(6).is_none());
        group.push(&line(&[b'x'; 100]));
        assert!(group.is_full());
    }
}
