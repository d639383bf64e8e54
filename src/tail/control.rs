//! What the tailer and the task of one file tell each other.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

/// Whether a file is still where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is.
    InPlace,
    /// It was renamed, but is still among the files to be followed.
    Moved,
    /// It was deleted, or renamed to where nobody looks for it.
    Away,
}

/// The words between the two sides.
#[derive(Debug)]
pub(super) struct Control {
    wake: Notify,
    fate: watch::Sender<Fate>,
    drained: watch::Sender<bool>,
    read_position: AtomicU64,
}

impl Control {
    pub(super) fn new(fate: Fate) -> Self {
        Self {
            wake: Notify::new(),
            fate: watch::Sender::new(fate),
            drained: watch::Sender::new(false),
            read_position: AtomicU64::new(0),
        }
    }

    /// Says that the file may have grown.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Says that the file may have grown, when its size is not what was read of it.
    pub(super) fn wake_unless_read(&self, len: u64) {
        if self.read_position.load(Ordering::Relaxed) != len {
            self.wake();
        }
    }

    /// Says where the file is now.
    pub(super) fn meets(&self, fate: Fate) {
        self.fate.send_if_modified(|known| std::mem::replace(known, fate) != fate);
    }

    /// True once the file, no longer in its place, was read to its end and all of it
    /// is confirmed: then its successor may begin.
    pub(super) fn drained(&self) -> watch::Receiver<bool> {
        self.drained.subscribe()
    }

    pub(super) fn fate(&self) -> watch::Receiver<Fate> {
        self.fate.subscribe()
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn is_drained(&self, drained: bool) {
        self.drained.send_if_modified(|known| std::mem::replace(known, drained) != drained);
    }

    pub(super) fn has_read(&self, position: u64) {
        self.read_position.store(position, Ordering::Relaxed);
    }
}
