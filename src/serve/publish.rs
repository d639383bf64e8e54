//! `Publish`: lines of programs that have no file, each once.
//!
//! A relay keeps nothing of a producer: who has its name and where it stands is in Redis,
//! in the same hash as the offsets, so a program may go on over any relay. A call is
//! admitted under its producer's name, and is a [`Session`] then.

mod codec;
mod request;
mod session;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};
use tonic::{Code, Status, Streaming};

pub use self::codec::{BytesDecoder, PublishCodec};
use self::{request::Opening, session::Session};
use super::{
    bounds::Bound,
    drain::Leave,
    metrics::Metrics,
    permit::permit,
    status::{self, Violation},
};
use crate::{
    access::{Action, Principal},
    proto,
    publish::{self, Admission, Applicant, Publisher, Seat},
    record::LineBounds,
    store::Store,
};

/// Bounds of what programs may publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishOptions {
    /// Greatest number of streams; more are refused.
    pub max_publishers: usize,
    /// Greatest number of producers of a topic, over all relays; more are refused.
    pub max_producers: u32,
    /// Greatest length of a line, in bytes; longer ones are refused.
    pub max_line_bytes: usize,
    /// What all streams together may have sent that Redis has not confirmed, in bytes; and a
    /// request each.
    pub buffer_bytes: u32,
    /// Greatest size of a batch, in bytes; one line may exceed it. A stream has two at most.
    pub batch_bytes: usize,
    /// For how long a producer's name is kept for an instance of which nothing is heard, in
    /// milliseconds.
    pub lease_ms: u64,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            max_publishers: 1000,
            max_producers: 10_000,
            max_line_bytes: 1024 * 1024,
            buffer_bytes: 64 * 1024 * 1024,
            batch_bytes: 256 * 1024,
            lease_ms: 10_000,
        }
    }
}

/// What a call is answered with.
pub(super) type Responses = mpsc::Sender<Result<proto::PublishResponse, Status>>;

/// What all calls share. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Publishing {
    options: Arc<PublishOptions>,
    redis_wait: Duration,
    bounds: LineBounds,
    publisher: Publisher,
    room: Arc<Semaphore>,
    metrics: Metrics,
}

impl Publishing {
    pub(super) fn new(
        options: PublishOptions,
        redis_wait_ms: u64,
        store: Store,
        counters: publish::Metrics,
        metrics: Metrics,
    ) -> Self {
        let of_publisher = publish::Options {
            max_batch_bytes: options.batch_bytes,
            budget_bytes: options.buffer_bytes,
            ..publish::Options::default()
        };
        Self {
            redis_wait: Duration::from_millis(redis_wait_ms),
            bounds: request::bounds(options.max_line_bytes),
            publisher: Publisher::new(store, of_publisher, counters),
            room: Arc::new(Semaphore::new(options.max_publishers.min(Semaphore::MAX_PERMITS))),
            metrics,
            options: Arc::new(options),
        }
    }

    /// Compares where producers stand with what Redis has, until it is dropped.
    pub(super) async fn audit(&self) -> Infallible {
        self.publisher.audit().await
    }

    /// Room for one call.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`.
    pub(super) fn take_room(&self) -> Result<OwnedSemaphorePermit, Status> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        room.map_err(|_| Bound::Publishers.reached(self.options.max_publishers, &self.metrics))
    }

    /// Serves one call to its end.
    pub(super) async fn run(
        self,
        caller: Principal,
        requests: Streaming<Bytes>,
        responses: Responses,
        leave: Leave,
    ) {
        self.metrics.publishers.inc();
        let served = tokio::select! {
            opened = self.open(&caller, requests, &responses, &leave) => Some(opened),
            () = responses.closed() => None,
        };
        let ended = match served {
            Some(Ok(session)) => session.run().await,
            Some(Err(status)) => Err(status),
            None => Ok(()),
        };
        if let Err(status) = ended {
            tracing::debug!(caller = caller.name(), %status, "a publisher's stream ends");
            // A caller that is gone needs no answer.
            responses.send(Err(status)).await.ok();
        }
        self.metrics.publishers.dec();
    }

    async fn open(
        &self,
        caller: &Principal,
        mut requests: Streaming<Bytes>,
        responses: &Responses,
        leave: &Leave,
    ) -> Result<Session, Status> {
        let message = tokio::select! {
            message = requests.message() => message,
            () = leave.told() => return Err(leave.status()),
        };
        let message = message.map_err(|error| session::unreadable(&error))?.ok_or_else(|| {
            let why = "there is none: the first one says who publishes, and where".to_owned();
            status::invalid(&[Violation { field: "request".to_owned(), reason: "NO_REQUEST", why }])
        })?;
        let (opening, request) = request::first(message, &self.bounds)?;
        permit(caller, Action::Publish, &opening.topic)?;
        let seat = tokio::select! {
            seat = self.admit(&opening) => seat?,
            () = leave.told() => return Err(leave.status()),
        };
        tracing::debug!(caller = caller.name(), source = %seat.standing().key(), "publishes");
        let ends = (leave.clone(), caller.expired());
        Ok(Session::new(self, opening, seat, request, requests, responses.clone(), ends))
    }

    async fn admit(&self, opening: &Opening) -> Result<Seat, Status> {
        let Opening { topic, producer, instance, resume, .. } = opening;
        let max_producers = self.options.max_producers;
        let applicant = Applicant {
            topic: topic.clone(),
            producer: producer.clone(),
            instance: *instance,
            resume: *resume,
            lease_ms: self.options.lease_ms,
            max_producers,
        };
        let Ok(admission) = timeout(self.redis_wait, self.publisher.admit(applicant)).await else {
            let message = format!("redis has been away for {} ms", self.redis_wait.as_millis());
            return Err(status::unavailable("REDIS_UNAVAILABLE", message, self.redis_wait));
        };
        match admission {
            Some(Admission::Granted(seat)) => Ok(seat),
            Some(Admission::Taken { for_ms }) => {
                let message = format!(
                    "the producer {producer} of {topic} is another instance now: give this one another name, \
                     or end the other (its name is free {for_ms} ms after it was heard last)"
                );
                let metadata = [("producer", producer.to_string()), ("for_ms", for_ms.to_string())];
                let after = Duration::from_millis(for_ms);
                let (code, reason) = (Code::FailedPrecondition, "PRODUCER_TAKEN");
                Err(status::with_retry(code, reason, message, &metadata, after))
            }
            Some(Admission::TooMany) => {
                let message = format!(
                    "{topic} has {max_producers} producers, which is the bound max_producers: producers that \
                     finish, or that are idle for longer than lines are kept, make room"
                );
                Err(Bound::Producers.refused(max_producers as usize, message, &[], &self.metrics))
            }
            None => {
                let message = format!("what redis has of {topic} cannot be used: the relay's log says why");
                Err(status::unavailable("TOPIC_UNUSABLE", message, self.redis_wait))
            }
        }
    }
}
