//! Which topics a feed follows, and where it has to look for them.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use super::topic::HotTopic;
use crate::{record::Topic, store::NodeId};

/// How new entries are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// In a blocking read over all of them.
    Blocked,
    /// By asking for each of them now and then.
    Polling,
}

/// How many topics there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// In one blocking read.
    pub(super) topics_a_read: usize,
    /// Blocking reads of one node; topics beyond are polled together. None: there is no bound.
    pub(super) reads_a_node: Option<usize>,
}

/// The topics of one feed.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) waiting: Waiting,
    /// Ends the feed's blocking read.
    pub(super) wake: Arc<Notify>,
    /// Changes only while there are no topics.
    node: Mutex<NodeId>,
    topics: Mutex<Vec<Arc<HotTopic>>>,
    is_started: AtomicBool,
}

impl Roster {
    fn new(waiting: Waiting, node: NodeId) -> Self {
        Self {
            waiting,
            wake: Arc::default(),
            node: Mutex::new(node),
            topics: Mutex::default(),
            is_started: AtomicBool::new(false),
        }
    }

    /// The node that its topics are on.
    pub(super) fn node(&self) -> NodeId {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its topics; held shortly, never across an await.
    pub(super) fn topics(&self) -> MutexGuard<'_, Vec<Arc<HotTopic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn join(&self, topic: Arc<HotTopic>) {
        topic.follow_by(&self.wake);
        self.topics().push(topic);
        self.wake.notify_one();
    }

    pub(super) fn leave(&self, name: &Topic) {
        self.topics().retain(|topic| topic.name != *name);
    }

    /// True the first time.
    pub(super) fn starts(&self) -> bool {
        !self.is_started.swap(true, Ordering::Relaxed)
    }

    fn move_to(&self, node: NodeId) {
        *self.node.lock().unwrap_or_else(PoisonError::into_inner) = node;
    }
}

/// The roster among these that takes in a topic of a node; a new one where none can.
pub(super) fn with_room(rosters: &mut Vec<Arc<Roster>>, node: NodeId, bounds: Bounds) -> Arc<Roster> {
    let of_node = |waiting| {
        rosters.iter().filter(move |roster: &&Arc<Roster>| roster.waiting == waiting && roster.node() == node)
    };
    let has_room = |roster: &&Arc<Roster>| (1..bounds.topics_a_read).contains(&roster.topics().len());
    if let Some(roster) = of_node(Waiting::Blocked).find(has_room) {
        return Arc::clone(roster);
    }
    let reads = of_node(Waiting::Blocked).filter(|roster| !roster.topics().is_empty()).count();
    let waiting = match bounds.reads_a_node {
        Some(most) if reads >= most => Waiting::Polling,
        _ => Waiting::Blocked,
    };
    if waiting == Waiting::Polling
        && let Some(roster) = of_node(waiting).next()
    {
        return Arc::clone(roster);
    }
    // One that nobody needs any more goes to where it is needed.
    let idle = rosters.iter().find(|roster| roster.waiting == waiting && roster.topics().is_empty());
    let roster = idle.cloned().unwrap_or_else(|| {
        let roster = Arc::new(Roster::new(waiting, node));
        rosters.push(Arc::clone(&roster));
        roster
    });
    roster.move_to(node);
    roster
}
