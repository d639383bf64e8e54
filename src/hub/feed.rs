//! Follows up to a hundred topics of one node over one blocking connection.
//!
//! It goes by the rules of a client: it resolves on every new connection, whenever
//! a topic was quiet for as long as a blocking read waits (a wiped or promoted
//! server wakes nobody), and whenever an entry does not fit. Topics that are behind
//! are read by pages and kept out of the blocking read.

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{sync::Notify, time::sleep};

use super::{
    Inner,
    page::{PageCount, bytes_of},
    topic::{HotTopic, Spot, Taken},
};
use crate::{
    record::{Offset, Timeline, Topic},
    retry::Backoff,
    store::{self, BlockingConnection, Item, NodeId},
};

/// How many pages a feed reads at once: their sum is what it holds beside the windows.
const PAGES_AT_ONCE: usize = 4;
/// A blocking read that answers within this time found the entry waiting.
const PROMPT: Duration = Duration::from_millis(2);
/// After so many prompt answers in a row a topic is read by pages, until one is short.
/// Twice as many, up to the greatest, each time that there was nothing to page.
const PROMPT_READS: u32 = 3;
const MAX_PROMPT_READS: u32 = 96;
/// After about this time a read that should have been unblocked is unblocked again:
/// the command may have come before the read began to wait.
const NUDGE_AGAIN: Duration = Duration::from_millis(20);

/// Which topics a feed follows.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) node: NodeId,
    /// Ends the feed's blocking read.
    pub(super) wake: Arc<Notify>,
    topics: Mutex<Vec<Arc<HotTopic>>>,
}

impl Roster {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, wake: Arc::default(), topics: Mutex::default() }
    }

    fn topics(&self) -> MutexGuard<'_, Vec<Arc<HotTopic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.topics().len()
    }

    pub(super) fn join(&self, topic: Arc<HotTopic>) {
        self.topics().push(topic);
        self.wake.notify_one();
    }

    pub(super) fn leave(&self, name: &Topic) {
        self.topics().retain(|topic| topic.name != *name);
    }
}

/// The reader of one roster.
#[derive(Debug)]
pub(super) struct Feed {
    hub: Arc<Inner>,
    roster: Arc<Roster>,
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
    /// Something did not fit, and the timeline, looked up then, has this place for it.
    settled: Option<Spot>,
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
            broken: false,
        }
    }

    fn is_due(&self, block: Duration) -> bool {
        self.fresh_at.is_none_or(|at| at.elapsed() >= block)
    }

    /// Whether it has to be read by pages.
    fn is_behind(&self) -> bool {
        let state = self.topic.state();
        let behind = self.prompt_reads >= self.prompt_bound || !state.is_at_tail();
        behind && !self.broken && state.is_readable() && !state.is_absent
    }

    /// Where a blocking read waits for it, when it should.
    fn wanted(&self) -> Option<(Topic, Offset)> {
        let state = self.topic.state();
        (!self.broken && state.is_readable()).then(|| (self.topic.name.clone(), state.wanted()))
    }
}

impl Feed {
    pub(super) fn new(hub: Arc<Inner>, roster: Arc<Roster>) -> Self {
        Self { hub, roster, followed: Vec::new(), is_out: false }
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
            if let Err(error) = self.follow(&mut backoff).await {
                if !self.is_out && self.hub.outages.begin(&error) {
                    self.hub.metrics.outages.inc();
                }
                self.is_out = true;
                sleep(backoff.next_delay()).await;
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
        let mut connection = self.hub.store.blocking(self.roster.node).await?;
        self.followed.iter_mut().for_each(|followed| followed.fresh_at = None);
        loop {
            self.admit();
            if self.followed.is_empty() || self.hub.store.is_outdated(&connection) {
                return Ok(());
            }
            self.resolve().await?;
            self.recovered();
            backoff.reset();
            self.read_pages().await?;
            self.wait(&mut connection).await?;
            self.hub.bound_windows();
        }
    }

    /// Takes in topics that joined, and lets go of those that nobody reads.
    fn admit(&mut self) {
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

    /// Waits for the next entries of all topics that are not behind.
    async fn wait(&mut self, connection: &mut BlockingConnection) -> Result<(), store::Error> {
        let some_behind = self.followed.iter().any(Followed::is_behind);
        let waiting = self.followed.iter().filter(|followed| !followed.is_behind());
        let wanted: Vec<_> = waiting.filter_map(Followed::wanted).collect();
        if wanted.is_empty() {
            if !some_behind {
                tokio::select! {
                    () = self.roster.wake.notified() => {}
                    () = sleep(self.block() / 4) => {}
                }
            }
            return Ok(());
        }
        let block_ms = if some_behind { 1 } else { self.hub.options.block_ms.max(1) };
        let began = Instant::now();
        let id = connection.id();
        let found = tokio::select! {
            biased;
            found = self.hub.store.wait(connection, &wanted, block_ms) => found,
            never = self.nudge(id) => match never {},
        };
        let found = match found {
            Err(error) if is_of_the_topic(&error) => {
                self.find_broken().await?;
                return Err(error);
            }
            found => found?,
        };
        let is_prompt = began.elapsed() < PROMPT;
        for (name, items) in found {
            if let Some(followed) = self.followed.iter_mut().find(|one| one.topic.name == name) {
                followed.prompt_reads = if is_prompt { followed.prompt_reads + 1 } else { 0 };
                take(&self.hub, followed, items).await?;
            }
        }
        Ok(())
    }

    /// Finds the topics whose keys cannot be read, after all were read at once.
    async fn find_broken(&mut self) -> Result<(), store::Error> {
        for followed in &mut self.followed {
            followed.broken = true;
            refresh(&self.hub, followed).await?;
        }
        Ok(())
    }

    /// Unblocks the blocking read whenever a topic joined.
    async fn nudge(&self, connection: i64) -> Infallible {
        self.roster.wake.notified().await;
        let mut backoff = Backoff::new(NUDGE_AGAIN, Duration::from_secs(1));
        loop {
            let (hub, node) = (Arc::clone(&self.hub), self.roster.node);
            // Not as a part of this future, which is dropped as soon as it worked:
            // that would cost a connection of the pool.
            self.hub.errands.spawn(async move {
                if let Err(error) = hub.store.unblock(node, connection).await {
                    tracing::debug!(%error, "a blocking read could not be ended");
                }
            });
            sleep(backoff.next_delay()).await;
        }
    }

    fn block(&self) -> Duration {
        Duration::from_millis(self.hub.options.block_ms.max(1))
    }
}

/// Asks where a topic stands. What is wrong with its keys alone is no outage.
async fn refresh(hub: &Inner, followed: &mut Followed) -> Result<(), store::Error> {
    let mut answer = followed.topic.refresh(&hub.store).await;
    if answer.is_ok() && followed.broken {
        let wanted = followed.topic.state().wanted();
        answer = hub.store.page(&followed.topic.name, wanted, 1).await.map(drop);
    }
    followed.fresh_at = Some(Instant::now());
    match answer {
        Err(error) if is_of_the_topic(&error) => {
            if !std::mem::replace(&mut followed.broken, true) {
                tracing::warn!(topic = %followed.topic.name, %error, "the topic cannot be read");
            }
            Ok(())
        }
        answer => answer.map(|()| followed.broken = false),
    }
}

fn is_of_the_topic(error: &store::Error) -> bool {
    match error {
        store::Error::Corrupt { .. } => true,
        store::Error::Refused { code, .. } => code == "WRONGTYPE",
        _ => false,
    }
}

/// Reads a page at the window's end.
async fn read_page(hub: &Inner, followed: &mut Followed) -> Result<(), store::Error> {
    let (wanted, count) = (followed.topic.state().wanted(), followed.count.get());
    let items = match hub.store.page(&followed.topic.name, wanted, count).await {
        Err(error) if is_of_the_topic(&error) => {
            followed.broken = true;
            return Ok(());
        }
        items => items?,
    };
    followed.count.learn(items.len(), bytes_of(&items), hub.options.page_bytes);
    if items.is_empty() {
        followed.prompt_bound = (followed.prompt_bound * 2).min(MAX_PROMPT_READS);
    } else {
        followed.prompt_bound = PROMPT_READS;
    }
    if items.len() < count {
        followed.prompt_reads = 0;
    }
    let tail = followed.topic.state().timeline.as_ref().map_or(Offset::ZERO, Timeline::next);
    if items.is_empty() && tail > wanted {
        // There should be lines. Trimmed or lost since: the timeline tells.
        if !is_lost(hub, followed).await? {
            return Ok(());
        }
        let why = format!("no entry in Redis holds the lines before offset {tail}");
        return take(hub, followed, vec![Item::Bad { last: tail.minus(1), why }]).await;
    }
    take(hub, followed, items).await
}

/// Whether what was read, and does not fit, is lost: it was read between two looks at
/// the same timeline. If not, it is to be read again.
async fn is_lost(hub: &Inner, followed: &mut Followed) -> Result<bool, store::Error> {
    let before = followed.topic.spot();
    refresh(hub, followed).await?;
    let after = followed.topic.spot();
    let can_be_lost = {
        let state = followed.topic.state();
        before == after && state.is_readable() && !state.is_absent
    };
    let earlier = std::mem::replace(&mut followed.settled, can_be_lost.then_some(after));
    Ok(earlier.is_some() && earlier == followed.settled)
}

/// Puts what was read into the window, as far as it fits.
async fn take(hub: &Inner, followed: &mut Followed, items: Vec<Item>) -> Result<(), store::Error> {
    for item in items {
        let bound_bytes = hub.options.window_bytes;
        let again = followed.settled.is_some().then(|| item.clone());
        let mut taken = followed.topic.take(item, None, bound_bytes);
        if taken == Taken::Misfit
            && is_lost(hub, followed).await?
            && let Some(item) = again
        {
            taken = followed.topic.take(item, followed.settled, bound_bytes);
        }
        match taken {
            Taken::Yes { lost_lines } => {
                hub.metrics.entries.inc();
                hub.metrics.lost_lines.inc_by(lost_lines);
                followed.settled = None;
                followed.fresh_at = Some(Instant::now());
            }
            Taken::Newer => {
                tracing::warn!(topic = %followed.topic.name, "an entry of a newer format: upgrade this relay");
                return Ok(());
            }
            Taken::Misfit => return Ok(()),
        }
    }
    Ok(())
}
