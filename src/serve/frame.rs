//! Messages of a subscription on their way to the wire. A batch is sent as it is
//! stored, behind a short prefix: nothing of it is decoded or encoded again.

use bytes::{BufMut, Bytes};
use prost::Message as _;
use tonic::Status;

use super::cut::Piece;
use crate::{
    proto,
    record::Cursor,
    store::{Entry, Loan, Room},
};

/// One message of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// Everything but lines.
    Event(Box<proto::SubscribeResponse>),
    /// Lines.
    Batch(Box<Parts>),
}

/// What is one `Batch` when it stands one after the other. A box of it, as a queue has room for
/// many messages that never come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parts {
    /// What the relay writes.
    pub(super) prefix: Bytes,
    /// What is stored: all of it, or its head alone.
    pub(super) stored: Bytes,
    /// Where `stored` is only the head: the lines that are sent.
    pub(super) lines: Bytes,
    /// In place of both, where memory is short.
    pub(super) lent: Option<Loan>,
}

impl Frame {
    pub(super) fn event(event: proto::subscribe_response::Event) -> Self {
        Self::Event(Box::new(proto::SubscribeResponse { event: Some(event) }))
    }

    /// The batch of a piece of an entry; `next` is where to resume after it.
    pub(super) fn batch(piece: &Piece, next: &Cursor) -> Self {
        let entry = &piece.entry;
        Self::Batch(Box::new(if piece.is_whole() {
            let make = || prefix(entry, next, Vec::new());
            // A cursor is of another epoch only where the entry is older than all that are known.
            let prefix = if next.epoch == entry.epoch { entry.prefix(make) } else { make() };
            Parts { prefix, stored: entry.batch.stored().clone(), lines: Bytes::new(), lent: None }
        } else {
            let prefix = prefix(entry, next, piece.places());
            Parts { prefix, stored: entry.batch.head_bytes(), lines: piece.line_bytes(), lent: None }
        }))
    }

    /// Writes it up to its [stored](Self::stored) bytes; a batch as the field of this key, which
    /// has one byte.
    pub(super) fn put_head(&self, batch_key: u8, buffer: &mut impl BufMut) -> Result<(), Status> {
        match self {
            Self::Event(event) => event.encode(buffer).map_err(not_encoded),
            Self::Batch(parts) => {
                buffer.put_u8(batch_key);
                prost::encode_length_delimiter(self.batch_bytes(), buffer).map_err(not_encoded)?;
                buffer.put_slice(&parts.prefix);
                Ok(())
            }
        }
    }

    /// Lets go of the entry that it is a part of: it has these bytes for itself then.
    pub(super) fn copy_from(&mut self, entry: &Entry) {
        let Self::Batch(parts) = self else { return };
        if parts.stored.len() + parts.lines.len() < entry.bytes() {
            parts.stored = entry.memory().count([&*parts.stored, &*parts.lines].concat());
            parts.lines = Bytes::new();
        }
    }

    /// Has its stored bytes as a loan, for which the room is enough; none of an event.
    pub(super) fn lend(&mut self, room: Room) -> Option<Loan> {
        let Self::Batch(parts) = self else { return None };
        let stored = [std::mem::take(&mut parts.stored), std::mem::take(&mut parts.lines)];
        parts.lent = Some(room.lend(stored));
        parts.lent.clone()
    }

    /// What comes behind its head: as it is, or lent; nothing of an event.
    pub(super) fn stored(self) -> ([Bytes; 2], Option<Loan>) {
        match self {
            Self::Event(_) => Default::default(),
            Self::Batch(parts) => ([parts.stored, parts.lines], parts.lent),
        }
    }

    /// The size of the whole message in bytes.
    pub(super) fn message_bytes(&self) -> usize {
        match self {
            Self::Event(event) => event.encoded_len(),
            Self::Batch(_) => {
                let bytes = self.batch_bytes();
                1 + prost::length_delimiter_len(bytes) + bytes
            }
        }
    }

    /// The size of the batch in bytes; zero for an event.
    pub(super) fn batch_bytes(&self) -> usize {
        match self {
            Self::Event(_) => 0,
            Self::Batch(parts) => {
                let lent = parts.lent.as_ref().map_or(0, Loan::bytes);
                parts.prefix.len() + parts.stored.len() + parts.lines.len() + lent
            }
        }
    }
}

/// What a relay writes before stored lines.
fn prefix(entry: &Entry, next: &Cursor, offset_deltas: Vec<u32>) -> Bytes {
    let prefix = proto::Batch {
        topic: next.topic.to_string(),
        epoch: entry.epoch.to_string(),
        base_offset: entry.first.get(),
        next_cursor: next.to_string(),
        time: Some(timestamp(entry.time_ms)),
        offset_deltas,
        ..proto::Batch::default()
    };
    prefix.encode_to_vec().into()
}

/// There was no room, which there always is.
pub(super) fn not_encoded(error: prost::EncodeError) -> Status {
    Status::internal(error.to_string())
}

/// A time in unix milliseconds as the contract writes it.
pub(super) fn timestamp(time_ms: u64) -> prost_types::Timestamp {
    let seconds = i64::try_from(time_ms / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(time_ms % 1000 * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds, nanos }
}
