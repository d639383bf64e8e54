//! `ListTopics`: what there is, as Redis says it now.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::{frame::timestamp, status};
use crate::{
    access::{Action, Principal},
    hub, proto,
    record::Topic,
    retry::Backoff,
    store::{self, OwnRetention, Resolved, Store},
};

/// How many topics are looked up at once.
const AT_ONCE: usize = 8;

/// Every topic that exists and that the caller may read, sorted by name.
///
/// # Errors
/// `UNAVAILABLE` when Redis does not answer within `redis_wait_ms`, with when to ask
/// again.
pub(super) async fn list(
    store: &Store,
    hub: &hub::Handle,
    caller: &Principal,
    redis_wait_ms: u64,
) -> Result<Vec<proto::TopicInfo>, Status> {
    let found = patiently(redis_wait_ms, || resolve_all(store, caller)).await?;
    Ok(found.into_iter().map(|(topic, resolved)| info(&topic, &resolved, hub.readers(&topic))).collect())
}

/// Asks Redis until it answers.
///
/// # Errors
/// `UNAVAILABLE` when it does not within `redis_wait_ms`.
pub(super) async fn patiently<T, F>(redis_wait_ms: u64, ask: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, store::Error>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let mut why = String::from("it does not answer");
    let patient = async {
        loop {
            match ask().await {
                Ok(found) => break found,
                Err(error) => why = error.to_string(),
            }
            sleep(backoff.next_delay()).await;
        }
    };
    let waited = timeout(Duration::from_millis(redis_wait_ms), patient).await;
    waited.map_err(|_| {
        let message = format!("redis has been away for {redis_wait_ms} ms: {why}");
        status::unavailable("REDIS_UNAVAILABLE", message, Duration::from_millis(redis_wait_ms))
    })
}

async fn resolve_all(store: &Store, caller: &Principal) -> Result<Vec<(Topic, Resolved)>, store::Error> {
    let mut names = store.topics().await?;
    names.retain(|topic| caller.may(Action::Read, topic));
    let mut answers = stream::iter(names)
        .map(|topic| async move { store.resolve(&topic).await.map(|found| (topic, found)) })
        .buffered(AT_ONCE);
    let mut found = Vec::new();
    while let Some(answer) = answers.next().await {
        if let (topic, Some(resolved)) = answer? {
            found.push((topic, resolved));
        }
    }
    Ok(found)
}

/// `NOT_FOUND`: there is no such topic.
pub(super) fn not_found(topic: &Topic) -> Status {
    let message = format!("there is no topic {topic}");
    status::with_reason(Code::NotFound, "TOPIC_NOT_FOUND", message, &[("topic", topic.to_string())])
}

/// What is told of a topic.
pub(super) fn info(topic: &Topic, resolved: &Resolved, readers: u64) -> proto::TopicInfo {
    let (timeline, own) = (&resolved.timeline, resolved.retention);
    let retention = proto::Retention { max_age_ms: own.max_age_ms, max_bytes: own.max_bytes };
    let time = |ms| (ms > 0 && timeline.first() < timeline.next()).then(|| timestamp(ms));
    proto::TopicInfo {
        topic: topic.to_string(),
        epoch: timeline.epoch().to_string(),
        first_offset: timeline.first().get(),
        next_offset: timeline.next().get(),
        stored_bytes: resolved.stored_bytes,
        first_time: time(resolved.first_ms),
        last_time: time(resolved.last_ms),
        readers,
        retention: (own != OwnRetention::default()).then_some(retention),
    }
}
