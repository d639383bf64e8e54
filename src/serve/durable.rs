//! Durable subscriptions: each stream of one claims it in Redis, and hears when another stream
//! has claimed it since, here or at another relay.
//!
//! Until it hears so, an older stream may still be sent lines; its commits are refused from the
//! moment of the claim on.

mod claims;

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tonic::Status;

pub(super) use self::claims::{Claim, Claims};
use super::cursors;
use crate::{
    hub::{Opening, Reader, Start},
    record::{Bookmark, CommitToken, Cursor, SubscriptionName, Topic, TopicGlob},
    retry::Backoff,
    store::{self, CursorClaim, Held},
};

/// A stream of a durable subscription.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    claims: Claims,
    name: SubscriptionName,
    /// The patterns that it reads.
    globs: Arc<[TopicGlob]>,
    token: CommitToken,
    taken: watch::Sender<Option<Topic>>,
}

/// Where a topic of a subscription began.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) opening: Opening,
    /// The start that was resolved.
    pub(super) start: Start,
    /// Whether that is what was committed before.
    pub(super) is_committed: bool,
    /// Held for as long as the stream is open.
    pub(super) claim: Option<Claim>,
}

impl Durable {
    /// What its caller commits with.
    pub(super) fn token(&self) -> CommitToken {
        self.token
    }

    /// The subscription.
    pub(super) fn name(&self) -> &SubscriptionName {
        &self.name
    }

    /// Ends when another stream has claimed one of its topics: which.
    pub(super) async fn taken(&self) -> Topic {
        let mut taken = self.taken.subscribe();
        match taken.wait_for(Option::is_some).await.ok().and_then(|topic| topic.clone()) {
            Some(topic) => topic,
            None => std::future::pending().await,
        }
    }

    /// Claims a topic and goes to where it shall begin: at the cursor that was asked for, or
    /// where it was committed, or at `start`, which then is held until the first commit.
    /// Waits for as long as Redis is away.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` where the topic has too many durable subscriptions.
    async fn begin(&self, reader: &mut Reader, mut start: Start) -> Result<Begun, Status> {
        let topic = reader.topic().clone();
        let asked = match start {
            Start::Cursor(epoch, offset) => {
                Some(Bookmark::At(Cursor { topic: topic.clone(), epoch, offset }))
            }
            _ => None,
        };
        let mut held = self.claim(&topic, asked.as_ref()).await?;
        let mut committed = held.as_ref().filter(|_| asked.is_none()).map(|held| start_of(&held.bookmark));
        start = committed.unwrap_or(start);
        let mut opening = reader.start(start).await;
        if held.is_none() {
            let own = Bookmark::from(opening.cursor.clone());
            held = self.claim(&topic, Some(&own)).await?;
            // Another stream of this name was faster.
            committed =
                held.as_ref().filter(|held| held.bookmark != own).map(|held| start_of(&held.bookmark));
            if let Some(committed) = committed {
                start = committed;
                opening = reader.start(start).await;
            }
        }
        let claim = held.map(|held| self.claims.enter(self, topic, held));
        Ok(Begun { opening, start, is_committed: committed.is_some(), claim })
    }

    /// The patterns that the subscription read before: a topic of these that nothing is held of was
    /// born while no stream was there.
    pub(super) async fn patterns_before(&self) -> Vec<TopicGlob> {
        self.insist(|| self.claims.store().patterns(&self.name)).await
    }

    /// Keeps which patterns it reads; to be called when what they match now is held.
    pub(super) async fn keep_patterns(&self) {
        if !self.globs.is_empty() {
            self.insist(|| self.claims.keep_patterns(&self.name, &self.globs)).await;
        }
    }

    /// Asks Redis until it answers.
    async fn insist<T, F>(&self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, store::Error>>,
    {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(error) => tracing::debug!(subscription = %self.name, %error, "it waits to begin"),
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Claims a topic anew; none where nothing is held of it, and `opening` is none.
    async fn claim(&self, topic: &Topic, opening: Option<&Bookmark>) -> Result<Option<Held>, Status> {
        match self.insist(|| self.claims.claim(topic, &self.name, (self.token, 0), opening)).await {
            CursorClaim::Held(held) => Ok(Some(held)),
            CursorClaim::Nothing => Ok(None),
            CursorClaim::Full => Err(cursors::too_many(topic, self.claims.bounds(), self.claims.metrics())),
        }
    }
}

fn start_of(bookmark: &Bookmark) -> Start {
    match bookmark {
        Bookmark::Birth => Start::Birth,
        Bookmark::At(cursor) => Start::Cursor(cursor.epoch, cursor.offset),
    }
}

/// Goes to where a topic of a subscription, durable or not, shall begin.
///
/// # Errors
/// As [`Durable::begin`].
pub(super) async fn begin(
    durable: Option<&Durable>,
    reader: &mut Reader,
    start: Start,
) -> Result<Begun, Status> {
    if let Some(durable) = durable {
        return durable.begin(reader, start).await;
    }
    let opening = reader.start(start).await;
    Ok(Begun { opening, start, is_committed: false, claim: None })
}
