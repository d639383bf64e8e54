//! What the hub knows of one topic: its timeline and its window, shared by the
//! feed that fills it and the readers that take from it. Both look at it under one
//! short lock, so nobody ever sees lines of one timeline beside another one.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use super::{
    resume::{Resume, decide, decide_anyway},
    window::{Found, Slot, Window},
};
use crate::{
    record::{Epoch, Offset, Timeline, Topic},
    store::{self, Item, Store},
};

/// A topic that somebody reads, or read a moment ago.
#[derive(Debug)]
pub(super) struct HotTopic {
    pub(super) name: Topic,
    /// How many readers it has; grows only under the lock of the hub's board.
    pub(super) readers: AtomicU64,
    state: Mutex<TopicState>,
    changed: watch::Sender<()>,
    /// Ends the feed's blocking read: it waits at an offset that is no longer wanted.
    wake_feed: Mutex<Arc<Notify>>,
    /// Told when it was not there, and was born.
    born: Arc<Notify>,
    resolves_begun: AtomicU64,
    /// The number of the last one that ended, and how.
    resolved: tokio::sync::Mutex<(u64, Result<(), store::Error>)>,
    ahead_wait: Duration,
    /// The size of all windows, of which this one is a part.
    windows_bytes: Arc<AtomicUsize>,
}

/// The end of a window in one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    generation: u64,
    next: Offset,
}

/// What is known of a topic now.
#[derive(Debug)]
pub(super) struct TopicState {
    /// Whether Redis was asked at all.
    pub(super) is_known: bool,
    /// Whether there was no such topic when Redis was asked last.
    pub(super) is_absent: bool,
    /// Its timeline; kept when the topic vanishes, to tell readers what became of it.
    pub(super) timeline: Option<Timeline>,
    /// The timeline before that one.
    pub(super) remembered: Option<Timeline>,
    /// Increases when the epochs change: readers have to decide anew.
    pub(super) generation: u64,
    pub(super) window: Window,
    /// The format of the next entry, when it is one that we do not know.
    pub(super) newer: Option<String>,
    /// Since when Redis shows a timeline that is older than ours.
    ahead_since: Option<Instant>,
}

/// What became of an item that the feed read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in the window now; so many of its lines are lost.
    Yes { lost_lines: u64 },
    /// It does not fit; the timeline may be another one.
    Misfit,
    /// It is of a newer format.
    Newer,
}

impl HotTopic {
    pub(super) fn new(
        name: Topic,
        born: Arc<Notify>,
        ahead_wait: Duration,
        windows_bytes: Arc<AtomicUsize>,
    ) -> Self {
        let state = TopicState {
            is_known: false,
            is_absent: false,
            timeline: None,
            remembered: None,
            generation: 0,
            window: Window::new(Offset::ZERO),
            newer: None,
            ahead_since: None,
        };
        Self {
            name,
            readers: AtomicU64::new(0),
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            wake_feed: Mutex::default(),
            born,
            resolves_begun: AtomicU64::new(0),
            resolved: tokio::sync::Mutex::new((0, Ok(()))),
            ahead_wait,
            windows_bytes,
        }
    }

    /// What is known now. Held shortly, never across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, TopicState> {
        // Nothing in here is left half done by a panic elsewhere.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and counts what that does to the size of all windows.
    fn change<T>(&self, change: impl FnOnce(&mut TopicState) -> T) -> T {
        let mut state = self.state();
        let before = state.window.bytes();
        let result = change(&mut state);
        let after = state.window.bytes();
        self.windows_bytes.fetch_add(after, Ordering::Relaxed);
        self.windows_bytes.fetch_sub(before, Ordering::Relaxed);
        result
    }

    /// Another feed follows it, which this wakes.
    pub(super) fn follow_by(&self, wake: &Arc<Notify>) {
        *self.wake_feed.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(wake);
    }

    /// Where the window ends now.
    pub(super) fn spot(&self) -> Spot {
        self.state().spot()
    }

    /// Drops the older half of the window.
    pub(super) fn halve_window(&self) {
        self.change(|state| state.window.shrink_to(state.window.bytes() / 2));
    }

    /// Tells of every change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Asks Redis where the topic stands. One question at a time: who comes while one
    /// is under way shares the answer to the next.
    pub(super) async fn refresh(&self, store: &Store) -> Result<(), store::Error> {
        let before = self.resolves_begun.load(Ordering::Acquire);
        let mut last = self.resolved.lock().await;
        if last.0 > before {
            return last.1.clone();
        }
        let number = self.resolves_begun.fetch_add(1, Ordering::AcqRel) + 1;
        let answer = store.resolve(&self.name).await.map(|resolved| {
            let timeline = resolved.map(|found| found.timeline);
            if timeline.is_some() && self.state().is_absent {
                self.born.notify_one();
            }
            if self.change(|state| state.install(timeline, self.ahead_wait)) {
                self.wake_feed.lock().unwrap_or_else(PoisonError::into_inner).notify_one();
            }
            self.changed.send_replace(());
        });
        *last = (number, answer.clone());
        answer
    }

    /// Takes what the feed read at the window's end. What does not fit is lost where
    /// that is at the spot `lost_at`.
    pub(super) fn take(&self, item: Item, lost_at: Option<Spot>, bound_bytes: usize) -> Taken {
        let taken = self.change(|state| state.take(item, lost_at, bound_bytes));
        if taken != Taken::Misfit {
            self.changed.send_replace(());
        }
        taken
    }
}

impl Drop for HotTopic {
    fn drop(&mut self) {
        self.change(|state| state.window.shrink_to(0));
    }
}

impl TopicState {
    /// The offset that the feed reads next: where a vanished topic begins again.
    pub(super) fn wanted(&self) -> Offset {
        if self.is_absent { Offset::ZERO } else { self.window.next() }
    }

    /// Whether the feed has all that is there, as far as is known.
    pub(super) fn is_at_tail(&self) -> bool {
        self.timeline.as_ref().is_none_or(|timeline| self.window.next() >= timeline.next())
    }

    /// Whether the feed can read on.
    pub(super) fn is_readable(&self) -> bool {
        self.is_known && self.newer.is_none() && self.ahead_since.is_none()
    }

    /// Takes over what Redis says of the topic; true when the window's end moved or
    /// the topic became readable.
    fn install(&mut self, found: Option<Timeline>, ahead_wait: Duration) -> bool {
        let was_known = std::mem::replace(&mut self.is_known, true);
        self.is_absent = found.is_none();
        let Some(mut found) = found else { return !was_known };
        let next = self.window.next();
        let Some(known) = self.timeline.take() else {
            // The tail when the topic is met, the begin when it was born meanwhile.
            let begin = if was_known { found.first() } else { found.next() };
            self.window.rewind(begin);
            self.renew(found, None);
            return true;
        };
        if known.epoch() == found.epoch() {
            // An answer may be older than the lines that came while it was under way.
            found.advance(known.next());
        }
        let epoch = known.epoch_of(next.minus(1));
        let to = match self.resume(epoch, next, &known, &found, ahead_wait) {
            Resume::Ahead => {
                self.timeline = Some(known);
                return false;
            }
            Resume::Continue => next,
            Resume::Gap { to } | Resume::Reset { to } => to,
            Resume::Rewound { to } => to.max(found.first()),
        };
        self.ahead_since = None;
        if to != next {
            self.window.rewind(to);
            self.newer = None;
        }
        if known.epochs() == found.epochs() {
            self.timeline = Some(found);
        } else {
            self.renew(found, Some(known));
        }
        to != next
    }

    fn resume(
        &mut self,
        epoch: Epoch,
        next: Offset,
        known: &Timeline,
        found: &Timeline,
        ahead_wait: Duration,
    ) -> Resume {
        let resume = decide(epoch, next, found, Some(known));
        if resume != Resume::Ahead {
            return resume;
        }
        let since = *self.ahead_since.get_or_insert_with(Instant::now);
        if since.elapsed() < ahead_wait {
            return Resume::Ahead;
        }
        decide_anyway(epoch, next, found, Some(known))
    }

    fn renew(&mut self, found: Timeline, known: Option<Timeline>) {
        self.timeline = Some(found);
        self.remembered = known.or(self.remembered.take());
        self.generation += 1;
    }

    fn spot(&self) -> Spot {
        Spot { generation: self.generation, next: self.window.next() }
    }

    fn take(&mut self, item: Item, lost_at: Option<Spot>, bound_bytes: usize) -> Taken {
        let is_lost = lost_at == Some(self.spot());
        let Some(timeline) = &mut self.timeline else { return Taken::Misfit };
        let next = self.window.next();
        let slot = match Found::at(next, item, timeline) {
            Found::Slot(slot) => slot,
            Found::Misfit(slot) if is_lost => slot,
            Found::Misfit(_) => return Taken::Misfit,
            Found::Newer(format) => {
                self.newer = Some(format);
                return Taken::Newer;
            }
        };
        timeline.advance(slot.next());
        let lost_lines = match &slot {
            Slot::Lines(_) => 0,
            Slot::Lost { next: after, .. } => after.since(next),
        };
        self.window.push(slot, bound_bytes);
        Taken::Yes { lost_lines }
    }
}
