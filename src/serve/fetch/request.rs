//! Reads a `FetchRequest`: what is wrong in it is said field by field.

use std::sync::Arc;

use tonic::Status;

use crate::{
    hub::{Direction, Start},
    proto,
    record::{Cursor, Topic},
    serve::{
        Options,
        cut::Bounds,
        filter::{Filter, Filters},
        request::Check,
    },
};

/// The bounds of a page, where a caller says nothing.
const LINES: u32 = 1000;
const BYTES: u32 = 1 << 20;

/// Which page is wanted.
#[derive(Debug)]
pub(in crate::serve) struct Query {
    pub(in crate::serve) topic: Topic,
    pub(super) start: Start,
    pub(super) direction: Direction,
    pub(super) bounds: Bounds,
    pub(super) filter: Option<Arc<Filter>>,
}

impl Query {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong.
    pub(in crate::serve) fn parse(
        request: &proto::FetchRequest,
        options: &Options,
        filters: &Filters,
    ) -> Result<Self, Status> {
        let mut check = Check::default();
        let topic: Option<Topic> = check.read("topic", "BAD_TOPIC", &request.topic);
        let direction = match proto::Direction::try_from(request.direction) {
            Ok(proto::Direction::Unspecified | proto::Direction::Forwards) => Direction::Forwards,
            Ok(proto::Direction::Backwards) => Direction::Backwards,
            Err(_) => {
                let why = format!(
                    "{} is none of DIRECTION_FORWARDS (1) and DIRECTION_BACKWARDS (2)",
                    request.direction
                );
                check.wrong("direction", "BAD_DIRECTION", why);
                Direction::Forwards
            }
        };
        let start = start(&mut check, request, topic.as_ref(), direction);
        let (lines, bytes) = (options.max_batch_lines, options.max_batch_bytes);
        let lines = check.limit("max_lines", request.max_lines, LINES.min(lines), lines);
        let bytes = check.limit("max_bytes", request.max_bytes, BYTES.min(bytes), bytes);
        let filter = check.filter(request.filter.as_ref(), filters);
        let bounds = Bounds { lines, bytes: bytes as usize };
        Ok(Self { topic: check.finish(topic)?, start, direction, bounds, filter })
    }
}

fn start(
    check: &mut Check,
    request: &proto::FetchRequest,
    topic: Option<&Topic>,
    direction: Direction,
) -> Start {
    let default = match direction {
        Direction::Forwards => Start::Earliest,
        Direction::Backwards => Start::Latest,
    };
    let asked = request.start.as_ref().filter(|start| start.position.is_some());
    if request.cursor.is_empty() {
        return asked.map_or(default, |start| check.start(Some(start)));
    }
    if asked.is_some() {
        check.wrong("start", "BAD_START", "there is a cursor, which says where: leave one of them out");
    }
    let cursor: Option<Cursor> = check.read("cursor", "BAD_CURSOR", &request.cursor);
    if let (Some(cursor), Some(topic)) = (&cursor, topic)
        && cursor.topic != *topic
    {
        check.wrong("cursor", "BAD_CURSOR", format!("cursor {cursor} is not of the topic {topic}"));
    }
    cursor.map_or(default, |cursor| Start::Cursor(cursor.epoch, cursor.offset))
}
