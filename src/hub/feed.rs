//! Follows topics of one node over one connection: up to a hundred in one blocking read; of
//! a cluster, one, or many by asking now and then.
//!
//! It goes by the rules of a client: it resolves on every new connection, whenever
//! a topic was quiet for as long as a blocking read waits (a wiped or promoted
//! server wakes nobody), and whenever an entry does not fit. Topics that are behind
//! are read by pages and kept out of the blocking read.

mod take;
mod wait;

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{sync::watch, time::sleep};

use self::take::{read_page, refresh};
use super::{
    Inner,
    page::PageCount,
    roster::Roster,
    topic::{HotTopic, Spot},
};
use crate::{
    record::{Offset, Topic},
    retry::Backoff,
    store::{self, NodeId},
};

/// How many pages a feed reads at once: their sum is what it holds beside the windows.
const PAGES_AT_ONCE: usize = 4;
/// After so many prompt answers in a row a topic is read by pages, until one is short.
/// Twice as many, up to the greatest, each time that there was nothing to page.
const PROMPT_READS: u32 = 3;
const MAX_PROMPT_READS: u32 = 96;

/// The reader of one roster.
#[derive(Debug)]
pub(super) struct Feed {
    hub: Arc<Inner>,
    roster: Arc<Roster>,
    /// The node that it is connected to.
    node: NodeId,
    /// Tells when topics may be on another node.
    moves: watch::Receiver<u64>,
    /// Counts connections: where one was made, another try is worth it.
    connections: watch::Receiver<u64>,
    followed: Vec<Followed>,
    is_out: bool,
}

/// A topic and how its feed gets on with it.
#[derive(Debug)]
struct Followed {
    topic: Arc<HotTopic>,
    count: PageCount,
    /// Blocking reads in a row that found an entry waiting.
    prompt_reads: u32,
    /// How many of them mean that it is behind.
    prompt_bound: u32,
    /// When Redis was asked where it stands, or an entry fitted.
    fresh_at: Option<Instant>,
    idle_since: Option<Instant>,
    /// Something did not fit, and the timeline, looked up since then, has this place for it.
    settled: Option<(Spot, Instant)>,
    /// Until when it is left alone: what did not fit may fit then.
    rests_until: Option<Instant>,
    /// Its keys cannot be read; it is asked again, and kept from the others.
    broken: bool,
}

impl Followed {
    fn new(topic: Arc<HotTopic>) -> Self {
        Self {
            topic,
            count: PageCount::new(),
            prompt_reads: 0,
            prompt_bound: PROMPT_READS,
            fresh_at: None,
            idle_since: None,
            settled: None,
            rests_until: None,
            broken: false,
        }
    }

    /// Its keys were looked at: what is wrong with them alone is no error.
    fn looked(&mut self, answer: Result<(), store::Error>) -> Result<(), store::Error> {
        self.fresh_at = Some(Instant::now());
        match answer {
            Err(error) if self.breaks(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                if std::mem::replace(&mut self.broken, false) {
                    tracing::info!(topic = %self.topic.name, "the topic can be read again");
                }
                Ok(())
            }
        }
    }

    /// Whether the error is of this topic alone, which then waits. That is said once.
    fn breaks(&mut self, error: &store::Error) -> bool {
        let is_of_topic = error.is_of_one_topic();
        if is_of_topic && !std::mem::replace(&mut self.broken, true) {
            tracing::warn!(topic = %self.topic.name, %error, "the topic cannot be read");
        }
        is_of_topic
    }

    fn is_due(&self, block: Duration) -> bool {
        self.fresh_at.is_none_or(|at| at.elapsed() >= block)
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Whether it has to be read by pages.
    fn is_behind(&self) -> bool {
        let state = self.topic.state();
        let behind = self.prompt_reads >= self.prompt_bound || !state.is_at_tail();
        behind && !self.broken && !self.rests() && state.is_readable() && !state.is_absent
    }

    /// Where a blocking read waits for it, when it should.
    fn wanted(&self) -> Option<(Topic, Offset)> {
        let state = self.topic.state();
        (!self.broken && !self.rests() && state.is_readable())
            .then(|| (self.topic.name.clone(), state.wanted()))
    }
}

impl Feed {
    pub(super) fn new(hub: Arc<Inner>, roster: Arc<Roster>) -> Self {
        let (node, moves, connections) = (roster.node(), hub.store.moves(), hub.store.connections());
        Self { hub, roster, node, moves, connections, followed: Vec::new(), is_out: false }
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) -> Infallible {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            self.admit();
            if self.followed.is_empty() {
                self.recovered();
                self.roster.wake.notified().await;
                continue;
            }
            self.connections.mark_unchanged();
            if let Err(error) = self.follow(&mut backoff).await {
                self.hub.failed(&mut self.is_out, &error);
                tokio::select! {
                    () = sleep(backoff.next_delay()) => {}
                    Ok(()) = self.moves.changed() => {}
                    Ok(()) = self.connections.changed() => {}
                }
                // Where its topics are is looked up anew.
                self.moves.mark_changed();
            }
        }
    }

    fn recovered(&mut self) {
        if std::mem::replace(&mut self.is_out, false) {
            self.hub.outages.end();
        }
    }

    /// Follows over one connection, until it fails or there is no topic left.
    async fn follow(&mut self, backoff: &mut Backoff) -> Result<(), store::Error> {
        self.node = self.roster.node();
        let mut connection = self.hub.store.blocking(self.node).await?;
        self.followed.iter_mut().for_each(|followed| followed.fresh_at = None);
        loop {
            self.admit();
            let is_elsewhere = self.roster.node() != self.node;
            if self.followed.is_empty() || is_elsewhere || self.hub.store.is_outdated(self.node, &connection)
            {
                return Ok(());
            }
            self.resolve().await?;
            self.read_pages().await?;
            self.wait(&mut connection).await?;
            // Only now: that a connection can be opened does not say that it can be read.
            self.recovered();
            backoff.reset();
            self.hub.bound_windows();
        }
    }

    /// Takes in topics that joined, and lets go of those that nobody reads or that are on
    /// another node.
    fn admit(&mut self) {
        if self.moves.has_changed().unwrap_or(false) {
            self.moves.mark_unchanged();
            let (hub, roster) = (&self.hub, &self.roster);
            self.followed.retain(|followed| !hub.move_on(roster, &followed.topic));
        }
        let known: HashSet<_> = self.followed.iter().map(|followed| followed.topic.name.clone()).collect();
        let joined: Vec<_> =
            self.roster.topics().iter().filter(|topic| !known.contains(&topic.name)).cloned().collect();
        self.followed.extend(joined.into_iter().map(Followed::new));

        let idle = Duration::from_millis(self.hub.options.idle_topic_ms);
        self.followed.retain_mut(|followed| {
            if followed.topic.readers.load(Ordering::Acquire) > 0 {
                followed.idle_since = None;
                return true;
            }
            let since = *followed.idle_since.get_or_insert_with(Instant::now);
            since.elapsed() < idle || !self.hub.leave(&self.roster, &followed.topic)
        });
    }

    /// Asks where the topics stand that were quiet for too long.
    async fn resolve(&mut self) -> Result<(), store::Error> {
        let block = self.block();
        let mut questions = Vec::new();
        for followed in &mut self.followed {
            if followed.is_due(block) {
                questions.push(refresh(&self.hub, followed));
            }
        }
        join_all(questions).await.into_iter().collect()
    }

    /// Reads one page of some topics that are behind, in turn.
    async fn read_pages(&mut self) -> Result<(), store::Error> {
        let mut pages = Vec::new();
        for followed in &mut self.followed {
            if pages.len() < PAGES_AT_ONCE && followed.is_behind() {
                pages.push(read_page(&self.hub, followed));
            }
        }
        let turned = pages.len();
        join_all(pages).await.into_iter().collect::<Result<(), _>>()?;
        // The next round begins with others.
        self.followed.rotate_left(turned);
        Ok(())
    }

    fn block(&self) -> Duration {
        Duration::from_millis(self.hub.options.block_ms.max(1))
    }
}
