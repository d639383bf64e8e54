//! What a subscription tells its caller.

use std::{ops::Range, time::Duration};

use super::{
    Lines, RelayAddress,
    lines::{BatchFault, cursor_of},
};
use crate::{
    proto,
    record::{Cursor, Offset, Topic},
};

/// One thing that happened. The state of the subscription is already past it.
#[derive(Debug, Clone)]
pub enum Event {
    /// A relay serves the subscription; also after every reconnection.
    Opened {
        /// Which one.
        relay: RelayAddress,
        /// Where each topic begins or goes on, as the relay said it; all that there are.
        topics: Vec<proto::OpenedTopic>,
    },
    /// Topics that a pattern matches were born: each comes from its first line on.
    Joined {
        /// Who says so.
        relay: RelayAddress,
        /// Where each begins, as the relay said it.
        topics: Vec<proto::OpenedTopic>,
    },
    /// Lines that were not seen before.
    Lines(Box<Lines>),
    /// Lines are not there any more.
    Gap(Jump),
    /// Redis lost lines that had been read. They come again and are dropped here; what was
    /// never seen is given.
    Rewound(Jump),
    /// The reader's timeline is unknown (Redis was wiped); reading goes on from the earliest line.
    Reset(Jump),
    /// A topic was read up to its tail.
    CaughtUp(Cursor),
    /// A sign of life, with the tails of the topics.
    Heartbeat(proto::Heartbeat),
    /// The relay ends the stream on purpose.
    Closing {
        /// Which one.
        relay: RelayAddress,
        /// What it said.
        reason: String,
        /// When the next relay (or the same one) is asked.
        retry_in: Duration,
    },
    /// The connection failed.
    Disconnected {
        /// To which relay.
        relay: RelayAddress,
        /// What happened.
        why: String,
        /// When the next relay (or the same one) is asked.
        retry_in: Duration,
    },
}

/// A place in a topic where the offsets do not go on one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// The topic.
    pub topic: Topic,
    /// The offset that was wanted next.
    pub from: Offset,
    /// The offset from which it goes on.
    pub to: Offset,
    /// From where to resume.
    pub cursor: Cursor,
    /// What the relay said.
    pub reason: String,
}

impl Jump {
    pub(super) fn parse(
        topic: Topic,
        offsets: Range<u64>,
        cursor: &str,
        reason: String,
    ) -> Result<Self, BatchFault> {
        let cursor = cursor_of(&topic, cursor)?;
        Ok(Self { topic, from: Offset::new(offsets.start)?, to: Offset::new(offsets.end)?, cursor, reason })
    }
}
