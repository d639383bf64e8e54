//! `Fetch`: one page of a topic, forwards or backwards.
//!
//! Works on one look at the topic; where that is not true any more before anything was
//! read, it looks again. A call reads a bounded number of pages of Redis.

mod request;

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tonic::Status;

pub(super) use self::request::Query;
use super::{
    bounds::Bound,
    cut::{Bounds, Piece},
    event::{self, Break},
    frame::Frame,
    lane::SMALL_BYTES,
    metrics::Metrics,
    page::Page,
    topics::{not_found, patiently},
};
use crate::{
    hub::{self, Direction, History, HistoryError, Resume, Start, Step},
    proto,
    record::Offset,
    store,
};

/// How many pages of Redis, and bytes of them, one call reads at most.
const MAX_PAGES: usize = 64;
const MAX_READ_BYTES: usize = 16 << 20;
/// How many gaps a page has at most.
const MAX_GAPS: usize = 100;
/// How often a line that is too large where memory is short looks for room.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(100);
/// What a batch takes in a message beside its own bytes.
const BATCH_OVERHEAD_BYTES: usize = 8;

/// What a page has so far.
#[derive(Debug)]
struct Reading<'a> {
    query: &'a Query,
    history: History,
    /// How far it has come.
    at: Offset,
    batches: Vec<Frame>,
    gaps: Vec<proto::Gap>,
    left: Bounds,
    is_full: bool,
    /// Whether the first line found no room, as memory is short.
    is_out_of_room: bool,
    read_bytes: usize,
}

/// Where a page begins, and what is to be said of that.
struct Begin {
    at: Offset,
    rewound: Option<proto::Rewound>,
    reset: Option<proto::Reset>,
}

/// Reads the page.
///
/// # Errors
/// `NOT_FOUND`, `OUT_OF_RANGE` of a cursor whose line is trimmed, `INVALID_ARGUMENT` of one that is
/// ahead, `UNAVAILABLE` when Redis does not answer within `redis_wait_ms`, `RESOURCE_EXHAUSTED` of a line
/// for which there is no room.
pub(super) async fn fetch(
    query: &Query,
    hub: &hub::Handle,
    metrics: &Metrics,
    redis_wait_ms: u64,
) -> Result<Page, Status> {
    let deadline = Instant::now() + Duration::from_millis(redis_wait_ms / 2);
    patiently(redis_wait_ms, || async {
        loop {
            match attempt(query, hub, deadline).await {
                Ok(page) => return Ok(Ok(page)),
                Err(Failed::Refused(status)) => return Ok(Err(*status)),
                Err(Failed::NoRoom) if Instant::now() < deadline => sleep(LOOK_FOR_ROOM).await,
                Err(Failed::NoRoom) => return Ok(Err(Bound::Held.reached(hub.held_bytes(), metrics))),
                Err(Failed::History(HistoryError::Changed)) => tokio::task::yield_now().await,
                Err(Failed::History(HistoryError::Store(error))) => return Err(error),
                Err(Failed::History(HistoryError::Read(error))) => return Ok(Err(event::refused(&error))),
            }
        }
    })
    .await?
}

/// Why a page was not read.
enum Failed {
    Refused(Box<Status>),
    History(HistoryError),
    /// Memory is short, and the first line is large.
    NoRoom,
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

impl From<HistoryError> for Failed {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl From<store::Error> for Failed {
    fn from(error: store::Error) -> Self {
        Self::History(error.into())
    }
}

async fn attempt(query: &Query, hub: &hub::Handle, deadline: Instant) -> Result<Page, Failed> {
    let topic = &query.topic;
    let mut history = hub.history(topic).await?.ok_or_else(|| not_found(topic))?;
    let begin = begin(query, &mut history).await?;
    let mut reading = Reading {
        query,
        history,
        at: begin.at,
        batches: Vec::new(),
        gaps: Vec::new(),
        left: query.bounds,
        is_full: false,
        is_out_of_room: false,
        read_bytes: 0,
    };
    for _ in 0..MAX_PAGES {
        if reading.is_done() || (reading.at != begin.at && Instant::now() > deadline) {
            break;
        }
        match reading.history.page(reading.at, query.direction).await {
            Ok(steps) => steps.into_iter().for_each(|step| reading.take(step)),
            // What was read is good; the next call looks anew.
            Err(HistoryError::Changed | HistoryError::Read(_)) if reading.at != begin.at => break,
            Err(error) => return Err(error.into()),
        }
    }
    if reading.is_out_of_room { Err(Failed::NoRoom) } else { Ok(reading.finish(begin)) }
}

/// Finds where the page begins.
async fn begin(query: &Query, history: &mut History) -> Result<Begin, Failed> {
    let forwards = query.direction == Direction::Forwards;
    let (mut rewound, mut reset) = (None, None);
    let Start::Cursor(epoch, from) = query.start else {
        return Ok(Begin { at: history.offset(query.start).await?, rewound, reset });
    };
    let resume = history.resume(epoch, from).await?;
    let timeline = history.timeline();
    let cursor_at = |offset| timeline.cursor_at(&query.topic, offset);
    let at = match resume {
        Resume::Continue | Resume::Gap { .. } | Resume::Ahead => from,
        Resume::Rewound { to } => {
            rewound = Some(event::rewound(from, to, &cursor_at(to)));
            to
        }
        Resume::Reset { to } => {
            let to = if forwards { to } else { timeline.next() };
            reset = Some(event::reset(from, to, &cursor_at(to)));
            to
        }
    };
    if forwards && at < timeline.first() {
        let first = timeline.first();
        return Err(Break::Gap("trimmed".to_owned()).status(at, first, &cursor_at(first)).into());
    }
    Ok(Begin { at, rewound, reset })
}

impl Reading<'_> {
    /// Whether there is no more to be read, or no more room.
    fn is_done(&self) -> bool {
        let timeline = self.history.timeline();
        let is_at_end = match self.query.direction {
            Direction::Forwards => self.at >= timeline.next(),
            Direction::Backwards => self.at <= timeline.first(),
        };
        self.is_full || is_at_end || self.read_bytes >= MAX_READ_BYTES || self.gaps.len() >= MAX_GAPS
    }

    fn take(&mut self, step: Step) {
        if self.is_full {
            return;
        }
        match step {
            Step::Lines { entry, from } => {
                self.read_bytes += entry.bytes();
                let (first, next) = (entry.first, entry.next());
                let piece = Piece::new(entry, from, self.query.filter.as_deref());
                match self.query.direction {
                    Direction::Forwards => self.forwards(piece, next),
                    Direction::Backwards => self.backwards(piece, first),
                }
            }
            Step::Gap { from, to, why } => {
                let (topic, cursor) = (&self.query.topic, self.cursor_at(to));
                self.gaps.push(proto::Gap {
                    topic: topic.to_string(),
                    from_offset: from.get(),
                    to_offset: to.get(),
                    cursor,
                    reason: why.to_string(),
                });
                self.at = if self.query.direction == Direction::Forwards { to } else { from };
            }
            Step::Rewound { .. } | Step::Reset { .. } | Step::CaughtUp => {}
        }
    }

    fn forwards(&mut self, piece: Option<Piece>, next: Offset) {
        let Some(piece) = piece else {
            self.at = next;
            return;
        };
        let bounds = self.bounds(&piece);
        let (piece, rest) = piece.cut(self.query.topic.as_str().len(), bounds);
        if self.add(&piece) {
            self.at = piece.next();
            self.is_full |= rest.is_some();
        }
    }

    fn backwards(&mut self, piece: Option<Piece>, first: Offset) {
        let Some(piece) = piece.and_then(|piece| piece.before(self.at)) else {
            self.at = first;
            return;
        };
        let bounds = self.bounds(&piece);
        let (rest, piece) = piece.cut_last(self.query.topic.as_str().len(), bounds);
        if self.add(&piece) {
            self.at = if rest.is_some() { piece.first() } else { first };
            self.is_full |= rest.is_some();
        }
    }

    /// What the next batch may have: little where memory is short, as nobody may take it.
    fn bounds(&self, piece: &Piece) -> Bounds {
        if piece.entry.memory().is_short() { self.left.at_most(SMALL_BYTES) } else { self.left }
    }

    /// Adds a piece where there is room for it; the first one always has, unless memory is short.
    fn add(&mut self, piece: &Piece) -> bool {
        let cursor = self.history.timeline().cursor_at(&self.query.topic, piece.next());
        let mut frame = Frame::batch(piece, &cursor);
        let bytes = frame.batch_bytes() + BATCH_OVERHEAD_BYTES;
        let is_short = piece.entry.memory().is_short();
        self.is_full = !self.batches.is_empty() && (is_short || bytes > self.left.bytes);
        if self.is_full {
            return false;
        }
        if is_short && bytes > SMALL_BYTES {
            let Some(room) = piece.entry.memory().reserve(bytes, false) else {
                (self.is_full, self.is_out_of_room) = (true, true);
                return false;
            };
            frame.copy_from(&piece.entry);
            frame.lend(room);
        } else if is_short {
            frame.copy_from(&piece.entry);
        }
        self.batches.push(frame);
        self.left.lines = self.left.lines.saturating_sub(piece.len());
        self.left.bytes = self.left.bytes.saturating_sub(bytes);
        self.is_full = is_short || self.left.lines == 0 || self.left.bytes == 0;
        true
    }

    fn cursor_at(&self, offset: Offset) -> String {
        self.history.timeline().cursor_at(&self.query.topic, offset).to_string()
    }

    fn finish(mut self, begin: Begin) -> Page {
        if self.query.direction == Direction::Backwards {
            self.batches.reverse();
            self.gaps.reverse();
        }
        let (low, high) = (self.at.min(begin.at), self.at.max(begin.at));
        let timeline = self.history.timeline();
        let rest = proto::FetchResponse {
            batches: Vec::new(),
            previous_cursor: self.cursor_at(low),
            next_cursor: self.cursor_at(high),
            at_first: low <= timeline.first(),
            at_tail: high >= timeline.next(),
            first_offset: timeline.first().get(),
            next_offset: timeline.next().get(),
            rewound: begin.rewound,
            reset: begin.reset,
            gaps: self.gaps,
        };
        Page { batches: self.batches, rest }
    }
}
