//! What the tailer and the task of one file tell each other.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::record::PrintHash;

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

/// How far a file was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Read {
    pub(super) position: u64,
    /// Of the last bytes before the position.
    pub(super) print: PrintHash,
}

/// The words between the two sides.
#[derive(Debug)]
pub(super) struct Control {
    wake: Notify,
    fate: watch::Sender<Fate>,
    read: Mutex<Read>,
}

impl Control {
    pub(super) fn new(fate: Fate) -> Self {
        Self { wake: Notify::new(), fate: watch::Sender::new(fate), read: Mutex::default() }
    }

    /// Says that the file may have grown.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Says where the file is now.
    pub(super) fn meets(&self, fate: Fate) {
        self.fate.send_if_modified(|known| std::mem::replace(known, fate) != fate);
    }

    pub(super) fn fate(&self) -> watch::Receiver<Fate> {
        self.fate.subscribe()
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn has_read(&self, read: Read) {
        *self.lock() = read;
    }

    /// How far the file was read; not all of that is confirmed.
    pub(super) fn read(&self) -> Read {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
