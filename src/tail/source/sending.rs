//! What a source appends.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::Source;
use crate::{
    record::{Details, Record, SourceState, Token},
    tail::course::Sending,
};

impl Source {
    /// Appends what the group holds: at once when nothing is in flight, so that a
    /// quiet file has no added delay and a busy one has large batches.
    pub(super) fn send(&mut self) -> Option<Sending> {
        let position = self.framer.position();
        let (batch, room) = self.group.seal(position)?;
        let (head, tail) = self.trail.prints(position);
        let last = self.standing.confirmed().details;
        let identity = self.reader.identity(head, tail);
        let size = Some(self.reader.size());
        let details =
            Details { next_line: batch.next_line, identity, state: SourceState::Active, size, ..last };
        let record = Record { token: Token::random(), position, details };
        let (publisher, standing) = (self.context.publisher.clone(), Arc::clone(&self.standing));
        let append = async move {
            let outcome = publisher.append(&standing, record, Some(batch)).await;
            drop(room);
            outcome
        };
        Some(append.boxed())
    }

    pub(super) fn mark_gone(&self) -> Sending {
        let (publisher, standing) = (self.context.publisher.clone(), Arc::clone(&self.standing));
        async move {
            let gone = standing.confirmed().gone();
            publisher.append(&standing, gone, None).await
        }
        .boxed()
    }
}
