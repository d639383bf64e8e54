//! `CommitCursor` and `GetCursor`: where durable subscriptions go on.

use std::{collections::HashSet, fmt::Display, str::FromStr};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tonic::{Code, Status};

use super::{
    Options,
    bounds::{Bound, TopicBound},
    event::refused,
    metrics::Metrics,
    request::Check,
    status::with_reason,
    topics::{not_found, patiently},
};
use crate::{
    hub::ReadError,
    proto,
    record::{CommitToken, Cursor, SubscriptionName, Topic},
    store::{Commit, Committed, DurableBounds, Store},
};

/// How many topics are committed at once.
const AT_ONCE: usize = 8;

/// What is to be committed.
#[derive(Debug)]
pub(super) struct Commits {
    name: SubscriptionName,
    /// At least one, of one topic each.
    pub(super) cursors: Vec<Cursor>,
    token: Option<CommitToken>,
    seeks: bool,
}

impl Commits {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong; `RESOURCE_EXHAUSTED` of too many topics.
    pub(super) fn parse(request: &proto::CommitCursorRequest, bound: &TopicBound) -> Result<Self, Status> {
        bound.check(request.cursors.len())?;
        let mut check = Check::default();
        let name = check.read("subscription", "BAD_SUBSCRIPTION", &request.subscription);
        let topic = |cursor: &Cursor| cursor.topic.clone();
        let cursors = each(&mut check, ("cursors", "BAD_CURSOR"), &request.cursors, topic);
        let token = match request.commit_token.as_str() {
            "" => None,
            _ if request.seek => {
                check.wrong("commit_token", "BAD_COMMIT_TOKEN", "a seek takes no token: leave it empty");
                None
            }
            text => check.read("commit_token", "BAD_COMMIT_TOKEN", text),
        };
        let name = check.finish(name)?;
        Ok(Self { name, cursors, token, seeks: request.seek })
    }

    /// Commits all cursors; what stands then, in their order.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` where another stream has the subscription, `INVALID_ARGUMENT` of a
    /// cursor that is ahead of its topic, `NOT_FOUND`, `RESOURCE_EXHAUSTED`, `UNAVAILABLE`.
    pub(super) async fn carry_out(
        &self,
        store: &Store,
        options: &Options,
        metrics: &Metrics,
    ) -> Result<proto::CommitCursorResponse, Status> {
        let commits = self.cursors.iter().map(|cursor| self.commit(store, cursor, options, metrics));
        let commits: Vec<_> = commits.collect();
        let cursors = stream::iter(commits).buffered(AT_ONCE).try_collect().await?;
        Ok(proto::CommitCursorResponse { cursors })
    }

    async fn commit(
        &self,
        store: &Store,
        cursor: &Cursor,
        options: &Options,
        metrics: &Metrics,
    ) -> Result<String, Status> {
        let Self { name, token, seeks, .. } = self;
        let commit = Commit { name, token: *token, cursor, seeks: *seeks };
        let committed = patiently(options.redis_wait_ms, || store.commit(&commit, options.durable)).await?;
        let topic = &cursor.topic;
        match committed {
            Committed::At(bookmark) => Ok(bookmark.to_string()),
            Committed::Taken => Err(taken(name, topic)),
            Committed::Full => Err(too_many(topic, options.durable, metrics)),
            Committed::Absent => Err(not_found(topic)),
            Committed::Ahead { epoch, next } => {
                let tail = Cursor { topic: topic.clone(), epoch, offset: next };
                Err(refused(&ReadError::Ahead { cursor: cursor.clone(), tail }))
            }
        }
    }
}

/// What is asked for by `GetCursor`.
#[derive(Debug)]
pub(super) struct Inquiry {
    /// The topics, each with the subscription.
    pub(super) wanted: Vec<(Topic, SubscriptionName)>,
}

impl Inquiry {
    /// Reads a request.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, with every field that is wrong; `RESOURCE_EXHAUSTED` of too many topics.
    pub(super) fn parse(request: &proto::GetCursorRequest, bound: &TopicBound) -> Result<Self, Status> {
        bound.check(request.topics.len())?;
        let mut check = Check::default();
        let name: Option<SubscriptionName> =
            check.read("subscription", "BAD_SUBSCRIPTION", &request.subscription);
        let topics = each(&mut check, ("topics", "BAD_TOPIC"), &request.topics, Topic::clone);
        let name = check.finish(name)?;
        Ok(Self { wanted: topics.into_iter().map(|topic| (topic, name.clone())).collect() })
    }

    /// Where it goes on.
    ///
    /// # Errors
    /// `UNAVAILABLE` when Redis does not answer within `redis_wait_ms`.
    pub(super) async fn answer(
        &self,
        store: &Store,
        redis_wait_ms: u64,
    ) -> Result<proto::GetCursorResponse, Status> {
        let look = || async { store.held(&self.wanted).await?.into_iter().collect::<Result<Vec<_>, _>>() };
        let found = patiently(redis_wait_ms, look).await?;
        let cursors = self.wanted.iter().zip(found).filter_map(|((topic, _), held)| {
            let cursor = held?.bookmark.cursor().map(ToString::to_string).unwrap_or_default();
            Some(proto::CommittedCursor { topic: topic.to_string(), cursor })
        });
        Ok(proto::GetCursorResponse { cursors: cursors.collect() })
    }
}

/// Reads a field of several texts: at least one, each of a topic of its own.
fn each<T: FromStr<Err: Display>>(
    check: &mut Check,
    (field, reason): (&str, &'static str),
    texts: &[String],
    topic: impl Fn(&T) -> Topic,
) -> Vec<T> {
    if texts.is_empty() {
        check.wrong(field, reason, "there is none: give at least one");
    }
    let (mut all, mut topics) = (Vec::new(), HashSet::new());
    for (index, text) in texts.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let Some(value) = check.read::<T>(field.clone(), reason, text) else { continue };
        if topics.insert(topic(&value)) {
            all.push(value);
        } else {
            check.wrong(field, reason, format!("topic {} is there twice", topic(&value)));
        }
    }
    all
}

/// The end of a stream, and of a commit, when another stream has the subscription.
pub(super) fn taken(name: &SubscriptionName, topic: &Topic) -> Status {
    let message = format!("another stream has taken over the durable subscription {name} of {topic}");
    let metadata = [("subscription", name.to_string()), ("topic", topic.to_string())];
    with_reason(Code::FailedPrecondition, "SUBSCRIPTION_TAKEN", message, &metadata)
}

/// No room for one more.
pub(super) fn too_many(topic: &Topic, bounds: DurableBounds, metrics: &Metrics) -> Status {
    let most = bounds.max_per_topic;
    let message = format!(
        "the topic {topic} has {most} durable subscriptions, which is the bound max_durable_subscriptions"
    );
    let more = [("topic", topic.to_string())];
    Bound::DurableSubscriptions.refused(most as usize, message, &more, metrics)
}
