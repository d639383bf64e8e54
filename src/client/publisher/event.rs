//! What a publisher tells its caller.

use std::{ops::Range, time::Duration};

use super::super::RelayAddress;

/// One thing that happened. The publisher is already past it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishEvent {
    /// A relay takes lines; also after every reconnection.
    Opened {
        /// Which one.
        relay: RelayAddress,
        /// The key of the source.
        source: String,
        /// The number of the line that is to come next.
        next_sequence: u64,
    },
    /// Lines up to here, exclusively, are stored.
    Confirmed {
        /// The number of the first line that is not.
        next_sequence: u64,
    },
    /// Redis has forgotten lines that it had confirmed. They are not here any more.
    Lost {
        /// Their numbers.
        lines: Range<u64>,
        /// Redis knows nothing of the producer any more: it was wiped, the topic was deleted,
        /// or nothing was heard for longer than lines are kept. Then they may only be trimmed.
        is_new_source: bool,
    },
    /// Redis takes lines again, or does not any more: it is away, or full, and lines wait.
    Redis {
        /// Whether it takes them.
        is_ok: bool,
    },
    /// The connection failed, or the relay sent the publisher away.
    Disconnected {
        /// Which relay.
        relay: RelayAddress,
        /// What happened.
        why: String,
        /// When the next relay (or the same one) is asked.
        retry_in: Duration,
    },
}
