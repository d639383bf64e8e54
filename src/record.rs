//! The values of the design: what travels through every other room.
//!
//! No I/O here, and nothing that can be built wrong: text and bytes from
//! outside are parsed into these types at the door and never checked again.

mod batch;
mod cursor;
mod epoch;
mod offset;
mod source;
mod timeline;
mod topic;

pub use self::{
    batch::{BatchBuilder, BatchError, LineView, SealedBatch, StoredBatch},
    cursor::{Cursor, CursorError},
    epoch::{Epoch, EpochError},
    offset::{MAX_OFFSET, Offset, OffsetError},
    source::{
        Details, Host, Identity, PrintHash, Record, RecordError, SourceKey, SourceNameError, SourceState,
        Token,
    },
    timeline::{Timeline, TimelineError},
    topic::{Topic, TopicError},
};
