//! One subscription: its readers, merged in turn into one stream of messages.
//!
//! Messages wait in a queue of one. A caller that does not take them costs that
//! message and no more: pages are given back after a while and read again later.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::try_join_all;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval_at, sleep},
};
use tonic::Status;

use super::{
    cursors,
    cut::Bounds,
    drain::Drain,
    durable::Durable,
    event,
    frame::Frame,
    lane::{Lane, Said},
    metrics::Metrics,
    request::Request,
};
use crate::{
    hub::{self, Start},
    proto::{self, subscribe_response::Event},
    record::Topic,
};

/// How long a caller may leave a message lying before its readers give back pages.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// A running subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    topics: Vec<(Topic, Start)>,
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    bounds: Bounds,
    stop_at_tail: bool,
    frames: mpsc::Sender<Result<Frame, Status>>,
    heartbeat: Interval,
    redis_ok: watch::Receiver<bool>,
    drain: Drain,
    metrics: Metrics,
    durable: Option<Durable>,
}

/// The caller is gone, or was told the end.
struct Ended;

impl Subscription {
    pub(super) fn new(
        request: Request,
        durable: Option<Durable>,
        hub: &hub::Handle,
        frames: mpsc::Sender<Result<Frame, Status>>,
        drain: Drain,
        metrics: Metrics,
    ) -> Self {
        let lanes = request
            .topics
            .iter()
            .map(|(topic, _)| Lane::new(hub.open(topic), request.fail_on_gap, request.filter.clone()));
        let mut heartbeat = interval_at(tokio::time::Instant::now() + request.heartbeat, request.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        metrics.subscriptions.inc();
        metrics.subscribed.inc();
        Self {
            lanes: lanes.collect(),
            topics: request.topics,
            turn: 0,
            bounds: request.bounds,
            stop_at_tail: request.stop_at_tail,
            frames,
            heartbeat,
            redis_ok: hub.redis_ok(),
            drain,
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

    /// Finds where every topic begins, and says so.
    async fn open(&mut self) -> Result<(), Ended> {
        let mut lanes = std::mem::take(&mut self.lanes);
        let (topics, stops, durable) = (self.topics.clone(), self.stop_at_tail, self.durable.clone());
        let opening = async move {
            let each = lanes
                .iter_mut()
                .zip(&topics)
                .map(|(lane, &(_, start))| lane.open(start, stops, durable.as_ref()));
            let opened = try_join_all(each).await;
            (lanes, opened)
        };
        let mut opening = Box::pin(opening);
        // Redis may be away: the caller hears so until it is back.
        let (lanes, opened) = loop {
            let beat = tokio::select! {
                opened = &mut opening => break opened,
                () = self.frames.closed() => return Err(Ended),
                () = self.drain.told() => event::shutting_down(),
                _ = self.heartbeat.tick() => self.heartbeat_frame(self.topics.iter().map(event::waits).collect()),
            };
            self.send(Ok(beat)).await?;
            if self.drain.has_begun() {
                return Err(Ended);
            }
        };
        self.lanes = lanes;
        let token = self.durable.as_ref().map(Durable::token);
        let has_begun = opened.is_ok();
        self.send(opened.map(|topics| event::opened(topics, token))).await?;
        if has_begun { Ok(()) } else { Err(Ended) }
    }

    async fn send_next(&mut self) -> Result<(), Ended> {
        let room = self.room().await?;
        if self.lanes.iter().all(Lane::is_done) {
            return Err(Ended);
        }
        tokio::select! {
            biased;
            () = self.drain.told() => {
                room.send(Ok(event::shutting_down()));
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
            said = poll_fn(|context| poll_lanes(&mut self.lanes, &mut self.turn, self.bounds, context)) => {
                let (frame, ends) = match said {
                    Said::Frame(frame, lines) => {
                        if lines > 0 {
                            self.metrics.batches.inc();
                            self.metrics.lines.inc_by(lines);
                            self.metrics.bytes.inc_by(frame.batch_bytes() as u64);
                        }
                        (Ok(frame), false)
                    }
                    Said::Done => return Ok(()),
                    Said::Last(frame) => (frame, true),
                };
                room.send(frame);
                if ends { Err(Ended) } else { Ok(()) }
            }
        }
    }

    /// Waits for room for one message. Meanwhile nothing is read ahead.
    async fn room(&mut self) -> Result<mpsc::OwnedPermit<Result<Frame, Status>>, Ended> {
        let mut reserve = Box::pin(self.frames.clone().reserve_owned());
        let room = tokio::select! {
            biased;
            room = &mut reserve => room,
            () = sleep(PARK_AFTER) => {
                self.lanes.iter_mut().for_each(Lane::park);
                reserve.await
            }
        };
        room.map_err(|_| Ended)
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
