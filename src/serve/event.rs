//! Steps of a reader as messages of the contract, or as the end of a call.

use std::time::Duration;

use tonic::{Code, Status};

use super::{drain::Leave, durable::Begun, frame::Frame, permit, status};
use crate::{
    access::Lapse,
    hub::{ReadError, Start},
    proto::{self, subscribe_response::Event},
    record::{CommitToken, Cursor, Offset, Topic},
};

/// How long a caller should stay away from a relay that is too old for a topic.
const UPGRADE_WAIT: Duration = Duration::from_secs(30);

/// Lines that cannot be had, or that come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Break {
    /// They are missing.
    Gap(String),
    /// Redis lost what this reader had seen.
    Rewound,
    /// Redis knows nothing of what this reader had seen.
    Reset,
}

impl Break {
    /// The message that says so; `cursor` is where to resume.
    pub(super) fn event(self, from: Offset, to: Offset, cursor: &Cursor) -> Frame {
        Frame::event(match self {
            Self::Gap(reason) => {
                let topic = cursor.topic.to_string();
                let (from_offset, to_offset, cursor) = (from.get(), to.get(), cursor.to_string());
                Event::Gap(proto::Gap { topic, from_offset, to_offset, cursor, reason })
            }
            Self::Rewound => Event::Rewound(rewound(from, to, cursor)),
            Self::Reset => Event::Reset(reset(from, to, cursor)),
        })
    }

    /// The end of a call that asked to fail.
    pub(super) fn status(self, from: Offset, to: Offset, cursor: &Cursor) -> Status {
        let topic = &cursor.topic;
        let (code, reason, message) = match self {
            Self::Gap(why) => {
                let message = format!("the lines {from} to {to} of {topic} are missing: {why}");
                (Code::OutOfRange, "CURSOR_TRIMMED", message)
            }
            Self::Rewound => {
                let message = format!(
                    "redis lost lines of {topic}: offset {from} was wanted, lines from {to} on come again"
                );
                (Code::FailedPrecondition, "REWOUND", message)
            }
            Self::Reset => {
                let message = format!(
                    "redis does not know the timeline of the cursor at {topic} {from}: its lines begin at {to}"
                );
                (Code::FailedPrecondition, "RESET", message)
            }
        };
        let metadata = [
            ("topic", topic.to_string()),
            ("from_offset", from.to_string()),
            ("first_offset", to.to_string()),
            ("cursor", cursor.to_string()),
        ];
        status::with_reason(code, reason, message, &metadata)
    }
}

/// Redis lost lines that were read.
pub(super) fn rewound(from: Offset, to: Offset, cursor: &Cursor) -> proto::Rewound {
    proto::Rewound {
        topic: cursor.topic.to_string(),
        from_offset: from.get(),
        to_offset: to.get(),
        cursor: cursor.to_string(),
        reason: "redis lost the lines from to_offset on".to_owned(),
    }
}

/// Redis does not know what was read.
pub(super) fn reset(from: Offset, to: Offset, cursor: &Cursor) -> proto::Reset {
    proto::Reset {
        topic: cursor.topic.to_string(),
        from_offset: from.get(),
        to_offset: to.get(),
        cursor: cursor.to_string(),
        reason: "redis does not know the timeline of the cursor".to_owned(),
    }
}

/// The end of a call that cannot be served: a relay that is too old is not asked again for a while.
pub(super) fn refused(error: &ReadError) -> Status {
    match error {
        ReadError::Newer { .. } => status::unavailable(
            "NEWER_FORMAT",
            error.to_string(),
            UPGRADE_WAIT.mul_f64(1.0 + fastrand::f64()),
        ),
        ReadError::Ahead { cursor, tail } => {
            let metadata = [("cursor", cursor.to_string()), ("tail", tail.to_string())];
            status::with_reason(Code::InvalidArgument, "CURSOR_AHEAD", error.to_string(), &metadata)
        }
    }
}

/// The last message or the end of a call whose reader cannot go on.
pub(super) fn failed(error: &ReadError) -> Result<Frame, Status> {
    match error {
        ReadError::Newer { .. } => {
            Ok(closing(error.to_string(), UPGRADE_WAIT.mul_f64(1.0 + fastrand::f64())))
        }
        ReadError::Ahead { .. } => Err(refused(error)),
    }
}

/// The last message of a stream that this relay ends.
pub(super) fn closing(reason: String, retry_after: Duration) -> Frame {
    let retry_after = prost_types::Duration::try_from(retry_after).ok();
    Frame::event(Event::Closing(proto::Closing { reason, retry_after, taken_over: false }))
}

/// The last message when the relay stops, or the connection does.
pub(super) fn leaving(leave: &Leave) -> Frame {
    let (reason, retry_after) = leave.why();
    closing(reason.to_owned(), retry_after)
}

/// The last message when the caller may not go on as it is.
pub(super) fn lapsed(lapse: Lapse) -> Frame {
    closing(lapse.to_string(), permit::lapse_wait())
}

pub(super) fn caught_up(cursor: &Cursor) -> Frame {
    let (topic, cursor) = (cursor.topic.to_string(), cursor.to_string());
    Frame::event(Event::CaughtUp(proto::CaughtUp { topic, cursor }))
}

/// Another stream has the durable subscription now.
pub(super) fn taken_over(topic: &Topic) -> Frame {
    let reason = format!("another stream has taken over this durable subscription of {topic}");
    Frame::event(Event::Closing(proto::Closing { reason, retry_after: None, taken_over: true }))
}

/// Where topics begin; `token` is what a durable subscription commits with.
pub(super) fn opened(topics: Vec<proto::OpenedTopic>, token: Option<CommitToken>) -> Frame {
    let commit_token = token.map(|token| token.to_string()).unwrap_or_default();
    Frame::event(Event::Opened(proto::Opened { topics, commit_token }))
}

/// Where a topic begins.
pub(super) fn opened_topic(topic: &Topic, begun: &Begun) -> proto::OpenedTopic {
    let Begun { opening, start, is_committed, .. } = begun;
    let timeline = opening.timeline.as_ref();
    let started_from = match start {
        _ if *is_committed => proto::StartedFrom::Committed,
        Start::Cursor(..) => proto::StartedFrom::Cursor,
        _ if timeline.is_none() => proto::StartedFrom::Absent,
        Start::Earliest | Start::Birth => proto::StartedFrom::Earliest,
        Start::Latest => proto::StartedFrom::Latest,
        Start::Time(_) => proto::StartedFrom::Time,
        Start::LastLines(_) => proto::StartedFrom::LastLines,
    };
    proto::OpenedTopic {
        topic: topic.to_string(),
        epoch: timeline.map(|timeline| timeline.epoch().to_string()).unwrap_or_default(),
        first_offset: timeline.map_or(0, |timeline| timeline.first().get()),
        next_offset: timeline.map_or(0, |timeline| timeline.next().get()),
        cursor: opening.cursor.as_ref().map(ToString::to_string).unwrap_or_default(),
        started_from: started_from.into(),
    }
}

/// The heartbeat of a topic that has not begun: Redis is away.
pub(super) fn waits((topic, start): &(Topic, Start)) -> proto::HeartbeatTopic {
    let cursor = match *start {
        Start::Cursor(epoch, offset) => Cursor { topic: topic.clone(), epoch, offset }.to_string(),
        _ => String::new(),
    };
    proto::HeartbeatTopic { topic: topic.to_string(), cursor, tail_offset: 0 }
}
