//! All sources that publish now, and what each one has confirmed.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    ptr,
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
    sources: Weak<Mutex<Sources>>,
}

/// By topic and key, so that some of many can be taken in turn. No topic is empty.
type Sources = BTreeMap<Topic, BTreeMap<SourceKey, Weak<Standing>>>;

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
        lock(&self.state)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let Some(sources) = self.sources.upgrade() else { return };
        let mut sources = lock(&sources);
        let Some(keys) = sources.get_mut(&self.topic) else { return };
        // Somebody may have taken up the source anew meanwhile.
        if keys.get(&self.key).is_some_and(|standing| ptr::eq(standing.as_ptr(), self)) {
            keys.remove(&self.key);
            if keys.is_empty() {
                sources.remove(&self.topic);
            }
        }
    }
}

/// Every [`Standing`] that somebody holds, and the newest epoch seen of each topic.
#[derive(Debug, Default)]
pub(super) struct Roster {
    sources: Arc<Mutex<Sources>>,
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
            sources: Arc::downgrade(&self.sources),
        });
        let mut sources = lock(&self.sources);
        sources.entry(topic.clone()).or_default().insert(key, Arc::downgrade(&standing));
        lock(&self.joined).push(Arc::downgrade(&standing));
        standing
    }

    /// All sources that stand now, by topic and key.
    pub(super) fn all(&self) -> Vec<Arc<Standing>> {
        lock(&self.sources).values().flat_map(BTreeMap::values).filter_map(Weak::upgrade).collect()
    }

    /// All of a topic.
    pub(super) fn of(&self, topic: &Topic) -> Vec<Arc<Standing>> {
        lock(&self.sources)
            .get(topic)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// At most so many: those that follow the last one of before, and the first ones again
    /// where there are no more.
    pub(super) fn next(&self, most: usize, last: Option<&(Topic, SourceKey)>) -> Vec<Arc<Standing>> {
        let sources = lock(&self.sources);
        let all =
            || sources.iter().flat_map(|(topic, keys)| keys.iter().map(move |(key, it)| (topic, key, it)));
        let Some((topic, key)) = last else {
            return all().filter_map(|(.., it)| it.upgrade()).take(most).collect();
        };
        let same = sources.get(topic).into_iter();
        let same = same.flat_map(|keys| keys.range::<SourceKey, _>((Excluded(key), Unbounded)));
        let others = sources.range::<Topic, _>((Excluded(topic), Unbounded));
        let after = same.map(|(_, it)| it).chain(others.flat_map(|(_, keys)| keys.values()));
        let before = all().take_while(|(of, at, _)| (*of, *at) <= (topic, key)).map(|(.., it)| it);
        after.chain(before).filter_map(Weak::upgrade).take(most).collect()
    }

    /// The topics of all sources.
    pub(super) fn topics(&self) -> Vec<Topic> {
        lock(&self.sources).keys().cloned().collect()
    }

    /// Waits until a source was challenged.
    pub(super) async fn challenged(&self) {
        self.challenged.notified().await;
    }

    /// Those that have joined since the last call.
    pub(super) fn take_joined(&self) -> Vec<Weak<Standing>> {
        std::mem::take(&mut *lock(&self.joined))
    }

    /// Notes the epoch that an answer came from; a new one, or a new topic, calls for
    /// an audit.
    pub(super) fn saw_epoch(&self, topic: &Topic, epoch: Epoch) {
        let mut epochs = lock(&self.epochs);
        if epochs.get(topic) != Some(&epoch) {
            epochs.insert(topic.clone(), epoch);
            self.new_epoch.notify_one();
        }
    }

    /// Forgets the epochs of other topics.
    pub(super) fn keep_epochs(&self, is_kept: impl Fn(&Topic) -> bool) {
        let mut epochs = lock(&self.epochs);
        epochs.retain(|topic, _| is_kept(topic));
    }

    /// Waits until an answer came from an epoch that was not known.
    pub(super) async fn new_epoch(&self) {
        self.new_epoch.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Details;

    fn record() -> Record {
        Record { token: Token::random(), position: 0, details: Details::default() }
    }

    #[test]
    fn what_nobody_publishes_to_any_more_takes_no_memory() {
        let roster = Roster::default();
        for number in 0..3 {
            let topic: Topic = format!("topic-{number}").parse().unwrap();
            let standing = roster.add(&topic, "host/1".parse().unwrap(), record());
            roster.saw_epoch(&topic, Epoch::new(7));
            roster.keep_epochs(|kept| *kept == topic);
            assert_eq!((roster.all().len(), roster.take_joined().len()), (1, 1));
            assert_eq!(roster.epochs.lock().unwrap().len(), 1);
            drop(standing);
        }
        assert!(roster.topics().is_empty() && roster.sources.lock().unwrap().is_empty());
    }

    #[test]
    fn a_source_that_was_taken_up_anew_stays_when_its_former_standing_goes() {
        let roster = Roster::default();
        let topic: Topic = "topic".parse().unwrap();
        let [former, now] = [(); 2].map(|()| roster.add(&topic, "host/1".parse().unwrap(), record()));
        drop(former);
        assert!(matches!(&*roster.of(&topic), [only] if Arc::ptr_eq(only, &now)));
    }

    #[test]
    fn all_are_taken_in_turn_whoever_comes_and_goes() {
        let roster = Roster::default();
        let add = |place: &str| {
            let (topic, key) = place.split_once(':').unwrap();
            roster.add(&topic.parse().unwrap(), key.parse().unwrap(), record())
        };
        let places = ["a:h/1", "a:h/2", "b:h/1", "c:h/1", "c:h/2"];
        let mut standings = places.map(|place| Some(add(place)));
        let next = |most, last: Option<&str>| {
            let last = last.map(|last| last.split_once(':').unwrap());
            let last = last.map(|(topic, key)| (topic.parse().unwrap(), key.parse().unwrap()));
            let next = roster.next(most, last.as_ref());
            next.iter().map(|it| format!("{}:{}", it.topic(), it.key())).collect::<Vec<_>>()
        };
        assert_eq!(next(2, None), ["a:h/1", "a:h/2"]);
        assert_eq!(next(2, Some("a:h/1")), ["a:h/2", "b:h/1"]);
        assert_eq!(next(3, Some("c:h/1")), ["c:h/2", "a:h/1", "a:h/2"]);
        assert_eq!(next(9, Some("b:h/1")), ["c:h/1", "c:h/2", "a:h/1", "a:h/2", "b:h/1"]);
        standings[2] = None;
        assert_eq!(next(2, Some("b:h/1")), ["c:h/1", "c:h/2"]);
        assert_eq!(next(9, Some("b:h/0")), ["c:h/1", "c:h/2", "a:h/1", "a:h/2"]);
    }
}
