//! `TrimTopic`: lines go from the old end of a topic.

use tonic::{Code, Status};

use crate::{
    proto::{self, trim_topic_request::Before},
    record::{Cursor, Offset, Timeline, Topic},
    serve::{
        event::Break,
        request::Check,
        status::with_reason,
        topics::{not_found, patiently},
    },
    store::{Store, Trimmed},
};

/// A topic, and up to where its lines are to go.
#[derive(Debug)]
pub(in crate::serve) struct Trimming {
    pub(in crate::serve) topic: Topic,
    before: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Offset(Offset),
    Cursor(Cursor),
    /// In unix milliseconds.
    Time(u64),
}

impl Trimming {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong.
    pub(in crate::serve) fn parse(request: &proto::TrimTopicRequest) -> Result<Self, Status> {
        let mut check = Check::default();
        let topic: Option<Topic> = check.read("topic", "BAD_TOPIC", &request.topic);
        let before = match &request.before {
            None => {
                check.wrong("before", "BAD_BEFORE", "say an offset, a cursor or a time");
                None
            }
            Some(Before::Offset(offset)) => match Offset::new(*offset) {
                Ok(offset) => Some(Place::Offset(offset)),
                Err(error) => {
                    check.wrong("offset", "BAD_BEFORE", error.to_string());
                    None
                }
            },
            Some(Before::Cursor(text)) => {
                let cursor: Option<Cursor> = check.read("cursor", "BAD_CURSOR", text);
                if let (Some(cursor), Some(topic)) = (&cursor, &topic)
                    && cursor.topic != *topic
                {
                    check.wrong(
                        "cursor",
                        "BAD_CURSOR",
                        format!("cursor {cursor} is not of the topic {topic}"),
                    );
                }
                cursor.map(Place::Cursor)
            }
            Some(Before::Time(time)) => check.time("time", "BAD_BEFORE", *time).map(Place::Time),
        };
        let (topic, before) = check.finish(topic.zip(before))?;
        Ok(Self { topic, before })
    }

    /// Trims it.
    ///
    /// # Errors
    /// `NOT_FOUND`; `INVALID_ARGUMENT` past the topic's next line; `FAILED_PRECONDITION` of a
    /// cursor that means other lines by now; `ABORTED` when a new epoch began meanwhile;
    /// `UNAVAILABLE` when Redis does not answer within `redis_wait_ms`.
    pub(in crate::serve) async fn carry_out(
        &self,
        store: &Store,
        redis_wait_ms: u64,
    ) -> Result<proto::TrimTopicResponse, Status> {
        let topic = &self.topic;
        let found = patiently(redis_wait_ms, || store.resolve(topic)).await?;
        let timeline = found.ok_or_else(|| not_found(topic))?.timeline;
        let to = match &self.before {
            Place::Offset(offset) => *offset,
            Place::Cursor(cursor) => offset_of(cursor, &timeline)?,
            Place::Time(ms) => patiently(redis_wait_ms, || store.offset_at(topic, *ms, &timeline)).await?,
        };
        if to > timeline.next() {
            let message = format!("{to} is past the next line of {topic}, which is {}", timeline.next());
            let metadata = [("topic", topic.to_string()), ("next_offset", timeline.next().to_string())];
            return Err(with_reason(Code::InvalidArgument, "CURSOR_AHEAD", message, &metadata));
        }
        loop {
            match patiently(redis_wait_ms, || store.trim(topic, timeline.epoch(), to)).await? {
                Trimmed::To { is_done: false, .. } => {}
                Trimmed::To { first, is_done: true, .. } => {
                    let lines = first.since(timeline.first());
                    tracing::info!(%topic, lines, first = first.get(), "the topic was trimmed");
                    return Ok(proto::TrimTopicResponse { lines, first_offset: first.get() });
                }
                Trimmed::OtherEpoch => {
                    let message = format!("a new epoch of {topic} has begun meanwhile: ask again");
                    let metadata = [("topic", topic.to_string())];
                    return Err(with_reason(Code::Aborted, "EPOCH_CHANGED", message, &metadata));
                }
            }
        }
    }
}

/// The offset of a cursor that still means the lines that it meant.
fn offset_of(cursor: &Cursor, timeline: &Timeline) -> Result<Offset, Status> {
    let (topic, from) = (&cursor.topic, cursor.offset);
    match timeline.common_with(cursor.epoch) {
        Ok(Some(common)) if from > common => {
            Err(Break::Rewound.status(from, common, &timeline.cursor_at(topic, common)))
        }
        Ok(_) => Ok(from),
        Err(()) => {
            let first = timeline.first();
            Err(Break::Reset.status(from, first, &timeline.cursor_at(topic, first)))
        }
    }
}
