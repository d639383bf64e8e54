//! Compares what sources believe with what Redis keeps.
//!
//! An append notices a failover by its conflict; a quiet source appends nothing.
//! So all records are compared on every new connection and whenever an epoch is new, and the
//! epochs are looked at every few seconds. Within an epoch and a connection Redis can lose a
//! record that agreed by somebody's hand alone: those are compared in turn, some in each
//! round.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Challenge, Publisher, Standing, gate::Worked, roster::Roster};
use crate::record::{Epoch, SourceKey, Topic};

/// How long a comparison that was asked for waits for more who ask.
const SETTLE: Duration = Duration::from_millis(100);

/// How many records that agreed are compared in a round, of all topics together.
const RECORDS_PER_ROUND: usize = 256;

/// How many rounds go by between two announcements of the topics.
const ROUNDS_PER_ANNOUNCEMENT: u32 = 30;

/// What was found the last time.
#[derive(Debug, Default)]
struct Findings {
    /// A topic that was not there is not in it: it may come and go again unseen.
    agreed: BTreeMap<Topic, Agreed>,
    /// The last one that was compared in its turn.
    compared_to: Option<(Topic, SourceKey)>,
}

/// The records of a topic were as believed in an epoch: only by a new one can Redis forget
/// them.
#[derive(Debug)]
struct Agreed {
    epoch: Epoch,
    /// But for these, which were not, which moved meanwhile, or have come since.
    without: Vec<Weak<Standing>>,
}

impl Publisher {
    /// Compares records until it is dropped.
    pub async fn audit(&self) -> Infallible {
        let mut connections = self.store.connections();
        let mut rounds = interval(Duration::from_millis(self.options.audit_interval_ms));
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut findings = Findings::default();
        let mut round = 0_u32;
        loop {
            let connected = tokio::select! {
                _ = rounds.tick() => false,
                () = self.roster.new_epoch() => {
                    // Where one topic is new, others are too.
                    sleep(SETTLE).await;
                    false
                }
                changed = connections.changed() => {
                    if changed.is_err() {
                        // The store, which says so, is kept by this very publisher.
                        return pending().await;
                    }
                    true
                }
            };
            if connected {
                // Several connections are made at once; one comparison serves them all.
                sleep(SETTLE).await;
                connections.mark_unchanged();
                findings.agreed.clear();
            }
            self.compare_all(&mut findings, connected || round.is_multiple_of(ROUNDS_PER_ANNOUNCEMENT)).await;
            round = round.wrapping_add(1);
        }
    }

    async fn compare_all(&self, findings: &mut Findings, announce: bool) {
        // Who joined may believe in a record that was read before the last failover.
        let joined = self.roster.take_joined();
        let topics = self.roster.topics();
        let mut due = by_topic(findings.next_due(&self.roster));
        let known: BTreeSet<&Topic> = topics.iter().collect();
        findings.agreed.retain(|topic, _| known.contains(topic));
        self.roster.keep_epochs(|topic| known.contains(topic));
        for standing in joined.iter().filter_map(Weak::upgrade) {
            if let Some(agreed) = findings.agreed.get_mut(standing.topic()) {
                agreed.without.push(Arc::downgrade(&standing));
            }
        }
        let unknown = topics.iter().any(|topic| !findings.agreed.contains_key(topic));
        if (announce || unknown)
            && !topics.is_empty()
            && let Some(turn) = self.gate.enter_unless_shut(None).await
        {
            turn.end(self.store.announce(&topics).await, |()| Worked::Writes);
        }
        for topic in topics {
            let Some(turn) = self.gate.enter_unless_shut(Some(&topic)).await else { continue };
            let Some(resolved) = turn.end_read(self.store.resolve(&topic).await) else { continue };
            let epoch = resolved.map(|found| found.timeline.epoch());
            let agreed =
                findings.agreed.remove(&topic).filter(|agreed| Some(&agreed.epoch) == epoch.as_ref());
            let standings = match &agreed {
                Some(agreed) => {
                    let mut doubtful: Vec<_> = agreed.without.iter().filter_map(Weak::upgrade).collect();
                    doubtful.extend(due.remove(&topic).unwrap_or_default());
                    doubtful
                }
                None => self.roster.of(&topic),
            };
            let without = match (self.compare(&topic, &standings).await, agreed) {
                (Some(without), _) => without.iter().map(Arc::downgrade).collect(),
                (None, Some(agreed)) => agreed.without,
                (None, None) => continue,
            };
            if let Some(epoch) = epoch {
                findings.agreed.insert(topic, Agreed { epoch, without });
            }
        }
    }

    /// Compares records of one topic; returns those that are not as believed. A source that
    /// moves meanwhile ignores what is found, so it is compared again in the next round.
    async fn compare(&self, topic: &Topic, standings: &[Arc<Standing>]) -> Option<Vec<Arc<Standing>>> {
        if standings.is_empty() {
            return Some(Vec::new());
        }
        // Taken before Redis is asked, so that the source can tell.
        let tokens: Vec<_> = standings.iter().map(|standing| standing.confirmed().token).collect();
        let keys: Vec<SourceKey> = standings.iter().map(|standing| standing.key().clone()).collect();
        let stored = self.stored(topic, &keys).await?;
        let mut others = Vec::new();
        for ((standing, token), stored) in standings.iter().zip(tokens).zip(stored) {
            if stored.as_ref().map(|record| record.token) != Some(token) {
                others.push(Arc::clone(standing));
                standing.challenge(Challenge { token, stored });
            }
        }
        Some(others)
    }
}

impl Findings {
    /// Those whose turn it is to be compared again.
    fn next_due(&mut self, roster: &Roster) -> Vec<Arc<Standing>> {
        let due = roster.next(RECORDS_PER_ROUND, self.compared_to.as_ref());
        self.compared_to = due.last().map(|standing| (standing.topic().clone(), standing.key().clone()));
        due
    }
}

fn by_topic(standings: Vec<Arc<Standing>>) -> BTreeMap<Topic, Vec<Arc<Standing>>> {
    let mut topics: BTreeMap<Topic, Vec<Arc<Standing>>> = BTreeMap::new();
    for standing in standings {
        topics.entry(standing.topic().clone()).or_default().push(standing);
    }
    topics
}
