//! The durable subscriptions that are open at this relay, and whether they are still its own.
//!
//! All are looked at together, once a second, by one question to Redis.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::{super::metrics::Metrics, Durable};
use crate::{
    record::{Bookmark, CommitToken, SubscriptionName, Topic, TopicGlob},
    store::{self, CursorClaim, DurableBounds, Held, Store},
};

/// How often the claims are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A claim is renewed so many times before it would expire.
const RENEWALS: u32 = 10;

type Key = (Topic, SubscriptionName);

/// The durable subscriptions that are open at this relay. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Claims {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    bounds: DurableBounds,
    metrics: Metrics,
    board: Mutex<HashMap<Key, Owned>>,
    /// Tells that there is something to look at.
    has_some: Notify,
}

/// What a stream has claimed.
#[derive(Debug, Clone)]
struct Owned {
    token: CommitToken,
    claimed_ms: u64,
    /// Where it went on when it was looked at last.
    bookmark: Bookmark,
    renewed_at: Instant,
    globs: Arc<[TopicGlob]>,
    taken: watch::Sender<Option<Topic>>,
}

/// One topic of a durable stream, looked after until this is dropped.
#[derive(Debug)]
pub(in crate::serve) struct Claim {
    claims: Claims,
    key: Key,
    token: CommitToken,
}

impl Claims {
    pub(in crate::serve) fn new(store: Store, bounds: DurableBounds, metrics: Metrics) -> Self {
        let inner = Inner { store, bounds, metrics, board: Mutex::default(), has_some: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    /// A new stream of a durable subscription.
    pub(in crate::serve) fn stream(&self, name: SubscriptionName, globs: &[TopicGlob]) -> Durable {
        let (token, globs) = (CommitToken::random(), globs.into());
        Durable { claims: self.clone(), name, globs, token, taken: watch::Sender::new(None) }
    }

    /// Looks at all claims now and then, for ever.
    pub(in crate::serve) async fn run(&self) -> Infallible {
        loop {
            if self.board().is_empty() {
                self.inner.has_some.notified().await;
            }
            sleep(LOOK_EVERY).await;
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "durable subscriptions cannot be looked at");
            }
        }
    }

    fn board(&self) -> MutexGuard<'_, HashMap<Key, Owned>> {
        self.inner.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self) -> Result<(), store::Error> {
        let keys: Vec<Key> = self.board().keys().cloned().collect();
        let found = self.inner.store.held(&keys).await?;
        for (key, held) in keys.into_iter().zip(found) {
            let renewal = match held {
                Ok(held) => self.compare(&key, held),
                Err(error) => {
                    tracing::debug!(topic = %key.0, %error, "a durable subscription cannot be read");
                    None
                }
            };
            if let Some(owned) = renewal {
                self.renew(&key, &owned).await?;
            }
        }
        Ok(())
    }

    /// Takes in what Redis has; what is to be renewed there, as it forgot it or soon will.
    fn compare(&self, key: &Key, held: Option<Held>) -> Option<Owned> {
        let mut board = self.board();
        let owned = board.get_mut(key)?;
        match held {
            Some(held) if held.owner == Some(owned.token) => {
                owned.bookmark = held.bookmark;
                let expiry = Duration::from_millis(self.inner.bounds.expiry_ms);
                (owned.renewed_at.elapsed() > expiry / RENEWALS).then(|| owned.clone())
            }
            Some(held) if held.claimed_ms >= owned.claimed_ms => {
                owned.taken.send_replace(Some(key.0.clone()));
                None
            }
            Some(_) | None => Some(owned.clone()),
        }
    }

    async fn renew(&self, key: &Key, owned: &Owned) -> Result<(), store::Error> {
        let (topic, name) = key;
        if !owned.globs.is_empty() {
            self.keep_patterns(name, &owned.globs).await?;
        }
        let claim = (owned.token, owned.claimed_ms);
        match self.claim(topic, name, claim, Some(&owned.bookmark)).await? {
            CursorClaim::Held(held) if held.owner == Some(owned.token) => {
                if let Some(owned) = self.board().get_mut(key) {
                    owned.renewed_at = Instant::now();
                }
            }
            CursorClaim::Held(_) => {
                owned.taken.send_replace(Some(topic.clone()));
            }
            CursorClaim::Nothing | CursorClaim::Full => {
                tracing::debug!(%topic, %name, "there is no room for a durable subscription that was lost");
            }
        }
        Ok(())
    }

    /// As [`Store::claim_cursor`].
    pub(super) async fn claim(
        &self,
        topic: &Topic,
        name: &SubscriptionName,
        claim: (CommitToken, u64),
        opening: Option<&Bookmark>,
    ) -> Result<CursorClaim, store::Error> {
        self.inner.store.claim_cursor(topic, name, claim, opening, self.inner.bounds).await
    }

    /// Keeps which patterns a subscription reads, for as long as it is kept itself.
    pub(super) async fn keep_patterns(
        &self,
        name: &SubscriptionName,
        globs: &[TopicGlob],
    ) -> Result<(), store::Error> {
        self.inner.store.set_patterns(name, globs, self.inner.bounds.expiry_ms).await
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(super) fn bounds(&self) -> DurableBounds {
        self.inner.bounds
    }

    /// Looks after what a stream has claimed; of two streams here the one that claimed later stays.
    pub(super) fn enter(&self, durable: &Durable, topic: Topic, held: Held) -> Claim {
        let Durable { token, ref name, ref taken, ref globs, .. } = *durable;
        let Held { bookmark, claimed_ms, .. } = held;
        let key = (topic, name.clone());
        let (globs, taken) = (Arc::clone(globs), taken.clone());
        let owned =
            Owned { token, claimed_ms, bookmark, renewed_at: Instant::now(), globs, taken: taken.clone() };
        let mut board = self.board();
        match board.get(&key) {
            Some(other) if other.claimed_ms > claimed_ms => {
                taken.send_replace(Some(key.0.clone()));
            }
            older => {
                if let Some(older) = older.filter(|older| older.token != token) {
                    older.taken.send_replace(Some(key.0.clone()));
                }
                board.insert(key.clone(), owned);
            }
        }
        drop(board);
        self.inner.has_some.notify_one();
        Claim { claims: self.clone(), key, token }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut board = self.claims.board();
        if board.get(&self.key).is_some_and(|owned| owned.token == self.token) {
            board.remove(&self.key);
        }
    }
}
