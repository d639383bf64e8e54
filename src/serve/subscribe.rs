//! One subscription: its readers, merged in turn into one stream of messages.
//!
//! Messages wait in a queue of two. A caller that does not take them costs these
//! and no more: pages are given back after a while and read again later.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval_at, timeout},
};
use tonic::Status;

use super::{
    cursors,
    cut::Bounds,
    drain::Leave,
    durable::Durable,
    event,
    frame::Frame,
    lane::{Lane, LaneBuilder, Said},
    matches::Matches,
    metrics::Metrics,
    request::Request,
};
use crate::{
    access::{Expiry, Principal},
    hub::{self, Start},
    proto::{self, subscribe_response::Event},
    record::{CommitToken, Topic},
};

/// How long a caller may leave a message lying before its readers give back what can be read
/// again; where others wait for their pages, these at first.
const PARK_AFTER: Duration = Duration::from_secs(1);
const YIELD_AFTER: Duration = Duration::from_millis(20);
const PARK_SOON_AFTER: Duration = Duration::from_millis(200);

/// A running subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The topics that were named and where each begins.
    named: Vec<(Topic, Start)>,
    /// Where those begin that patterns match at first.
    start: Start,
    /// The topics that patterns match; none where there is no pattern, or nothing can join.
    matches: Option<Box<Matches>>,
    builder: LaneBuilder,
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    bounds: Bounds,
    stop_at_tail: bool,
    frames: mpsc::Sender<Result<Frame, Status>>,
    heartbeat: Interval,
    redis_ok: watch::Receiver<bool>,
    hub: hub::Handle,
    /// Ends when the caller may not read any more.
    lapse: Expiry,
    leave: Leave,
    metrics: Metrics,
    durable: Option<Durable>,
}

/// Room for one message.
type Room = mpsc::OwnedPermit<Result<Frame, Status>>;

/// The caller is gone, or was told the end.
struct Ended;

impl Subscription {
    pub(super) fn new(
        request: Request,
        caller: &Principal,
        durable: Option<Durable>,
        hub: &hub::Handle,
        frames: mpsc::Sender<Result<Frame, Status>>,
        leave: Leave,
        metrics: Metrics,
    ) -> Self {
        let mut heartbeat = interval_at(tokio::time::Instant::now() + request.heartbeat, request.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        metrics.subscriptions.inc();
        metrics.subscribed.inc();
        Self {
            matches: Matches::new(&request, caller, durable.as_ref(), hub).map(Box::new),
            builder: LaneBuilder::new(&request, durable.as_ref(), hub),
            named: request.topics,
            start: request.start,
            lanes: Vec::new(),
            turn: 0,
            bounds: request.bounds,
            stop_at_tail: request.stop_at_tail,
            frames,
            heartbeat,
            redis_ok: hub.redis_ok(),
            hub: hub.clone(),
            lapse: caller.expired(),
            leave,
            metrics,
            durable,
        }
    }

    /// Sends until the caller leaves, the tail is reached, or the relay stops.
    pub(super) async fn run(mut self) {
        if self.open().await.is_ok() {
            while self.send_next().await.is_ok() {}
        }
    }

    /// Finds the topics and where each begins, and says so in one message.
    async fn open(&mut self) -> Result<(), Ended> {
        let waiting: Vec<_> = self.named.iter().map(event::waits).collect();
        let mut topics = std::mem::take(&mut self.named);
        let (mut matches, start, builder) = (self.matches.take(), self.start, self.builder.clone());
        let durable = self.durable.clone();
        let mut opening = Box::pin(async move {
            if let Some(matches) = &mut matches {
                let known = match &durable {
                    Some(durable) => durable.patterns_before().await,
                    None => Vec::new(),
                };
                let start_of = |topic: &Topic| {
                    if known.iter().any(|glob| glob.matches(topic)) { Start::Birth } else { start }
                };
                let existing = matches.existing().await?;
                topics.extend(existing.into_iter().map(|topic| (topic.clone(), start_of(&topic))));
            }
            let lanes = topics.into_iter().map(|(topic, start)| builder.clone().open(topic, start));
            let opened = try_join_all(lanes).await?;
            if let Some(durable) = durable {
                durable.keep_patterns().await;
            }
            Ok((matches, opened))
        });
        // Redis may be away: the caller hears so until it is back.
        let opened = loop {
            let (said, ends) = tokio::select! {
                opened = &mut opening => break opened,
                () = self.frames.closed() => return Err(Ended),
                () = self.leave.told() => (event::leaving(&self.leave), true),
                lapse = &mut self.lapse => (event::lapsed(lapse), true),
                _ = self.heartbeat.tick() => (self.heartbeat_frame(waiting.clone()), false),
            };
            self.send(Ok(said)).await?;
            if ends {
                return Err(Ended);
            }
        };
        let (matches, opened) = match opened {
            Ok(opened) => opened,
            Err(status) => {
                self.send(Err(status)).await?;
                return Err(Ended);
            }
        };
        self.matches = matches.filter(|_| !self.stop_at_tail);
        let (lanes, topics) = opened.into_iter().unzip();
        self.lanes = lanes;
        self.send(Ok(event::opened(topics, self.token()))).await
    }

    async fn send_next(&mut self) -> Result<(), Ended> {
        let room = self.room().await?;
        if self.stop_at_tail && self.lanes.iter().all(Lane::is_done) {
            return Err(Ended);
        }
        tokio::select! {
            biased;
            () = self.leave.told() => {
                room.send(Ok(event::leaving(&self.leave)));
                Err(Ended)
            }
            lapse = &mut self.lapse => {
                room.send(Ok(event::lapsed(lapse)));
                Err(Ended)
            }
            () = self.frames.closed() => Err(Ended),
            (topic, status) = taken(self.durable.as_ref()) => {
                room.send(Ok(event::taken_over(&topic)));
                self.send(Err(status)).await?;
                Err(Ended)
            }
            _ = self.heartbeat.tick() => {
                room.send(Ok(self.heartbeat_frame(self.lanes.iter().map(Lane::heartbeat).collect())));
                Ok(())
            }
            joined = joined(self.matches.as_deref_mut()) => match joined {
                Ok((lane, opened)) => {
                    room.send(Ok(event::opened(vec![opened], self.token())));
                    self.lanes.push(lane);
                    Ok(())
                }
                Err(status) => self.say(Said::Last(Err(status)), room),
            },
            said = poll_fn(|context| poll_lanes(&mut self.lanes, &mut self.turn, self.bounds, context)) => {
                self.say(said, room)
            }
        }
    }

    fn say(&self, said: Said, room: Room) -> Result<(), Ended> {
        match said {
            Said::Frame(frame, lines) => {
                if lines > 0 {
                    self.metrics.batches.inc();
                    self.metrics.lines.inc_by(lines);
                    self.metrics.bytes.inc_by(frame.batch_bytes() as u64);
                }
                room.send(Ok(frame));
                Ok(())
            }
            Said::Done => Ok(()),
            Said::Last(frame) => {
                room.send(frame);
                Err(Ended)
            }
        }
    }

    fn token(&self) -> Option<CommitToken> {
        self.durable.as_ref().map(Durable::token)
    }

    /// Waits for room for one message. Meanwhile nothing is read ahead.
    async fn room(&mut self) -> Result<Room, Ended> {
        if let Ok(room) = self.frames.clone().try_reserve_owned() {
            return Ok(room);
        }
        let mut reserve = Box::pin(self.frames.clone().reserve_owned());
        let mut park_after = PARK_AFTER;
        if self.hub.pages_are_scarce() {
            if let Ok(room) = timeout(YIELD_AFTER, &mut reserve).await {
                return room.map_err(|_| Ended);
            }
            self.lanes.iter_mut().for_each(Lane::yield_page);
            park_after = PARK_SOON_AFTER;
        }
        if let Ok(room) = timeout(park_after, &mut reserve).await {
            return room.map_err(|_| Ended);
        }
        self.lanes.iter_mut().for_each(Lane::park);
        reserve.await.map_err(|_| Ended)
    }

    async fn send(&mut self, frame: Result<Frame, Status>) -> Result<(), Ended> {
        self.room().await?.send(frame);
        Ok(())
    }

    fn heartbeat_frame(&self, topics: Vec<proto::HeartbeatTopic>) -> Frame {
        let redis_ok = *self.redis_ok.borrow();
        Frame::event(Event::Heartbeat(proto::Heartbeat { topics, redis_ok }))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.metrics.subscriptions.dec();
    }
}

/// The topic that another stream has taken from a durable one; for ever waiting for the others.
async fn taken(durable: Option<&Durable>) -> (Topic, Status) {
    let Some(durable) = durable else { return std::future::pending().await };
    let topic = durable.taken().await;
    let status = cursors::taken(durable.name(), &topic);
    (topic, status)
}

/// A topic that joins; for ever waiting where none can.
async fn joined(matches: Option<&mut Matches>) -> Result<(Lane, proto::OpenedTopic), Status> {
    match matches {
        Some(matches) => matches.joined().await,
        None => std::future::pending().await,
    }
}

/// The next message of the lanes: of the one whose turn it is, or of the next that
/// has one.
fn poll_lanes(lanes: &mut [Lane], turn: &mut usize, bounds: Bounds, context: &mut Context<'_>) -> Poll<Said> {
    for step in 0..lanes.len() {
        let index = (*turn + step) % lanes.len();
        if let Poll::Ready(said) = lanes[index].poll_next(bounds, context) {
            // A lane keeps its turn until an entry is sent as a whole: only one entry
            // is held in pieces.
            *turn = if lanes[index].is_cut() { index } else { index + 1 };
            return Poll::Ready(said);
        }
    }
    Poll::Pending
}
