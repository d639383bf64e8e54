//! What a reader says.

use std::sync::Arc;

use crate::{
    record::{Cursor, Offset, Topic},
    store::Entry,
};

/// What comes next in a topic. After each of them, [`Reader::cursor`](super::Reader::cursor) is where to
/// resume.
#[derive(Debug, Clone)]
pub enum Step {
    /// Lines, from the given offset to the end of the entry.
    Lines {
        /// The entry that holds them.
        entry: Arc<Entry>,
        /// The first line that is wanted of it.
        from: Offset,
    },
    /// Lines are missing: trimmed, or not readable.
    Gap {
        /// The first one that is missing.
        from: Offset,
        /// The first one after them.
        to: Offset,
        /// Why.
        why: Arc<str>,
    },
    /// Lines that were read are lost; everything from `to` on comes (again).
    Rewound {
        /// What was wanted.
        from: Offset,
        /// Where it goes on.
        to: Offset,
    },
    /// The timeline is unknown here; it goes on with the earliest line.
    Reset {
        /// What was wanted.
        from: Offset,
        /// Where it goes on.
        to: Offset,
    },
    /// All that is there was read. Said once, and again after it had fallen behind.
    CaughtUp,
}

/// Why a reader cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The cursor is past everything that Redis has, also after another look.
    #[error("cursor {cursor} is ahead of the topic, whose next line is {tail}")]
    Ahead {
        /// The cursor.
        cursor: Cursor,
        /// The cursor of the topic's tail.
        tail: Cursor,
    },
    /// The next entry was written by a newer version.
    #[error("topic {topic} goes on in format {format}, which this relay does not know: upgrade it")]
    Newer {
        /// The topic.
        topic: Topic,
        /// The format of the entry.
        format: String,
    },
}
