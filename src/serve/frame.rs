//! Messages of a subscription on their way to the wire. A batch is sent as it is
//! stored, behind a short prefix: nothing of it is decoded or encoded again.

use bytes::{BufMut as _, Bytes};
use prost::Message as _;
use tonic::{
    Status,
    codec::{BufferSettings, EncodeBuf, Encoder},
};

use super::{
    codec::{Pair, RequestDecoder},
    cut::Piece,
};
use crate::{proto, record::Cursor, store::Entry};

/// Key of `SubscribeResponse.batch`, length-delimited.
const BATCH_KEY: u8 = 2 << 3 | 2;

/// One message of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// Everything but lines.
    Event(Box<proto::SubscribeResponse>),
    /// Lines.
    Batch(Box<Parts>),
}

/// What is one `Batch` when it stands one after the other. A box of it, as a queue has room for
/// many messages that never come.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// What the relay writes.
    pub(super) prefix: Bytes,
    /// What is stored: all of it, or its head alone.
    pub(super) stored: Bytes,
    /// Where `stored` is only the head: the lines that are sent.
    pub(super) lines: Bytes,
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
            Parts { prefix, stored: entry.batch.stored().clone(), lines: Bytes::new() }
        } else {
            let prefix = prefix(entry, next, piece.places());
            Parts { prefix, stored: entry.batch.head_bytes(), lines: piece.line_bytes() }
        }))
    }

    /// Writes it; a batch as the field of this key, which has one byte.
    pub(super) fn encode(self, batch_key: u8, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let len = self.batch_bytes();
        match self {
            Self::Event(event) => event.encode(buffer).map_err(not_encoded),
            Self::Batch(parts) => {
                buffer.reserve(1 + 10 + len);
                buffer.put_u8(batch_key);
                prost::encode_length_delimiter(len, buffer).map_err(not_encoded)?;
                for part in [parts.prefix, parts.stored, parts.lines] {
                    buffer.put_slice(&part);
                }
                Ok(())
            }
        }
    }

    /// The size of the batch in bytes; zero for an event.
    pub(super) fn batch_bytes(&self) -> usize {
        match self {
            Self::Event(_) => 0,
            Self::Batch(parts) => parts.prefix.len() + parts.stored.len() + parts.lines.len(),
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

/// Writes [`Frame`]s, and reads requests as every call does.
pub type FrameCodec = Pair<FrameEncoder, RequestDecoder<proto::SubscribeRequest>>;

/// Writes [`Frame`]s.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameEncoder;

/// What is kept for each stream between two messages; one that needs more gets it.
const BUFFER_BYTES: usize = 512;
/// How much is put together before it is handed on.
const YIELD_BYTES: usize = 32 * 1024;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }

    fn encode(&mut self, frame: Frame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        frame.encode(BATCH_KEY, buffer)
    }
}
