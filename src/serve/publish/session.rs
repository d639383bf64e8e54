//! One producer's stream: requests become batches, and what Redis has confirmed is
//! acknowledged.
//!
//! It holds a request, the batch that is under way and the one that grows meanwhile; more is
//! not read, so HTTP/2 stops the sender. Whenever Redis has the producer elsewhere than
//! believed, the stream ends: the next one is told where it stands.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Interval, MissedTickBehavior, interval},
};
use tonic::{Code, Status, Streaming};

use super::{
    super::{
        drain::Leave,
        permit,
        status::{self, Violation},
    },
    Publishing, Responses,
    request::{self, Opening, Request},
};
use crate::{
    access::{Expiry, Lapse},
    proto,
    publish::{Group, Outcome, Publisher, Seat},
    record::{Details, LineBounds, Record, Token},
};

/// The lease is kept, and a sign of life given, so many times while it lasts.
const BEATS_PER_LEASE: u64 = 3;

/// A producer that may append.
pub(super) struct Session {
    publisher: Publisher,
    seat: Seat,
    source: proto::Source,
    bounds: LineBounds,
    requests: Streaming<Bytes>,
    responses: Responses,
    leave: Leave,
    expiry: Expiry,
    beat: Interval,
    intake: Intake,
    group: Group,
    /// The number of the line that is to come next.
    expected: u64,
    sending: Option<BoxFuture<'static, Outcome>>,
    keeping: Option<BoxFuture<'static, Option<Seat>>>,
    /// There is something to tell.
    has_news: bool,
    end: Option<End>,
}

/// The request that is being taken in.
enum Intake {
    /// None: the next one can come.
    Idle,
    /// All publishers together hold too much.
    Waiting(Request, BoxFuture<'static, Option<OwnedSemaphorePermit>>),
    /// Lines up to this one are in the group.
    Taking { request: Request, at: Option<usize>, room: Option<OwnedSemaphorePermit> },
}

/// What a session waits for.
enum Happened {
    Appended(Outcome),
    Received(Result<Option<Bytes>, Status>),
    HasRoom(Option<OwnedSemaphorePermit>),
    Told,
    Beat,
    Kept(Option<Seat>),
    /// An audit found that Redis has another record.
    Challenged,
    Drained,
    Lapsed(Lapse),
    /// The caller is gone.
    Gone,
}

/// Why no more requests are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The caller has ended its side.
    Left,
    /// The producer has ended.
    Finished,
    /// The relay stops.
    Drained,
    /// The caller may not publish any more as it is.
    Lapsed(Lapse),
}

impl Session {
    pub(super) fn new(
        publishing: &Publishing,
        opening: Opening,
        seat: Seat,
        first: Request,
        requests: Streaming<Bytes>,
        responses: Responses,
        (leave, expiry): (Leave, Expiry),
    ) -> Self {
        let Publishing { options, bounds, publisher, .. } = publishing;
        let source = proto::Source {
            key: seat.standing().key().to_string(),
            host: opening.producer.to_string(),
            path: String::new(),
            labels: opening.labels,
        };
        let expected = seat.standing().position();
        let mut beat = interval(Duration::from_millis((options.lease_ms / BEATS_PER_LEASE).max(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and tells nothing new.
        beat.reset();
        let mut session = Self {
            group: Group::of_producer(publisher.options(), &source, expected),
            publisher: publisher.clone(),
            seat,
            source,
            bounds: *bounds,
            requests,
            responses,
            leave,
            expiry,
            beat,
            intake: Intake::Idle,
            expected,
            sending: None,
            keeping: None,
            has_news: false,
            end: None,
        };
        session.receive(first);
        // The first response is on its way in any case.
        session.has_news = false;
        session
    }

    /// Serves it to its end.
    ///
    /// # Errors
    /// The status to end with; OK where the caller has ended it, or is gone.
    pub(super) async fn run(mut self) -> Result<(), Status> {
        let first = proto::PublishResponse { source: self.source.key.clone(), ..self.response() };
        self.tell(first).await;
        loop {
            self.take_lines()?;
            if self.sending.is_none() {
                self.sending = self.send();
                self.take_lines()?;
            }
            let is_quiet = self.sending.is_none() && matches!(self.intake, Intake::Idle);
            if let (true, Some(end)) = (is_quiet, self.end) {
                return self.finish(end).await;
            }
            let happened = self.wait().await;
            if let Happened::Gone = happened {
                return Ok(());
            }
            self.take_in(happened)?;
        }
    }

    /// Waits for the next thing to happen.
    async fn wait(&mut self) -> Happened {
        let reads = self.end.is_none() && matches!(self.intake, Intake::Idle);
        let standing = self.seat.standing().clone();
        let response = self.response();
        tokio::select! {
            outcome = ready(&mut self.sending) => Happened::Appended(outcome),
            () = self.leave.told(), if self.end.is_none() => Happened::Drained,
            lapse = &mut self.expiry, if self.end.is_none() => Happened::Lapsed(lapse),
            room = self.responses.reserve(), if self.has_news => match room {
                Ok(room) => {
                    room.send(Ok(response));
                    Happened::Told
                }
                Err(_) => Happened::Gone,
            },
            () = self.responses.closed() => Happened::Gone,
            // What an audit found while an append was under way is about what was before.
            _ = standing.challenged(), if self.sending.is_none() => Happened::Challenged,
            message = self.requests.message(), if reads => Happened::Received(message),
            room = has_room(&mut self.intake) => Happened::HasRoom(room),
            _ = self.beat.tick() => Happened::Beat,
            seat = ready(&mut self.keeping) => Happened::Kept(seat),
        }
    }

    fn take_in(&mut self, happened: Happened) -> Result<(), Status> {
        match happened {
            Happened::Appended(Outcome::Stored) => (self.sending, self.has_news) = (None, true),
            Happened::Appended(_) | Happened::Challenged | Happened::Kept(None) => return Err(moved()),
            Happened::Kept(Some(seat)) => (self.keeping, self.seat) = (None, seat),
            Happened::Told => self.has_news = false,
            Happened::Received(Ok(Some(message))) => {
                let request = request::later(message, &self.bounds)?;
                self.receive(request);
            }
            Happened::Received(Ok(None)) => self.end = Some(End::Left),
            Happened::Received(Err(error)) => return Err(unreadable(&error)),
            Happened::HasRoom(room) => self.intake.begin(room),
            Happened::Beat => {
                self.has_news = true;
                if self.keeping.is_none() {
                    self.keeping = Some(keep(self.publisher.clone(), self.seat.clone()));
                }
            }
            Happened::Drained => self.stop_reading(End::Drained),
            Happened::Lapsed(lapse) => self.stop_reading(End::Lapsed(lapse)),
            Happened::Gone => {}
        }
        Ok(())
    }

    /// Ends when what was taken in is stored.
    fn stop_reading(&mut self, end: End) {
        self.end = Some(end);
        if let Intake::Waiting(..) = self.intake {
            self.intake = Intake::Idle;
        }
    }

    fn receive(&mut self, request: Request) {
        if request.lines.is_empty() {
            self.has_news = true;
            self.end = request.finished.then_some(End::Finished).or(self.end);
            return;
        }
        let (publisher, bytes) = (self.publisher.clone(), request.bytes);
        self.intake = Intake::Waiting(request, async move { publisher.room(bytes).await }.boxed());
    }

    /// Puts lines into the group, as long as it is not full.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, `SEQUENCE_GAP`.
    fn take_lines(&mut self) -> Result<(), Status> {
        self.intake = match std::mem::replace(&mut self.intake, Intake::Idle) {
            Intake::Taking { request, at, room } => {
                match at.map_or_else(|| self.place(&request), |at| Ok(Some(at)))? {
                    Some(next) => self.take_from(request, next, room),
                    None => Intake::Taking { request, at: None, room },
                }
            }
            other => other,
        };
        Ok(())
    }

    /// Which line of a request is the next one; none: that is known when all before is stored.
    fn place(&mut self, request: &Request) -> Result<Option<usize>, Status> {
        let len = request.lines.len();
        if request.sequence > self.expected {
            let is_quiet = self.sending.is_none() && self.group.is_empty();
            let is_new = is_quiet && self.seat.standing().confirmed().details.lines() == 0;
            if !(is_new || request.accept_gap) {
                return Err(gap(self.expected, request.sequence));
            }
            if !is_quiet {
                return Ok(None);
            }
            self.expected = request.sequence;
            self.group = Group::of_producer(self.publisher.options(), &self.source, self.expected);
        }
        let before = self.expected - request.sequence;
        let before = usize::try_from(before).map_or(len, |before| before.min(len));
        // What was there already is acknowledged at once.
        self.has_news |= before == len;
        Ok(Some(before))
    }

    fn take_from(&mut self, request: Request, next: usize, room: Option<OwnedSemaphorePermit>) -> Intake {
        let mut at = next;
        while let Some(line) = request.lines.get(at).filter(|_| !self.group.is_full()) {
            self.group.push_encoded(line);
            (at, self.expected) = (at + 1, self.expected + 1);
        }
        if at < request.lines.len() {
            return Intake::Taking { request, at: Some(at), room };
        }
        // The room goes with the last of the lines; those before are stored by then.
        if let Some(room) = room {
            self.group.pay(room);
        }
        self.group.release_if_empty();
        self.end = request.finished.then_some(End::Finished).or(self.end);
        Intake::Idle
    }

    /// Appends what is in the group.
    fn send(&mut self) -> Option<BoxFuture<'static, Outcome>> {
        let (batch, room) = self.group.seal(self.expected)?;
        let standing = self.seat.standing().clone();
        let last = standing.confirmed().details;
        let start = if last.lines() == 0 { batch.next_line - u64::from(batch.lines) } else { last.start };
        let details = Details { start, next_line: batch.next_line, ..last };
        let record = Record { token: Token::random(), position: batch.end_position, details };
        let publisher = self.publisher.clone();
        let append = async move {
            let outcome = publisher.append(&standing, record, Some(publisher.pack(batch))).await;
            drop(room);
            outcome
        };
        Some(append.boxed())
    }

    /// Everything is stored: says so, and ends.
    async fn finish(mut self, end: End) -> Result<(), Status> {
        // It may be the one that tries whether Redis is back, for all, and nobody polls it here.
        self.keeping = None;
        let last = self.response();
        self.tell(last).await;
        match end {
            End::Left => self.publisher.leave(&self.seat).await,
            End::Finished => self.publisher.finish(&self.seat).await,
            End::Drained => return Err(self.leave.status()),
            End::Lapsed(lapse) => return Err(permit::lapsed(lapse)),
        }
        Ok(())
    }

    fn response(&self) -> proto::PublishResponse {
        let standing = self.seat.standing();
        proto::PublishResponse {
            next_sequence: standing.position(),
            redis_ok: self.publisher.takes_lines(standing.topic()),
            source: String::new(),
        }
    }

    async fn tell(&mut self, response: proto::PublishResponse) {
        // Where the caller is gone, nobody has to be told.
        self.responses.send(Ok(response)).await.ok();
    }
}

impl Intake {
    /// A request that waited has its room.
    fn begin(&mut self, room: Option<OwnedSemaphorePermit>) {
        if let Self::Waiting(request, _) = std::mem::replace(self, Self::Idle) {
            *self = Self::Taking { request, at: None, room };
        }
    }
}

/// What becomes of a future that may not be there; without one it never ends.
async fn ready<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn has_room(intake: &mut Intake) -> Option<OwnedSemaphorePermit> {
    match intake {
        Intake::Waiting(_, room) => room.await,
        _ => std::future::pending().await,
    }
}

fn keep(publisher: Publisher, mut seat: Seat) -> BoxFuture<'static, Option<Seat>> {
    async move { publisher.keep(&mut seat).await.then_some(seat) }.boxed()
}

/// Redis has forgotten lines of the producer, or another stream of it has gone on.
fn moved() -> Status {
    let message = "the producer is elsewhere by now: open another stream, whose first response says where";
    status::with_reason(Code::Aborted, "PRODUCER_MOVED", message.to_owned(), &[])
}

fn gap(expected: u64, found: u64) -> Status {
    let message = format!(
        "sequence: {expected} is expected, and {found} came: send the lines between, or set accept_gap where \
         they are lost"
    );
    let metadata = [("expected", expected.to_string()), ("found", found.to_string())];
    status::with_reason(Code::FailedPrecondition, "SEQUENCE_GAP", message, &metadata)
}

/// What a request that cannot be read is answered with.
pub(super) fn unreadable(error: &Status) -> Status {
    if error.code() != Code::OutOfRange {
        return error.clone();
    }
    let (field, why) = ("request".to_owned(), format!("{} (max_request_bytes)", error.message()));
    status::invalid(&[Violation { field, reason: "REQUEST_TOO_LARGE", why }])
}
