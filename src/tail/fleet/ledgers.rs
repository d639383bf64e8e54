//! The sources that Redis knows and nobody follows, by topic.
//!
//! Those that are gone are kept for as long as Redis keeps them: a file that comes back is
//! known by its record. Relays let these expire, so they are asked for in turn.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Included, Unbounded},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{
    publish::{Publisher, Standing},
    record::{Record, SourceKey, SourceState, Topic},
};

/// How many of them are asked for at a time, and after how many intervals of the audit again.
const RECORDS_PER_ROUND: usize = 256;
const INTERVALS_PER_ROUND: u32 = 10;

/// Longest that a round waits for Redis: there is no hurry.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Ledgers {
    of: BTreeMap<Topic, BTreeMap<SourceKey, Record>>,
    asks_at: Instant,
    /// The last one that was asked for.
    asked_to: Option<(Topic, SourceKey)>,
}

impl Ledgers {
    pub(super) fn new() -> Self {
        Self { of: BTreeMap::new(), asks_at: Instant::now(), asked_to: None }
    }

    /// Whether the sources of a topic were loaded.
    pub(super) fn have(&self, topic: &Topic) -> bool {
        self.of.contains_key(topic)
    }

    pub(super) fn load(&mut self, topic: &Topic, records: Vec<(SourceKey, Record)>) {
        self.of.insert(topic.clone(), records.into_iter().collect());
    }

    pub(super) fn of(&self, topic: &Topic) -> impl Iterator<Item = (&SourceKey, &Record)> {
        self.of.get(topic).into_iter().flatten()
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.of.values().flat_map(BTreeMap::values)
    }

    /// Puts a source that nobody follows any more with the others.
    pub(super) fn remember(&mut self, standing: &Standing) {
        let ledger = self.of.entry(standing.topic().clone()).or_default();
        ledger.insert(standing.key().clone(), standing.confirmed());
    }

    /// Takes out a source that is followed.
    pub(super) fn remove(&mut self, topic: &Topic, key: &SourceKey) {
        if let Some(ledger) = self.of.get_mut(topic) {
            ledger.remove(key);
        }
    }

    /// Forgets what is gone and expired in Redis: some at a time, every now and then.
    pub(super) async fn prune(&mut self, publisher: &Publisher) {
        let now = Instant::now();
        if now < self.asks_at {
            return;
        }
        let interval = Duration::from_millis(publisher.options().audit_interval_ms);
        self.asks_at = now + interval * INTERVALS_PER_ROUND;
        for (topic, keys) in self.next_gone() {
            let Ok(Some(stored)) = timeout(PATIENCE, publisher.stored(&topic, &keys)).await else { return };
            let Some(ledger) = self.of.get_mut(&topic) else { continue };
            for (key, stored) in keys.into_iter().zip(stored) {
                match stored {
                    // It may be another: a failover forgets also that a source is gone.
                    Some(record) => drop(ledger.insert(key, record)),
                    None => drop(ledger.remove(&key)),
                }
            }
        }
    }

    fn next_gone(&mut self) -> BTreeMap<Topic, Vec<SourceKey>> {
        let last = self.asked_to.take();
        let begin = last.as_ref().map_or(Unbounded, |(topic, _)| Included(topic));
        let topics = self.of.range::<Topic, _>((begin, Unbounded));
        let keys = topics.flat_map(|(topic, ledger)| {
            let from = last.as_ref().filter(|(last, _)| last == topic).map(|(_, key)| key);
            let left = ledger.range::<SourceKey, _>((from.map_or(Unbounded, Excluded), Unbounded));
            let gone = left.filter(|(_, record)| record.details.state == SourceState::Gone);
            gone.map(move |(key, _)| (topic.clone(), key.clone()))
        });
        let keys: Vec<_> = keys.take(RECORDS_PER_ROUND).collect();
        // Fewer were the last ones: then the first come again.
        self.asked_to = keys.get(RECORDS_PER_ROUND - 1).cloned();
        let mut by_topic: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (topic, key) in keys {
            by_topic.entry(topic).or_default().push(key);
        }
        by_topic
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Details, Token};

    #[test]
    fn all_that_are_gone_are_asked_for_in_turn_and_none_that_may_have_more() {
        let mut ledgers = Ledgers::new();
        let record = |state| {
            let details = Details { state, ..Details::default() };
            Record { token: Token::random(), position: 0, details }
        };
        for name in ["a", "b"] {
            let key = |id: u32| format!("host/{id:03}").parse().unwrap();
            let gone = (0..200).map(|id| (key(id), record(SourceState::Gone)));
            let active = (200..300).map(|id| (key(id), record(SourceState::Active)));
            ledgers.load(&name.parse().unwrap(), gone.chain(active).collect());
        }
        let mut counts = || ledgers.next_gone().into_values().map(|keys| keys.len()).collect::<Vec<_>>();
        assert_eq!([counts(), counts(), counts()], [vec![200, 56], vec![144], vec![200, 56]]);
    }
}
