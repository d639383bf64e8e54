//! One topic of a subscription: what its reader says, as messages.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};
use tonic::Status;

use super::{
    cut::{Bounds, Piece},
    durable::{self, Claim, Durable},
    event::{self, Break},
    filter::Filter,
    frame::Frame,
    request::Request,
};
use crate::{
    hub::{self, Reader, Start, Step},
    proto,
    record::{Cursor, Offset, Timeline, Topic},
    store::{Loan, Room},
};

/// The size of messages where memory is short, in bytes. A single line that is larger has to find
/// room, and looks for it again after a while.
pub(super) const SMALL_BYTES: usize = 8 * 1024;
const LOOK_FOR_ROOM: Duration = Duration::from_millis(100);
/// The same for those who have taken what they got before.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Opens the lanes of one subscription.
#[derive(Debug, Clone)]
pub(super) struct LaneBuilder {
    hub: hub::Handle,
    stop_at_tail: bool,
    fail_on_gap: bool,
    filter: Option<Arc<Filter>>,
    durable: Option<Durable>,
}

/// A reader and what is left to be said of its last step.
#[derive(Debug)]
pub(super) struct Lane {
    reader: Reader,
    fail_on_gap: bool,
    /// Which lines are wanted; none: all.
    filter: Option<Arc<Filter>>,
    /// Where to resume after what was said.
    cursor: Option<Cursor>,
    /// The rest of an entry that is sent in pieces.
    rest: Option<Piece>,
    /// Where it ends, for a subscription that stops at the tail.
    stop: Option<Offset>,
    is_done: bool,
    /// Room for the line at its place; and before that is found, how much is looked for.
    room: Option<Room>,
    wanted: Option<(usize, Pin<Box<Sleep>>)>,
    /// The last line for which there was room.
    lent: Option<Loan>,
    /// Of a durable subscription.
    _claim: Option<Claim>,
}

/// What a lane says.
#[derive(Debug)]
pub(super) enum Said {
    /// A message, and how many lines are in it.
    Frame(Frame, u64),
    /// Nothing: it has moved on without a message, or come to its end alone.
    Done,
    /// The end of the call: a last message, or a status.
    Last(Result<Frame, Status>),
}

impl LaneBuilder {
    pub(super) fn new(request: &Request, durable: Option<&Durable>, hub: &hub::Handle) -> Self {
        Self {
            hub: hub.clone(),
            stop_at_tail: request.stop_at_tail,
            fail_on_gap: request.fail_on_gap,
            filter: request.filter.clone(),
            durable: durable.cloned(),
        }
    }

    /// A lane of a topic, gone to where it shall begin, and what is to be said of that. Waits as
    /// long as Redis is away.
    ///
    /// # Errors
    /// As [`durable::begin`].
    pub(super) async fn open(self, topic: Topic, start: Start) -> Result<(Lane, proto::OpenedTopic), Status> {
        let mut reader = self.hub.open(&topic);
        let begun = durable::begin(self.durable.as_ref(), &mut reader, start).await?;
        let opened = event::opened_topic(&topic, &begun);
        let opening = begun.opening;
        let stop = opening.timeline.as_ref().map(Timeline::next).filter(|_| self.stop_at_tail);
        let lane = Lane {
            reader,
            fail_on_gap: self.fail_on_gap,
            filter: self.filter,
            cursor: opening.cursor,
            rest: None,
            stop,
            is_done: self.stop_at_tail && stop.is_none(),
            room: None,
            wanted: None,
            lent: None,
            _claim: begun.claim,
        };
        Ok((lane, opened))
    }
}

impl Lane {
    pub(super) fn topic(&self) -> &Topic {
        self.reader.topic()
    }

    /// Whether it has come to its end.
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether an entry was sent in part.
    pub(super) fn is_cut(&self) -> bool {
        self.rest.is_some()
    }

    /// Gives back the page that it has not taken yet.
    pub(super) fn yield_page(&mut self) {
        self.reader.release_page();
    }

    /// Gives back what can be read again.
    pub(super) fn park(&mut self) {
        if let (Some(_), Some(cursor)) = (self.rest.take(), &self.cursor) {
            self.reader.go_back(cursor);
        }
        self.reader.release_page();
        self.room = None;
    }

    pub(super) fn heartbeat(&self) -> proto::HeartbeatTopic {
        proto::HeartbeatTopic {
            topic: self.topic().to_string(),
            cursor: self.cursor.as_ref().map(ToString::to_string).unwrap_or_default(),
            tail_offset: self.reader.tail().get(),
        }
    }

    /// The next message.
    pub(super) fn poll_next(&mut self, bounds: Bounds, context: &mut Context<'_>) -> Poll<Said> {
        if self.is_done {
            return Poll::Pending;
        }
        ready!(self.poll_room(context));
        if let Some(piece) = self.rest.take() {
            return Poll::Ready(self.send(piece, bounds));
        }
        let step = match ready!(self.reader.poll_next(context)) {
            Ok(step) => step,
            Err(error) => return Poll::Ready(Said::Last(event::failed(&error))),
        };
        Poll::Ready(match step {
            Step::Lines { from, .. } if self.stop.is_some_and(|stop| from >= stop) => self.finish(),
            Step::Lines { entry, from } => {
                if let Some(piece) = Piece::new(entry, from, self.filter.as_deref()) {
                    self.send(piece, bounds)
                } else {
                    // The cursor goes past what is left out.
                    self.cursor = self.reader.cursor();
                    Said::Done
                }
            }
            Step::Gap { from, to, why } => self.say_break(Break::Gap(why.to_string()), from, to),
            Step::Rewound { from, to } => self.say_break(Break::Rewound, from, to),
            Step::Reset { from, to } => self.say_break(Break::Reset, from, to),
            Step::CaughtUp => {
                self.cursor = self.reader.cursor();
                self.finish()
            }
        })
    }

    fn send(&mut self, piece: Piece, bounds: Bounds) -> Said {
        // All lines of an entry are of one epoch: that of the reader's place after it.
        let Some(mut cursor) = self.reader.cursor() else { return Said::Done };
        let is_short = piece.entry.memory().is_short();
        let bounds = if is_short { bounds.at_most(SMALL_BYTES) } else { bounds };
        let (piece, rest) = piece.cut(cursor.topic.as_str().len(), bounds);
        cursor.offset = piece.next();
        let mut frame = Frame::batch(&piece, &cursor);
        let (room, bytes) = (self.room.take(), frame.batch_bytes());
        if is_short && bytes > SMALL_BYTES {
            let room = room.filter(|room| room.bytes() >= bytes);
            let Some(room) = room.or_else(|| self.find_room(bytes)) else {
                return self.wait_for_room(&piece, bytes);
            };
            frame.copy_from(&piece.entry);
            self.lent = frame.lend(room);
        } else if is_short {
            frame.copy_from(&piece.entry);
        }
        self.cursor = Some(cursor);
        self.rest = rest;
        Said::Frame(frame, u64::from(piece.len()))
    }

    /// Goes back before a line that is too large to be sent where memory is short, and gives back
    /// its entry.
    fn wait_for_room(&mut self, piece: &Piece, bytes: usize) -> Said {
        let (topic, epoch) = (self.topic().clone(), piece.entry.epoch);
        self.reader.go_back(&Cursor { topic, epoch, offset: piece.first() });
        self.wanted = Some((bytes, Box::pin(sleep(self.look_after()))));
        Said::Done
    }

    /// Room for a line; only where the one before was taken.
    fn find_room(&self, bytes: usize) -> Option<Room> {
        let has_paid = self.lent.as_ref().map(Loan::is_paid);
        (has_paid != Some(false)).then(|| self.reader.memory().reserve(bytes, has_paid == Some(true)))?
    }

    fn look_after(&self) -> Duration {
        if self.lent.is_some() { LOOK_AGAIN } else { LOOK_FOR_ROOM }
    }

    /// Waits until there is room for the line at its place; no longer than memory is short.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some((bytes, mut wait)) = self.wanted.take() {
            if wait.as_mut().poll(context).is_pending() {
                self.wanted = Some((bytes, wait));
                return Poll::Pending;
            }
            self.room = self.find_room(bytes);
            if self.room.is_none() && self.reader.memory().is_short() {
                wait.as_mut().reset(tokio::time::Instant::now() + self.look_after());
                self.wanted = Some((bytes, wait));
            }
        }
        Poll::Ready(())
    }

    fn say_break(&mut self, what: Break, from: Offset, to: Offset) -> Said {
        let Some(cursor) = self.reader.cursor() else { return Said::Done };
        if self.fail_on_gap {
            return Said::Last(Err(what.status(from, to, &cursor)));
        }
        if self.stop.is_some() && !matches!(what, Break::Gap(_)) {
            // The tail of when the call began is no place of this timeline.
            self.stop = Some(self.reader.tail());
        }
        let frame = what.event(from, to, &cursor);
        self.cursor = Some(cursor);
        Said::Frame(frame, 0)
    }

    /// The tail is reached: the end, for those who stop there.
    fn finish(&mut self) -> Said {
        self.is_done = self.stop.is_some();
        match &self.cursor {
            Some(cursor) => Said::Frame(event::caught_up(cursor), 0),
            None => Said::Done,
        }
    }
}
