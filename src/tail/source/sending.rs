//! What a source appends.

use std::sync::Arc;

use futures_util::FutureExt as _;

use super::Source;
use crate::{
    publish::Predecessor,
    record::{Details, Record, SourceState, Token},
    tail::course::{Sealed, Sending},
};

/// How many full batches are packed while the one before them is in flight: so that packing,
/// which takes longest, keeps several processors busy for one file.
pub(super) const BATCHES_AHEAD: usize = 2;

impl Source {
    /// Takes out what the group holds.
    pub(super) fn seal(&mut self) -> Option<Sealed> {
        let position = self.framer.position();
        let (batch, room) = self.group.seal(position)?;
        let (head, tail) = self.trail.prints(position);
        let identity = self.reader.identity(head, tail);
        let next_line = batch.next_line;
        Some(Sealed { packing: self.context.publisher.pack(batch), next_line, position, identity, room })
    }

    /// Appends a batch behind what has to be before it: at once when nothing is in flight, so that a quiet file has no added
    /// delay and a busy one has large batches.
    pub(super) fn send(&self, sealed: Sealed, before: Option<Predecessor>) -> Sending {
        let Sealed { packing, next_line, position, identity, room } = sealed;
        let last = self.standing.confirmed().details;
        let size = Some(self.reader.size());
        let details = Details { next_line, identity, state: SourceState::Active, size, ..last };
        let record = Record { token: Token::random(), position, details };
        let (publisher, standing) = (Arc::clone(&self.context.publisher), Arc::clone(&self.standing));
        let append = async move {
            let outcome = publisher.append_behind(before, &standing, record, Some(packing)).await;
            drop(room);
            outcome
        };
        append.boxed()
    }

    pub(super) fn mark_gone(&self) -> Sending {
        let (publisher, standing) = (Arc::clone(&self.context.publisher), Arc::clone(&self.standing));
        async move {
            let gone = standing.confirmed().gone();
            publisher.append(&standing, gone, None).await
        }
        .boxed()
    }
}
