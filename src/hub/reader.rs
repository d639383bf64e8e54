//! One subscription's place in one topic. Its offset alone says what comes next:
//! from the hub's window, from a page of its own while it is behind, or what became
//! of its timeline.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::Stream as _;
use tokio_stream::wrappers::WatchStream;

use super::{
    Inner,
    fetch::{self, Fetch},
    page::{Page, PageCount, bytes_of},
    resume::{Resume, decide, decide_anyway},
    step::{Error, Step},
    topic::{HotTopic, TopicState},
    window::{Found, Place, Slot},
};
use crate::{
    record::{Cursor, Epoch, Offset, Timeline, Topic},
    store::{Item, Memory},
};

/// How often a reader that is ahead looks again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A place in a topic.
pub struct Reader {
    pub(super) hub: Arc<Inner>,
    pub(super) topic: Arc<HotTopic>,
    /// The line wanted next, and the epoch of the line before it. None: the topic was
    /// not there; its first line is wanted.
    pub(super) place: Option<(Epoch, Offset)>,
    /// The timeline in which it stands, by number and as it was.
    pub(super) view: Option<(u64, Timeline)>,
    changes: WatchStream<()>,
    /// Nothing to do until the topic changes.
    is_dry: bool,
    page: Option<Page>,
    count: PageCount,
    fetch: Option<Fetch>,
    /// The page behind `page`, on its way, and where it begins.
    ahead: Option<(Offset, Fetch)>,
    /// How often in a row the timeline was looked up because something did not fit; once for
    /// all the looks of a while.
    doubts: u8,
    /// Since when that is so.
    doubted_since: Option<Instant>,
    caught_up: bool,
    ahead_since: Option<Instant>,
}

/// What a look at the topic gives.
enum Look {
    Step(Step),
    Fail(Error),
    /// The place changed in silence: look again.
    Again,
    Wait,
    Read(Offset),
    /// Look up the timeline, after a while.
    Refresh(Duration),
}

impl Reader {
    pub(super) fn new(hub: Arc<Inner>, topic: Arc<HotTopic>) -> Self {
        let changes = WatchStream::from_changes(topic.changes());
        Self {
            hub,
            topic,
            place: None,
            view: None,
            changes,
            is_dry: false,
            page: None,
            count: PageCount::new(),
            fetch: None,
            ahead: None,
            doubts: 0,
            doubted_since: None,
            caught_up: false,
            ahead_since: None,
        }
    }

    /// The topic that it reads.
    pub fn topic(&self) -> &Topic {
        &self.topic.name
    }

    /// Where what it reads is counted.
    pub fn memory(&self) -> &Memory {
        self.hub.store.memory()
    }

    /// Where to resume. None while the topic does not exist.
    pub fn cursor(&self) -> Option<Cursor> {
        let (epoch, offset) = self.place?;
        Some(Cursor { topic: self.topic.name.clone(), epoch, offset })
    }

    /// The offset of the topic's next line, as far as the hub knows.
    pub fn tail(&self) -> Offset {
        self.topic.state().timeline.as_ref().map_or(Offset::ZERO, Timeline::next)
    }

    /// Gives up its page, and one that is on its way, when nobody takes from it: it is
    /// read again.
    pub fn release_page(&mut self) {
        self.leave_page();
        self.fetch = None;
        // Nothing was looked up, perhaps: what did not fit is looked at anew.
        self.trust();
    }

    fn leave_page(&mut self) {
        (self.page, self.ahead) = (None, None);
    }

    /// Goes back to a place that it has passed, in the entry that it gave last.
    pub fn go_back(&mut self, to: &Cursor) {
        self.place = Some((to.epoch, to.offset));
        self.release_page();
    }

    /// What comes next. Waits while there is nothing, also while Redis is away;
    /// nothing is lost when it is dropped.
    ///
    /// # Errors
    /// [`Error`], after which nothing else comes.
    pub async fn next(&mut self) -> Result<Step, Error> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`next`](Self::next), for those who wait for several readers at once.
    ///
    /// # Errors
    /// [`Error`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Step, Error>> {
        loop {
            if let Some(fetch) = &mut self.fetch {
                let fetched = ready!(fetch.as_mut().poll(context));
                self.fetch = None;
                self.is_dry = false;
                if let Some(mut page) = fetched {
                    let bytes = bytes_of(page.items.make_contiguous());
                    let is_full = page.items.len() >= self.count.get();
                    self.count.learn(page.items.len(), bytes, self.hub.options.page_bytes);
                    // There is more, in all likelihood: it is read and unpacked while this is sent.
                    self.ahead = page.items.back().and_then(item_end).filter(|_| is_full).and_then(|next| {
                        Some((next, fetch::page_ahead(&self.hub, &self.topic, next, self.count.get())?))
                    });
                    self.page = Some(page);
                }
            }
            if self.is_dry {
                ready!(Pin::new(&mut self.changes).poll_next(context));
                self.is_dry = false;
            }
            match self.look() {
                Look::Step(step) => return Poll::Ready(Ok(step)),
                Look::Fail(error) => return Poll::Ready(Err(error)),
                Look::Again => {}
                Look::Wait => self.is_dry = true,
                Look::Read(offset) => {
                    let ahead = self.ahead.take().filter(|(next, _)| *next == offset);
                    let fetch = ahead.map(|(_, fetch)| fetch);
                    let read = || fetch::page(&self.hub, &self.topic, offset, self.count.get());
                    self.fetch = Some(fetch.unwrap_or_else(read));
                }
                Look::Refresh(after) => self.fetch = Some(fetch::timeline(&self.hub, &self.topic, after)),
            }
        }
    }

    fn look(&mut self) -> Look {
        let topic = Arc::clone(&self.topic);
        let state = topic.state();
        let Some(timeline) = &state.timeline else { return Look::Wait };
        let Some((epoch, offset)) = self.place else {
            if state.is_absent {
                return Look::Wait;
            }
            // Born after the call: from its first line on.
            self.view = Some((state.generation, timeline.clone()));
            self.place = Some((timeline.epoch_of(Offset::ZERO), Offset::ZERO));
            return Look::Again;
        };
        if self.view.as_ref().is_none_or(|&(generation, _)| generation != state.generation) {
            return self.decide(&state, timeline, epoch, offset);
        }
        let place = state.window.find(offset);
        if !matches!(place, Place::Behind) {
            self.leave_page();
            self.trust();
        }
        match place {
            Place::At(slot) => self.step(timeline, offset, slot),
            Place::Behind if state.is_absent => Look::Wait,
            Place::Behind => self.catch_up(timeline, offset, state.window.begin()),
            Place::Tail => match &state.newer {
                Some(format) => Look::Fail(self.newer(format.clone())),
                None if self.caught_up || !state.is_at_tail() => Look::Wait,
                None => {
                    self.caught_up = true;
                    Look::Step(Step::CaughtUp)
                }
            },
        }
    }

    /// What comes next while the window, which begins at `begin`, is out of reach.
    fn catch_up(&mut self, timeline: &Timeline, offset: Offset, begin: Offset) -> Look {
        self.caught_up = false;
        if offset < timeline.first() {
            return self.gap(timeline, offset, timeline.first(), "trimmed".into());
        }
        let Some(page) = &mut self.page else { return Look::Read(offset) };
        if let Some(item) = page.items.pop_front() {
            return self.take(timeline, offset, item);
        }
        if !page.was_empty {
            // Given back first: the next one may wait for its room.
            self.page = None;
            return Look::Read(offset);
        }
        if self.doubts < 2 {
            return self.doubt();
        }
        let why = format!("no entry in Redis holds the lines before offset {begin}");
        self.gap(timeline, offset, begin, why.into())
    }

    /// Takes what the page has next, when it fits.
    fn take(&mut self, timeline: &Timeline, offset: Offset, item: Item) -> Look {
        let again = (self.doubts == 1).then(|| item.clone());
        let slot = match Found::at(offset, item, timeline) {
            Found::Slot(slot) => slot,
            Found::Misfit(slot) if self.doubts == 2 => slot,
            Found::Misfit(_) => {
                if let (Some(page), Some(item)) = (&mut self.page, again) {
                    page.items.push_front(item);
                }
                return self.doubt();
            }
            Found::Newer(format) => return Look::Fail(self.newer(format)),
        };
        self.step(timeline, offset, slot)
    }

    /// What was read does not fit: it is read again after a look at the timeline, for a while, as the
    /// two may come from two servers of which one is the former master; and then kept for another
    /// look. What was read between two looks at the same timeline, and does not fit, is lost.
    fn doubt(&mut self) -> Look {
        let since = *self.doubted_since.get_or_insert_with(Instant::now);
        if self.doubts == 0 {
            self.leave_page();
            self.doubts = 1;
            return Look::Refresh(Duration::ZERO);
        }
        if since.elapsed() < self.hub.ahead_wait() {
            self.leave_page();
            return Look::Refresh(LOOK_AGAIN.min(self.hub.ahead_wait()));
        }
        self.doubts = 2;
        Look::Refresh(Duration::ZERO)
    }

    /// What was read fits, or is not wanted any more.
    fn trust(&mut self) {
        (self.doubts, self.doubted_since) = (0, None);
    }

    fn newer(&self, format: String) -> Error {
        Error::Newer { topic: self.topic.name.clone(), format }
    }

    fn gap(&mut self, timeline: &Timeline, from: Offset, to: Offset, why: Arc<str>) -> Look {
        self.move_to(timeline, to, |to| Step::Gap { from, to, why })
    }

    /// Where to go on in a timeline that is new to this reader.
    fn decide(&mut self, state: &TopicState, timeline: &Timeline, epoch: Epoch, offset: Offset) -> Look {
        let own = self.view.as_ref().map(|(_, timeline)| timeline);
        let resume = match own {
            // The hub has waited for the timeline that this reader saw.
            Some(_) => decide_anyway(epoch, offset, timeline, own),
            None => decide(epoch, offset, timeline, state.remembered.as_ref()),
        };
        if resume == Resume::Ahead {
            return self.is_ahead(timeline, epoch, offset);
        }
        self.ahead_since = None;
        self.leave_page();
        self.trust();
        self.view = Some((state.generation, timeline.clone()));
        self.caught_up &= resume == Resume::Continue;
        match resume {
            Resume::Continue | Resume::Ahead => {
                self.place = Some((timeline.epoch_of(offset.minus(1)), offset));
                Look::Again
            }
            Resume::Gap { to } => self.gap(timeline, offset, to, "trimmed".into()),
            Resume::Rewound { to } => self.move_to(timeline, to, |to| Step::Rewound { from: offset, to }),
            Resume::Reset { to } => self.move_to(timeline, to, |to| Step::Reset { from: offset, to }),
        }
    }

    fn is_ahead(&mut self, timeline: &Timeline, epoch: Epoch, offset: Offset) -> Look {
        let since = *self.ahead_since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.hub.ahead_wait() {
            return Look::Refresh(LOOK_AGAIN);
        }
        let topic = self.topic.name.clone();
        let tail = timeline.cursor_at(&topic, timeline.next());
        Look::Fail(Error::Ahead { cursor: Cursor { topic, epoch, offset }, tail })
    }

    fn step(&mut self, timeline: &Timeline, offset: Offset, slot: Slot) -> Look {
        self.move_to(timeline, slot.next(), |to| match slot {
            Slot::Lines(entry) => Step::Lines { entry, from: offset },
            Slot::Lost { why, .. } => Step::Gap { from: offset, to, why },
        })
    }

    fn move_to(&mut self, timeline: &Timeline, to: Offset, step: impl FnOnce(Offset) -> Step) -> Look {
        self.place = Some((timeline.epoch_of(to.minus(1)), to));
        self.trust();
        Look::Step(step(to))
    }
}

/// The offset behind an item; none where that is not known.
fn item_end(item: &Item) -> Option<Offset> {
    match item {
        Item::Entry(entry) => Some(entry.next()),
        Item::Bad { last, .. } => Some(last.plus(1)),
        Item::Newer { .. } => None,
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.topic.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reader");
        shown.field("topic", &self.topic.name).field("place", &self.place).finish_non_exhaustive()
    }
}
