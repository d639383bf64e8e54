//! One subscription: its readers, merged in turn into one stream of messages.
//!
//! Messages wait in a queue of one. A caller that does not take them costs that
//! message and no more: pages are given back after a while and read again later.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{mpsc, watch},
    time::{Interval, MissedTickBehavior, interval_at, sleep},
};
use tonic::Status;

use super::{
    cut::Bounds,
    drain::Drain,
    event,
    frame::Frame,
    lane::{Lane, Said},
    metrics::Metrics,
    request::Request,
};
use crate::{
    access::{Expiry, Principal},
    hub::{self, Opening, Start},
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
    /// Ends when the caller may not read any more.
    lapse: Expiry,
    metrics: Metrics,
}

/// The caller is gone, or was told the end.
struct Ended;

impl Subscription {
    pub(super) fn new(
        request: Request,
        caller: &Principal,
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
            lapse: caller.expired(),
            metrics,
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
        let (topics, stops) = (self.topics.clone(), self.stop_at_tail);
        let opening = async move {
            let each = lanes.iter_mut().zip(&topics).map(|(lane, &(_, start))| lane.open(start, stops));
            let openings = join_all(each).await;
            (lanes, openings)
        };
        let mut opening = Box::pin(opening);
        // Redis may be away: the caller hears so until it is back.
        let (lanes, openings) = loop {
            let (said, ends) = tokio::select! {
                opened = &mut opening => break opened,
                () = self.frames.closed() => return Err(Ended),
                () = self.drain.told() => (event::shutting_down(), true),
                lapse = &mut self.lapse => (event::lapsed(lapse), true),
                _ = self.heartbeat.tick() => {
                    (self.heartbeat_frame(self.topics.iter().map(event::waits).collect()), false)
                }
            };
            self.send(Ok(said)).await?;
            if ends {
                return Err(Ended);
            }
        };
        self.lanes = lanes;
        let frame = self.opened_frame(&openings);
        self.send(Ok(frame)).await
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
            lapse = &mut self.lapse => {
                room.send(Ok(event::lapsed(lapse)));
                Err(Ended)
            }
            () = self.frames.closed() => Err(Ended),
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

    fn opened_frame(&self, openings: &[Opening]) -> Frame {
        let each = self.topics.iter().zip(openings);
        let topics = each.map(|((topic, start), opening)| event::opened(topic, *start, opening));
        Frame::event(Event::Opened(proto::Opened { topics: topics.collect() }))
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
