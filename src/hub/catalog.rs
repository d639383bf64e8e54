//! Which topics there are, asked once for all who want to hear of new ones: the
//! subscriptions with patterns. Redis is asked only while there is one.

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::sleep,
};

use super::Inner;
use crate::{record::Topic, retry::Backoff, store};

/// How often Redis is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Who comes within this time after a question shares the next one.
const PAUSE: Duration = Duration::from_millis(50);

/// What is known of the topics, and who wants to know.
#[derive(Debug)]
pub(super) struct Catalog {
    listing: watch::Sender<Arc<Listing>>,
    /// How many questions have begun.
    begun: AtomicU64,
    /// The number of the last one that was answered.
    answered: watch::Sender<u64>,
    /// Ends the wait for the next question. Also told by topics that were awaited, and were born.
    pub(super) wake: Arc<Notify>,
}

/// Topics in the order in which they were first seen: what is new stands at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// Each with the number of the question at which it was there first.
    topics: Vec<(u64, Topic)>,
}

/// Tells which topics there are, and then which ones are new.
pub struct News {
    hub: Arc<Inner>,
    listing: watch::Receiver<Arc<Listing>>,
    /// What was told: all that was there at this question.
    told: u64,
}

impl Catalog {
    pub(super) fn new() -> Self {
        Self {
            listing: watch::Sender::default(),
            begun: AtomicU64::new(0),
            answered: watch::Sender::new(0),
            wake: Arc::default(),
        }
    }

    /// Asks while somebody wants to know, for ever.
    pub(super) async fn keep(hub: Arc<Inner>) -> Infallible {
        let catalog = &hub.catalog;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let (mut is_out, mut is_broken) = (false, false);
        loop {
            while catalog.listing.receiver_count() == 0 && !is_out {
                catalog.wake.notified().await;
            }
            let number = catalog.begun.fetch_add(1, Ordering::AcqRel) + 1;
            let answer = hub.store.topics().await;
            let is_heard = answer.as_ref().map_or_else(store::Error::is_of_one_topic, |_| true);
            if is_heard && std::mem::replace(&mut is_out, false) {
                hub.outages.end();
            }
            match answer {
                Ok(found) => {
                    is_broken = false;
                    backoff.reset();
                    catalog.answer(number, &found);
                    sleep(PAUSE).await;
                    tokio::select! {
                        () = catalog.wake.notified() => {}
                        () = sleep(INTERVAL) => {}
                    }
                }
                Err(error) => {
                    // The list has a key of its own: topics are read by name without it.
                    if !is_heard {
                        hub.failed(&mut is_out, &error);
                    } else if !std::mem::replace(&mut is_broken, true) {
                        tracing::error!(%error, "the list of topics cannot be read: patterns wait");
                    }
                    sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    /// Takes in what was found, sorted; readers wake only where that is news.
    fn answer(&self, number: u64, found: &[Topic]) {
        let next = self.listing.borrow().next(number, found);
        if let Some(next) = next {
            self.listing.send_replace(Arc::new(next));
        }
        self.answered.send_replace(number);
    }
}

impl Listing {
    /// The listing after a question at which these topics, sorted, were there; none where it stays.
    fn next(&self, number: u64, found: &[Topic]) -> Option<Self> {
        let stays = |(_, topic): &&(u64, Topic)| found.binary_search(topic).is_ok();
        let staying = self.topics.iter().filter(stays).count();
        if staying == self.topics.len() && staying == found.len() {
            return None;
        }
        let known: HashSet<&Topic> = self.topics.iter().map(|(_, topic)| topic).collect();
        let new = found.iter().filter(|topic| !known.contains(topic));
        let mut topics: Vec<_> = self.topics.iter().filter(stays).cloned().collect();
        topics.extend(new.map(|topic| (number, topic.clone())));
        Some(Self { topics })
    }

    /// The topics that came after a question.
    fn since(&self, number: u64) -> impl Iterator<Item = &Topic> {
        let from = self.topics.partition_point(|(since, _)| *since <= number);
        self.topics[from..].iter().map(|(_, topic)| topic)
    }

    /// The question after which nothing came.
    fn number(&self) -> u64 {
        self.topics.last().map_or(0, |(number, _)| *number)
    }
}

impl News {
    pub(super) fn new(hub: Arc<Inner>) -> Self {
        let listing = hub.catalog.listing.subscribe();
        Self { hub, listing, told: 0 }
    }

    /// The topics that are there when this is called, in no order. Waits as long as Redis is away.
    pub async fn all(&mut self) -> Vec<Topic> {
        let catalog = &self.hub.catalog;
        let mut answered = catalog.answered.subscribe();
        let begun = catalog.begun.load(Ordering::Acquire);
        catalog.wake.notify_one();
        // The other end is in the hub, which is held here.
        drop(answered.wait_for(|&number| number > begun).await);
        self.told = 0;
        self.take()
    }

    /// The topics that came since, at least one; waits for it. May be cancelled without losing any.
    pub async fn next(&mut self) -> Vec<Topic> {
        loop {
            if self.listing.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            let new = self.take();
            if !new.is_empty() {
                return new;
            }
        }
    }

    fn take(&mut self) -> Vec<Topic> {
        let listing = self.listing.borrow_and_update();
        let new = listing.since(self.told).cloned().collect();
        self.told = self.told.max(listing.number());
        new
    }
}

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("News").field("told", &self.told).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn topics(names: &BTreeSet<u8>) -> Vec<Topic> {
        names.iter().map(|name| format!("t{name:03}").parse().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn whoever_looks_now_and_then_is_told_of_every_topic_that_came_and_stayed(
            answers in prop::collection::vec((prop::collection::btree_set(0_u8..12, 0..8), any::<bool>()), 1..30),
        ) {
            let mut listing = Listing::default();
            let mut told = 0;
            // What a reader was told of, and was there at every question since.
            let mut known = BTreeSet::new();
            for (number, (names, looks)) in (1..).zip(&answers) {
                let found = topics(names);
                let next = listing.next(number, &found);
                let listed: BTreeSet<_> = listing.topics.iter().map(|(_, topic)| topic.clone()).collect();
                prop_assert_eq!(next.is_none(), listed.iter().eq(&found));
                listing = next.unwrap_or(listing);
                prop_assert!(listing.topics.is_sorted());
                known = &known & names;
                if *looks {
                    let news: BTreeSet<_> = listing.since(told).cloned().collect();
                    prop_assert!(news.iter().eq(&topics(&(names - &known))), "{:?}", news);
                    told = told.max(listing.number());
                    known.clone_from(names);
                }
            }
        }
    }
}
