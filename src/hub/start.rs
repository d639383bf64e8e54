//! Where a reader begins.

use std::time::Duration;

use tokio::time::sleep;

use super::{Reader, fetch};
use crate::{
    record::{Cursor, Epoch, Offset, Timeline, Topic},
    retry::Backoff,
    store::{self, Store},
};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first line that is still there.
    Earliest,
    /// At the next line that is appended.
    Latest,
    /// At the first line that was appended at this time (in unix milliseconds) or later.
    Time(u64),
    /// So many lines before the tail.
    LastLines(u64),
    /// At the very first line, whether it is still there or not.
    Birth,
    /// At the next line after one that was read in this epoch.
    Cursor(Epoch, Offset),
}

/// What a reader found when it began.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Where the topic stood; none: there is no such topic.
    pub timeline: Option<Timeline>,
    /// Where the reader begins; none: at the first line of a topic that is not there yet.
    pub cursor: Option<Cursor>,
}

impl Start {
    /// The offset where it begins in a topic.
    pub(super) async fn offset(
        self,
        store: &Store,
        topic: &Topic,
        timeline: &Timeline,
    ) -> Result<Offset, store::Error> {
        Ok(match self {
            Self::Earliest => timeline.first(),
            Self::Latest => timeline.next(),
            Self::Time(ms) => store.offset_at(topic, ms, timeline).await?,
            Self::LastLines(lines) => timeline.next().minus(lines).max(timeline.first()),
            Self::Birth => Offset::ZERO,
            Self::Cursor(_, offset) => offset,
        })
    }
}

impl Reader {
    /// Goes to where it shall begin. Waits for as long as Redis is away. What became
    /// of a cursor's line is said by the first steps.
    pub async fn start(&mut self, start: Start) -> Opening {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        loop {
            match self.try_start(start).await {
                Ok(opening) => return opening,
                Err(error) => tracing::debug!(topic = %self.topic.name, %error, "a reader waits to begin"),
            }
            sleep(backoff.next_delay()).await;
        }
    }

    async fn try_start(&mut self, start: Start) -> Result<Opening, store::Error> {
        fetch::refresh(&self.hub, &self.topic).await?;
        let found = {
            let state = self.topic.state();
            let timeline = state.timeline.clone().filter(|_| !state.is_absent);
            timeline.map(|timeline| (state.generation, timeline))
        };
        if let Start::Cursor(epoch, offset) = start {
            self.place = Some((epoch, offset));
            return Ok(Opening { timeline: found.map(|(_, timeline)| timeline), cursor: self.cursor() });
        }
        let Some((generation, timeline)) = found else {
            return Ok(Opening { timeline: None, cursor: None });
        };
        let offset = start.offset(&self.hub.store, &self.topic.name, &timeline).await?;
        self.place = Some((timeline.epoch_of(offset.minus(1)), offset));
        self.view = Some((generation, timeline.clone()));
        Ok(Opening { timeline: Some(timeline), cursor: self.cursor() })
    }
}
