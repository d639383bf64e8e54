//! What the task of one file is doing, and where that is to lead.

use std::{collections::VecDeque, io, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{control::Fate, limits::Grant, reader::Block};
use crate::{
    publish::{Outcome, Packing},
    record::Identity,
};

/// Why a source ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to stop, and has appended all that it had read.
    Stopped,
    /// The file is gone from its place and was read to its end; Redis knows.
    Drained,
    /// The file has other content than what was read from it.
    Replaced,
}

pub(super) type Sending = BoxFuture<'static, Outcome>;
pub(super) type Waiting = BoxFuture<'static, Grant>;
pub(super) type Reading = BoxFuture<'static, (Option<OwnedSemaphorePermit>, io::Result<Block>)>;

/// A batch whose turn comes, and the place in the file behind it.
pub(super) struct Sealed {
    pub(super) packing: Packing,
    pub(super) next_line: u64,
    pub(super) position: u64,
    pub(super) identity: Identity,
    /// Pays for what was read, until it is stored.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// What is under way, and where it is to lead.
pub(super) struct Course {
    /// At most one append is in flight: each one names the record before it.
    pub(super) sending: Option<Sending>,
    /// Full batches behind the one in flight; none where none is.
    pub(super) ahead: VecDeque<Sealed>,
    pub(super) reading: Option<Reading>,
    /// Lines that were read wait until they may be taken: nothing more is read meanwhile.
    pub(super) waiting: Option<Waiting>,
    /// The file had no more bytes when it was read last.
    pub(super) at_end: bool,
    pub(super) fate: Fate,
    /// When the file came to where it is.
    pub(super) moved_at: Instant,
    /// The file has not grown since it was to be closed.
    pub(super) is_last_look: bool,
    /// It is not to be kept open for longer than it takes to drain it, when it is away.
    pub(super) is_hurried: bool,
    pub(super) goal: Goal,
}

/// What has to happen when nothing more is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Go on.
    Follow,
    /// End, for this reason.
    End(Ended),
    /// Tell Redis that no more will come, then end.
    MarkGone,
}

impl Course {
    pub(super) fn new(fate: Fate) -> Self {
        let moved_at = Instant::now();
        let goal = Goal::Follow;
        let (sending, reading, waiting) = (None, None, None);
        let (at_end, is_last_look, is_hurried) = (false, false, false);
        let ahead = VecDeque::new();
        Self { sending, ahead, reading, waiting, at_end, fate, moved_at, is_last_look, is_hurried, goal }
    }

    /// What was read and not stored is read again, from wherever that is.
    pub(super) fn goes_back(&mut self) {
        (self.reading, self.waiting, self.at_end) = (None, None, false);
        self.ahead.clear();
        if self.goal == Goal::MarkGone {
            (self.goal, self.is_last_look) = (Goal::Follow, false);
        }
    }

    /// The file is there now.
    pub(super) fn moves(&mut self, fate: Fate) {
        (self.fate, self.moved_at, self.at_end, self.is_hurried) = (fate, Instant::now(), false, false);
    }

    /// Until when it is kept open when it is away.
    pub(super) fn lingers_until(&self, active_at: Instant, linger: Duration) -> Instant {
        if self.is_hurried { active_at } else { active_at.max(self.moved_at) + linger }
    }

    /// Everything that is in the file is confirmed.
    pub(super) fn is_quiet(&self) -> bool {
        self.sending.is_none() && self.waiting.is_none() && self.at_end
    }

    pub(super) fn lingers(&self) -> bool {
        self.is_quiet() && self.goal == Goal::Follow && self.fate == Fate::Away
    }
}

/// Waits for what is under way; for ever where nothing is.
pub(super) async fn when_ready<T>(under_way: &mut Option<BoxFuture<'static, T>>) -> T {
    match under_way {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
