//! The values of the design: what travels through every other room.
//!
//! No I/O here, and nothing that can be built wrong: text and bytes from
//! outside are parsed into these types at the door and never checked again.

mod batch;
mod claim;
mod cursor;
mod epoch;
mod identity;
mod kept;
mod offset;
mod source;
mod status;
mod subscription;
mod timeline;
mod topic;
mod topic_glob;

pub use self::{
    batch::{
        BatchBuilder, BatchError, EncodedLines, EncodingError, Labels, LineBounds, LineView, NewLine,
        SealedBatch, StoredBatch,
    },
    claim::{Claim, ClaimError, Instance},
    cursor::{Cursor, CursorError},
    epoch::{Epoch, EpochError},
    identity::{Identity, PrintHash},
    kept::{Details, Record, RecordError, SourceState, Token},
    offset::{MAX_OFFSET, Offset, OffsetError},
    source::{Host, SourceKey, SourceNameError},
    status::{Activity, SourceStatus},
    subscription::{Bookmark, CommitToken, CommitTokenError, SubscriptionName},
    timeline::{Timeline, TimelineError},
    topic::{Topic, TopicError},
    topic_glob::TopicGlob,
};
