//! A topic as somebody looks at it who asks once and keeps no place: pages in either direction.
//!
//! What is read is held against the timeline that was looked up before. Where it does not fit,
//! the timeline is looked up again: another one is said, and in the same one, after a while, the lines are lost.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use super::{
    Handle, Inner, ReadError, Start, Step,
    page::{PageCount, bytes_of},
    reader::LOOK_AGAIN,
    resume::{Resume, decide},
    window::{Found, Slot},
};
use crate::{
    record::{Epoch, Offset, Timeline, Topic},
    store::{self, Item},
};

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the tail.
    Forwards,
    /// To the first line.
    Backwards,
}

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Redis does not answer, or not as it should.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What is there is not for this version.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The timeline is another one by now, or its first lines are trimmed: look anew.
    #[error("the topic has changed meanwhile")]
    Changed,
}

/// One look at a topic.
#[derive(Debug)]
pub struct History {
    hub: Arc<Inner>,
    topic: Topic,
    timeline: Timeline,
    count: PageCount,
    /// For the page that is read.
    _room: Option<OwnedSemaphorePermit>,
}

/// What became of an item.
enum Fit {
    /// It is taken; the next one may be, too.
    Taken,
    /// Something is taken; the rest is to be read anew.
    Enough,
    /// It does not belong there.
    Misfit,
    /// It is of this format, which is not known.
    Newer(String),
}

impl Handle {
    /// Looks at a topic; none where there is no such topic. Waits for room for a page.
    ///
    /// # Errors
    /// [`store::Error`].
    pub async fn history(&self, topic: &Topic) -> Result<Option<History>, store::Error> {
        let hub = Arc::clone(&self.inner);
        let room = hub.pages.reserve().await;
        let Some(found) = hub.store.resolve(topic).await? else { return Ok(None) };
        let (topic, timeline, count) = (topic.clone(), found.timeline, PageCount::new());
        Ok(Some(History { hub, topic, timeline, count, _room: room }))
    }
}

impl History {
    /// The topic as it was when it was looked at.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The offset where a start begins that is no cursor.
    ///
    /// # Errors
    /// [`store::Error`].
    pub async fn offset(&self, start: Start) -> Result<Offset, store::Error> {
        start.offset(&self.hub.store, &self.topic, &self.timeline).await
    }

    /// Where a cursor goes on. One that is ahead is looked at again for a while.
    ///
    /// # Errors
    /// [`HistoryError`], of a cursor that stays ahead too.
    pub async fn resume(&mut self, epoch: Epoch, offset: Offset) -> Result<Resume, HistoryError> {
        let since = Instant::now();
        loop {
            match decide(epoch, offset, &self.timeline, None) {
                Resume::Ahead if since.elapsed() < self.hub.ahead_wait() => {}
                Resume::Ahead => {
                    let tail = self.timeline.cursor_at(&self.topic, self.timeline.next());
                    let cursor = crate::record::Cursor { topic: self.topic.clone(), epoch, offset };
                    return Err(ReadError::Ahead { cursor, tail }.into());
                }
                resume => return Ok(resume),
            }
            sleep(LOOK_AGAIN.min(self.hub.ahead_wait().max(Duration::from_millis(1)))).await;
            let found = self.hub.store.resolve(&self.topic).await?;
            self.timeline = found.ok_or(HistoryError::Changed)?.timeline;
        }
    }

    /// What stands at an offset and behind it, or before it and further back: entries and gaps in
    /// the order in which they are met, about a page of them. Empty where there is no more. Gaps
    /// are never in between of what can be read.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn page(&mut self, at: Offset, direction: Direction) -> Result<Vec<Step>, HistoryError> {
        let since = Instant::now();
        loop {
            let items = match direction {
                Direction::Forwards => self.hub.store.page(&self.topic, at, self.count.get()).await?,
                Direction::Backwards => self.items_before(at).await?,
            };
            self.hub.metrics.pages.inc();
            self.hub.metrics.page_bytes.inc_by(bytes_of(&items) as u64);
            self.count.learn(items.len(), bytes_of(&items), self.hub.options.page_bytes);
            if let Some(steps) = self.fit(items.clone(), at, direction, false)? {
                return Ok(steps);
            }
            let found = self.hub.store.resolve(&self.topic).await?.ok_or(HistoryError::Changed)?.timeline;
            if found.epochs() != self.timeline.epochs() || found.first() != self.timeline.first() {
                return Err(HistoryError::Changed);
            }
            // Before that, the two may come from two servers of which one is the former master.
            if since.elapsed() >= self.hub.ahead_wait() {
                return self.fit(items, at, direction, true)?.ok_or(HistoryError::Changed);
            }
            sleep(LOOK_AGAIN.min(self.hub.ahead_wait())).await;
        }
    }

    /// The entry that holds the line before `at`, or a later one, and those before it.
    async fn items_before(&self, at: Offset) -> Result<Vec<Item>, store::Error> {
        let (store, last) = (&self.hub.store, at.minus(1));
        let holder = store.page(&self.topic, last, 1);
        let before = store.page_before(&self.topic, last, self.count.get());
        let (mut items, mut before) = tokio::try_join!(holder, before)?;
        items.append(&mut before);
        Ok(items)
    }

    /// What was read, as far as it fits; none where something does not, unless that is lost.
    fn fit(
        &self,
        items: Vec<Item>,
        at: Offset,
        direction: Direction,
        takes_misfits: bool,
    ) -> Result<Option<Vec<Step>>, ReadError> {
        let mut fitted = Fitted { timeline: &self.timeline, at, steps: Vec::new(), takes_misfits };
        for item in items {
            let fit = match direction {
                Direction::Forwards => fitted.forwards(item),
                Direction::Backwards => fitted.backwards(item),
            };
            match fit {
                Fit::Taken => {}
                Fit::Enough => break,
                Fit::Misfit => return Ok(None),
                // What is on this side of it can be read.
                Fit::Newer(_) if !fitted.steps.is_empty() => break,
                Fit::Newer(format) => return Err(ReadError::Newer { topic: self.topic.clone(), format }),
            }
        }
        let end = match direction {
            Direction::Forwards => self.timeline.next(),
            Direction::Backwards => self.timeline.first(),
        };
        if fitted.steps.is_empty()
            && end != at
            && let Fit::Misfit = fitted.lose(end, "no entry in Redis holds these lines".into(), true)
        {
            return Ok(None);
        }
        Ok(Some(fitted.steps))
    }
}

/// What was read, held against a timeline.
struct Fitted<'a> {
    timeline: &'a Timeline,
    /// How far it goes.
    at: Offset,
    steps: Vec<Step>,
    /// Whether what does not fit is lost.
    takes_misfits: bool,
}

impl Fitted<'_> {
    fn forwards(&mut self, item: Item) -> Fit {
        match Found::at(self.at, item, self.timeline) {
            Found::Slot(Slot::Lines(entry)) => {
                let from = std::mem::replace(&mut self.at, entry.next());
                self.steps.push(Step::Lines { entry, from });
                Fit::Taken
            }
            Found::Slot(Slot::Lost { next, why }) => self.lose(next, why, false),
            Found::Misfit(slot) => {
                let why = match &slot {
                    Slot::Lost { why, .. } => Arc::clone(why),
                    Slot::Lines(_) => "the entry is of another timeline".into(),
                };
                // The item itself may fit behind what is lost.
                match self.lose(slot.next(), why, true) {
                    Fit::Taken => Fit::Enough,
                    fit => fit,
                }
            }
            Found::Newer(format) => Fit::Newer(format),
        }
    }

    fn backwards(&mut self, item: Item) -> Fit {
        let entry = match item {
            Item::Newer { format } => return Fit::Newer(format),
            // Where it begins is told by the one before it.
            Item::Bad { last, why } if last < self.at => return self.lose(last, why.into(), false),
            Item::Bad { .. } => return Fit::Taken,
            Item::Entry(entry) => entry,
        };
        // What should hold the line is not there; this is behind it.
        if entry.first >= self.at {
            return Fit::Taken;
        }
        if entry.next() < self.at
            && let Fit::Misfit = self.lose(entry.next(), "no entry in Redis holds these lines".into(), true)
        {
            return Fit::Misfit;
        }
        let (epochs, first) = (self.timeline.epochs(), entry.first);
        if first >= epochs[0].1 && entry.epoch != self.timeline.epoch_of(first) {
            let why = format!("the entry is of epoch {}, which has no such offset", entry.epoch);
            return self.lose(first, why.into(), true);
        }
        self.at = first;
        self.steps.push(Step::Lines { entry: Arc::new(entry), from: first });
        Fit::Taken
    }

    /// Says that the lines up to `to`, in either direction, cannot be had.
    fn lose(&mut self, to: Offset, why: Arc<str>, is_misfit: bool) -> Fit {
        if is_misfit && !self.takes_misfits {
            return Fit::Misfit;
        }
        let before = std::mem::replace(&mut self.at, to);
        self.steps.push(Step::Gap { from: before.min(to), to: before.max(to), why });
        Fit::Taken
    }
}
