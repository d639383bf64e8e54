//! What the calls over one connection share.

use std::sync::Arc;

use http::Extensions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::drain::{Drain, Leave};

/// One connection, as its calls see it. Cheap to clone; it travels in their extensions.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    most: usize,
    seats: Arc<Semaphore>,
    leave: Leave,
}

impl Guest {
    /// A connection that may have so many streams.
    pub(super) fn new(most: usize, drain: &Drain) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { most, seats: Arc::new(Semaphore::new(most)), leave: drain.of_connection() }
    }

    /// The connection of the call with these extensions.
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// Room for one more stream; none where it has all it may have.
    pub(super) fn seat(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.seats).try_acquire_owned().ok()
    }

    /// How many streams there are over it.
    pub(super) fn streams(&self) -> usize {
        self.most - self.seats.available_permits()
    }

    /// What tells its streams to end.
    pub(super) fn leave(&self) -> &Leave {
        &self.leave
    }

    /// Tells its streams to end.
    pub(super) fn begin_to_leave(&self) {
        self.leave.begin(self.streams());
    }
}
