//! ④ One reader of Redis for all the readers of a relay.
//!
//! Each topic that somebody reads is followed once: a `feed` waits for the new
//! entries of up to a hundred topics and puts them into their `window`s. A
//! [`Reader`] takes from the window, reads its own `page`s while it is behind, and
//! decides by `resume` where to go on when the timeline of its topic changed.
//!
//! What happens when something is full: a window drops its oldest entries, and when
//! all windows together are too large, the largest loses half; pages wait for their
//! turn. Nobody is disconnected for being slow.

pub mod benching;
mod catalog;
mod feed;
mod fetch;
mod history;
mod metrics;
mod outage;
mod page;
mod reader;
mod resume;
mod roster;
mod start;
mod step;
mod topic;
mod window;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::registry::Registry;
use tokio::{
    sync::{Notify, watch},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    catalog::Catalog,
    feed::Feed,
    metrics::Metrics,
    outage::Outages,
    page::PageMemory,
    roster::{Bounds, Roster},
    topic::HotTopic,
};
pub use self::{
    catalog::News,
    history::{Direction, History, HistoryError},
    reader::Reader,
    resume::Resume,
    start::{Opening, Start},
    step::{Error as ReadError, Step},
};
use crate::{
    record::Topic,
    store::{self, Store},
};

/// How long the end of a hub waits for answers to its last commands.
const ERRANDS_WAIT: Duration = Duration::from_secs(1);

/// How a hub reads and what it may hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// Greatest size of one topic's window, in bytes.
    pub window_bytes: usize,
    /// Greatest size of all windows together, in bytes.
    pub windows_bytes: usize,
    /// About the size of one page that a reader reads for itself, in bytes.
    pub page_bytes: usize,
    /// Greatest size of the pages of all readers together, in bytes.
    pub pages_bytes: usize,
    /// Size in bytes of what readers may hold beside the windows: pages, and messages that their
    /// callers have not taken. What is more is sent in small copies, so that a caller that takes
    /// nothing keeps no whole batch. A quarter of it is for lines that are no small copies.
    pub held_bytes: usize,
    /// How long a blocking read waits, and how long a quiet topic is believed to
    /// stand where it stood.
    pub block_ms: u64,
    /// Greatest number of topics that one blocking read waits for; in a cluster it is one.
    pub topics_per_connection: usize,
    /// Greatest number of blocking reads of a node of a cluster, each with a connection. The
    /// topics beyond are asked for now and then, over one more connection.
    pub blocked_reads_per_node: usize,
    /// How long a topic without readers is still followed.
    pub idle_topic_ms: u64,
    /// How long to look again when a reader is ahead of what Redis has.
    pub ahead_wait_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_bytes: 16 << 20,
            windows_bytes: 256 << 20,
            page_bytes: 1 << 20,
            pages_bytes: 64 << 20,
            held_bytes: 256 << 20,
            block_ms: 1000,
            topics_per_connection: 100,
            blocked_reads_per_node: 32,
            idle_topic_ms: 10_000,
            ahead_wait_ms: 3000,
        }
    }
}

/// What part of `held_bytes` is for lines that are too large to be sent in small copies.
const LENT_PART: usize = 4;

/// Why a hub ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task of it died, which is a mistake in the program.
    #[error("a feed of the hub died: {0}")]
    Feed(#[from] JoinError),
}

/// The hub; runs until it is told to stop.
#[derive(Debug)]
pub struct Hub {
    inner: Arc<Inner>,
}

/// Opens readers of a hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    options: Options,
    metrics: Metrics,
    outages: Outages,
    pages: PageMemory,
    board: Mutex<Board>,
    catalog: Catalog,
    /// Tells the hub that a feed has to be started.
    new_feed: Notify,
    /// The size of all windows.
    windows_bytes: Arc<AtomicUsize>,
    /// Short commands that must not be cut off in the middle.
    errands: TaskTracker,
}

/// Which topics are followed, and by whom.
#[derive(Debug, Default)]
struct Board {
    topics: HashMap<Topic, Arc<HotTopic>>,
    rosters: Vec<Arc<Roster>>,
    not_started: Vec<Arc<Roster>>,
}

impl Hub {
    /// A hub over this store, which counts what it does in `registry`.
    pub fn new(options: Options, store: Store, registry: &mut Registry) -> Self {
        let memory = store.memory();
        let lent = options.held_bytes / LENT_PART;
        memory.bound(options.windows_bytes.saturating_add(options.held_bytes - lent), lent);
        let inner = Inner {
            metrics: Metrics::register(registry, memory),
            store,
            outages: Outages::new(),
            pages: PageMemory::new(options.pages_bytes, options.page_bytes),
            options,
            board: Mutex::default(),
            catalog: Catalog::new(),
            new_feed: Notify::new(),
            windows_bytes: Arc::default(),
            errands: TaskTracker::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Opens readers, once and while the hub runs.
    pub fn handle(&self) -> Handle {
        Handle { inner: Arc::clone(&self.inner) }
    }

    /// Follows the topics that have readers, until `shutdown`.
    ///
    /// # Errors
    /// [`Error`] when a part of it died.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut feeds = JoinSet::new();
        feeds.spawn(Catalog::keep(Arc::clone(&self.inner)));
        loop {
            for roster in self.inner.board().not_started.drain(..) {
                feeds.spawn(Feed::new(Arc::clone(&self.inner), roster).run());
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.inner.new_feed.notified() => {}
                Some(ended) = feeds.join_next() => match ended? {},
            }
        }
        feeds.shutdown().await;
        self.inner.errands.close();
        if timeout(ERRANDS_WAIT, self.inner.errands.wait()).await.is_err() {
            tracing::debug!("commands to redis were left without their answer");
        }
        Ok(())
    }
}

impl Handle {
    /// A reader of a topic; see [`Reader::start`].
    pub fn open(&self, topic: &Topic) -> Reader {
        Reader::new(Arc::clone(&self.inner), self.inner.join(topic))
    }

    /// How many readers a topic has here.
    pub fn readers(&self, topic: &Topic) -> u64 {
        self.inner.board().topics.get(topic).map_or(0, |topic| topic.readers.load(Ordering::Acquire))
    }

    /// Tells which topics there are, and which ones are new.
    pub fn news(&self) -> News {
        News::new(Arc::clone(&self.inner))
    }

    /// The bound of what readers may hold, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.inner.options.held_bytes
    }

    /// Whether readers wait for the pages of others.
    pub fn pages_are_scarce(&self) -> bool {
        self.inner.pages.is_scarce()
    }

    /// Whether every feed hears from Redis; true when there is none.
    pub fn redis_ok(&self) -> watch::Receiver<bool> {
        self.inner.outages.watch()
    }
}

impl Inner {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody who reads could not, and perhaps could not before.
    fn failed(&self, is_out: &mut bool, error: &store::Error) {
        if std::mem::replace(is_out, true) {
            self.outages.goes_on(error);
        } else if self.outages.begin(error) {
            self.metrics.outages.inc();
        }
    }

    fn ahead_wait(&self) -> Duration {
        Duration::from_millis(self.options.ahead_wait_ms)
    }

    /// The topic with one reader more, followed by a feed that has room.
    fn join(&self, name: &Topic) -> Arc<HotTopic> {
        let mut board = self.board();
        if let Some(topic) = board.topics.get(name) {
            topic.readers.fetch_add(1, Ordering::AcqRel);
            return Arc::clone(topic);
        }
        let windows = Arc::clone(&self.windows_bytes);
        let born = Arc::clone(&self.catalog.wake);
        let topic = Arc::new(HotTopic::new(name.clone(), born, self.ahead_wait(), windows));
        topic.readers.store(1, Ordering::Release);
        board.topics.insert(name.clone(), Arc::clone(&topic));
        self.place(&mut board, Arc::clone(&topic));
        self.metrics.topics.set(count(board.topics.len()));
        topic
    }

    /// Gives a topic to a feed of its node.
    fn place(&self, board: &mut Board, topic: Arc<HotTopic>) {
        let bounds = if self.store.is_cluster() {
            // A node refuses one read over several hash tags, also when all are its own.
            Bounds { topics_a_read: 1, reads_a_node: Some(self.options.blocked_reads_per_node) }
        } else {
            Bounds { topics_a_read: self.options.topics_per_connection.max(1), reads_a_node: None }
        };
        let roster = roster::with_room(&mut board.rosters, self.store.node_of(&topic.name), bounds);
        if roster.starts() {
            board.not_started.push(Arc::clone(&roster));
            self.new_feed.notify_one();
        }
        roster.join(topic);
    }

    /// Gives a topic that is on another node by now to a feed of that; true where it is.
    fn move_on(&self, roster: &Roster, topic: &Arc<HotTopic>) -> bool {
        let mut board = self.board();
        if self.store.node_of(&topic.name) == roster.node() {
            return false;
        }
        roster.leave(&topic.name);
        self.place(&mut board, Arc::clone(topic));
        true
    }

    /// Forgets a topic that still has no reader; true when it is gone.
    fn leave(&self, roster: &Roster, topic: &HotTopic) -> bool {
        let mut board = self.board();
        if topic.readers.load(Ordering::Acquire) > 0 {
            return false;
        }
        board.topics.remove(&topic.name);
        roster.leave(&topic.name);
        self.metrics.topics.set(count(board.topics.len()));
        true
    }

    /// Keeps all windows together within their bound: the largest loses half.
    fn bound_windows(&self) {
        while self.windows_bytes.load(Ordering::Relaxed) > self.options.windows_bytes {
            let board = self.board();
            let largest = board.topics.values().max_by_key(|topic| topic.state().window.bytes());
            let Some(largest) = largest.filter(|topic| topic.state().window.bytes() > 0) else { break };
            largest.halve_window();
        }
        self.metrics.windows_bytes.set(count(self.windows_bytes.load(Ordering::Relaxed)));
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
