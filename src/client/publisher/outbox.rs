//! Lines on their way: those that nobody has confirmed. Pure.

use std::{collections::VecDeque, ops::Range};

use crate::proto::{self, PublishRequest};

/// The size of a request from which on the next line begins another one.
const CHUNK_BYTES: usize = 64 * 1024;
const CHUNK_LINES: usize = 4096;
/// What a line takes besides its content, nearly.
const LINE_BYTES: usize = 64;

/// Lines in order, in chunks of one request each.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
    /// The number of the first line in here.
    first: u64,
    /// How many lines are in here.
    lines: u64,
    bytes: usize,
    /// How many of the chunks were sent over the connection that there is now.
    sent: usize,
}

#[derive(Debug, Default)]
struct Chunk {
    lines: Vec<proto::Line>,
    bytes: usize,
}

impl Outbox {
    /// Adds a line.
    pub(super) fn push(&mut self, line: proto::Line) {
        let bytes = size(&line);
        let has_room = |chunk: &Chunk| chunk.bytes < CHUNK_BYTES && chunk.lines.len() < CHUNK_LINES;
        if self.chunks.len() == self.sent || !self.chunks.back().is_some_and(has_room) {
            self.chunks.push_back(Chunk::default());
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.lines.push(line);
            chunk.bytes += bytes;
        }
        (self.lines, self.bytes) = (self.lines + 1, self.bytes + bytes);
    }

    /// Size of all lines in bytes, nearly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The numbers of all lines.
    pub(super) fn range(&self) -> Range<u64> {
        self.first..self.first + self.lines
    }

    /// Gives the first line another number, and so all.
    pub(super) fn renumber(&mut self, first: u64) {
        self.first = first;
    }

    /// Forgets lines before this number.
    pub(super) fn confirm(&mut self, next_sequence: u64) {
        while let Some(chunk) = self.chunks.front_mut() {
            let stored = next_sequence.saturating_sub(self.first);
            let len = chunk.lines.len() as u64;
            let gone = stored.min(len);
            let removed =
                chunk.lines.drain(..usize::try_from(gone).unwrap_or(usize::MAX).min(chunk.lines.len()));
            let bytes: usize = removed.map(|line| size(&line)).sum();
            chunk.bytes -= bytes;
            (self.first, self.lines, self.bytes) = (self.first + gone, self.lines - gone, self.bytes - bytes);
            if gone < len {
                return;
            }
            self.chunks.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// Nothing was sent over the connection that there is now.
    pub(super) fn begin_again(&mut self) {
        self.sent = 0;
    }

    /// Whether there is something to send.
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.chunks.len()
    }

    /// The next request, which counts as sent.
    pub(super) fn next_request(&mut self) -> Option<PublishRequest> {
        let lines = self.chunks.get(self.sent)?.lines.clone();
        let before: usize = self.chunks.iter().take(self.sent).map(|chunk| chunk.lines.len()).sum();
        self.sent += 1;
        Some(PublishRequest { sequence: self.first + before as u64, lines, ..PublishRequest::default() })
    }
}

fn size(line: &proto::Line) -> usize {
    let labels: usize = line.labels.iter().map(|(name, value)| name.len() + value.len() + LINE_BYTES).sum();
    line.content.len() + labels + LINE_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(number: u64) -> proto::Line {
        let content = format!("{number:0100}").repeat(10).into();
        proto::Line { content, ..proto::Line::default() }
    }

    /// What happens to an outbox.
    #[derive(Debug, Clone)]
    enum Step {
        Push(u64),
        Send,
        Confirm(u64),
        Reconnect,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1..200_u64).prop_map(Step::Push),
            Just(Step::Send),
            (0..300_u64).prop_map(Step::Confirm),
            Just(Step::Reconnect),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #[test]
        fn whatever_was_not_confirmed_is_sent_in_order_over_each_connection(steps in steps()) {
            let mut outbox = Outbox::default();
            let (mut pushed, mut confirmed, mut sent) = (0, 0, 0);
            for step in steps {
                match step {
                    Step::Push(count) => {
                        (pushed..pushed + count).for_each(|number| outbox.push(line(number)));
                        pushed += count;
                    }
                    Step::Send => match outbox.next_request() {
                        None => prop_assert_eq!(sent, pushed),
                        Some(request) => {
                            // A chunk of which a part was confirmed meanwhile goes on behind that.
                            prop_assert_eq!(request.sequence, sent);
                            sent += request.lines.len() as u64;
                            let numbers = request.sequence..sent;
                            prop_assert!(numbers.map(line).eq(request.lines));
                        }
                    },
                    Step::Confirm(count) => {
                        confirmed = (confirmed + count).min(sent);
                        outbox.confirm(confirmed);
                    }
                    Step::Reconnect => {
                        outbox.begin_again();
                        sent = confirmed;
                    }
                }
                prop_assert_eq!(outbox.range(), confirmed..pushed);
                prop_assert_eq!(outbox.has_unsent(), sent < pushed);
            }
            outbox.confirm(pushed);
            prop_assert_eq!((outbox.bytes(), outbox.range()), (0, pushed..pushed));
        }
    }
}
