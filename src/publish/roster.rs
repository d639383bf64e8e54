//! All sources that publish now, and what each one has confirmed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use crate::record::{Epoch, Record, SourceKey, Token, Topic};

/// Where one source stands: shared by the source, which moves it, and by those who
/// compare it with Redis or show it. It leaves the roster when the source drops it.
#[derive(Debug)]
pub struct Standing {
    topic: Topic,
    key: SourceKey,
    state: Mutex<State>,
    challenged: Notify,
    /// Told of it too, for sources that have no task of their own.
    somebody: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    confirmed: Record,
    challenge: Option<Challenge>,
}

/// What an audit found: at the time when the source had confirmed `token`, Redis
/// had another record of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The token of the record that was compared.
    pub token: Token,
    /// What Redis had; none: nothing.
    pub stored: Option<Record>,
}

/// A source whose lines come before the first ones of another: where it stands when all of it is
/// stored.
#[derive(Debug, Clone)]
pub struct Predecessor {
    pub(super) standing: Arc<Standing>,
    pub(super) token: Token,
}

impl Predecessor {
    /// A source as it stands now.
    pub fn of(standing: &Arc<Standing>) -> Self {
        Self { standing: Arc::clone(standing), token: standing.lock().confirmed.token }
    }
}

impl Standing {
    /// The topic that the source's lines go to.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The source's key.
    pub fn key(&self) -> &SourceKey {
        &self.key
    }

    /// The record that Redis confirmed last.
    pub fn confirmed(&self) -> Record {
        self.lock().confirmed.clone()
    }

    /// The position that Redis confirmed last.
    pub fn position(&self) -> u64 {
        self.lock().confirmed.position
    }

    /// Whether it has no line yet.
    pub fn is_at_start(&self) -> bool {
        let state = self.lock();
        state.confirmed.position == state.confirmed.details.start
    }

    /// Takes over a record that is known to be stored.
    pub fn confirm(&self, record: Record) {
        self.lock().confirmed = record;
    }

    /// Waits until an audit finds that Redis has another record than the one that
    /// is confirmed now.
    pub async fn challenged(&self) -> Challenge {
        loop {
            {
                let mut state = self.lock();
                let still = state.challenge.take().filter(|found| found.token == state.confirmed.token);
                if let Some(challenge) = still {
                    return challenge;
                }
            }
            self.challenged.notified().await;
        }
    }

    /// Whether an audit found another record than the one that is confirmed now, and
    /// nobody has answered yet.
    pub fn is_challenged(&self) -> bool {
        let state = self.lock();
        state.challenge.as_ref().is_some_and(|found| found.token == state.confirmed.token)
    }

    pub(super) fn challenge(&self, challenge: Challenge) {
        self.lock().challenge = Some(challenge);
        self.challenged.notify_one();
        self.somebody.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every [`Standing`] that somebody holds, and the newest epoch seen of each topic.
#[derive(Debug, Default)]
pub(super) struct Roster {
    sources: Mutex<BTreeMap<(Topic, SourceKey), Weak<Standing>>>,
    epochs: Mutex<BTreeMap<Topic, Epoch>>,
    joined: Mutex<Vec<Weak<Standing>>>,
    new_epoch: Notify,
    challenged: Arc<Notify>,
}

impl Roster {
    pub(super) fn add(&self, topic: &Topic, key: SourceKey, record: Record) -> Arc<Standing> {
        let standing = Arc::new(Standing {
            topic: topic.clone(),
            key: key.clone(),
            state: Mutex::new(State { confirmed: record, challenge: None }),
            challenged: Notify::new(),
            somebody: Arc::clone(&self.challenged),
        });
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.insert((topic.clone(), key), Arc::downgrade(&standing));
        self.joined.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&standing));
        standing
    }

    /// All sources that stand now, by topic and key.
    pub(super) fn all(&self) -> Vec<Arc<Standing>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|_, standing| standing.strong_count() > 0);
        sources.values().filter_map(Weak::upgrade).collect()
    }

    /// Waits until a source was challenged.
    pub(super) async fn challenged(&self) {
        self.challenged.notified().await;
    }

    /// Those that have joined since the last call.
    pub(super) fn take_joined(&self) -> Vec<Weak<Standing>> {
        std::mem::take(&mut *self.joined.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes the epoch that an answer came from; a new one, or a new topic, calls for
    /// an audit.
    pub(super) fn saw_epoch(&self, topic: &Topic, epoch: Epoch) {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.get(topic) != Some(&epoch) {
            epochs.insert(topic.clone(), epoch);
            self.new_epoch.notify_one();
        }
    }

    /// Forgets the epochs of other topics.
    pub(super) fn keep_epochs(&self, is_kept: impl Fn(&Topic) -> bool) {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.retain(|topic, _| is_kept(topic));
    }

    /// Waits until an answer came from an epoch that was not known.
    pub(super) async fn new_epoch(&self) {
        self.new_epoch.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Details;

    #[test]
    fn what_nobody_publishes_to_any_more_takes_no_memory() {
        let roster = Roster::default();
        for number in 0..3 {
            let topic: Topic = format!("topic-{number}").parse().unwrap();
            let record = Record { token: Token::random(), position: 0, details: Details::default() };
            let standing = roster.add(&topic, "host/1".parse().unwrap(), record);
            roster.saw_epoch(&topic, Epoch::new(7));
            roster.keep_epochs(|kept| *kept == topic);
            assert_eq!((roster.all().len(), roster.take_joined().len()), (1, 1));
            assert_eq!(roster.epochs.lock().unwrap().len(), 1);
            drop(standing);
        }
        assert!(roster.all().is_empty() && roster.sources.lock().unwrap().is_empty());
    }
}
