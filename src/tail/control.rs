//! What the tailer and the task of one file tell each other.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

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
    told: Notify,
    state: Mutex<State>,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of its own, said or not")]
struct State {
    fate: Fate,
    /// The task has yet to hear of the fate.
    is_news: bool,
    is_to_leave: bool,
    is_to_close: bool,
    /// The file may have changed since the task looked last.
    is_woken: bool,
    quiet_since: Option<Instant>,
    read: Read,
}

/// What the task of a file is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// Where the file is now.
    Fate(Fate),
    /// End when what was read is appended.
    Leave,
    /// When the file is away: do not linger, others wait for its descriptor.
    Close,
}

impl Control {
    pub(super) fn new(fate: Fate) -> Self {
        let state = State {
            fate,
            is_news: false,
            is_to_leave: false,
            is_to_close: false,
            is_woken: false,
            quiet_since: None,
            read: Read::default(),
        };
        Self { wake: Notify::new(), told: Notify::new(), state: Mutex::new(state) }
    }

    /// Says that the file may have grown.
    pub(super) fn wake(&self) {
        self.lock().is_woken = true;
        self.wake.notify_one();
    }

    /// Says where the file is now; true when that is news.
    pub(super) fn meets(&self, fate: Fate) -> bool {
        let mut state = self.lock();
        let is_news = std::mem::replace(&mut state.fate, fate) != fate;
        state.is_news |= is_news;
        drop(state);
        if is_news {
            self.told.notify_one();
        }
        is_news
    }

    /// Asks the task to end when what it has read is appended.
    pub(super) fn leave(&self) {
        self.lock().is_to_leave = true;
        self.told.notify_one();
    }

    /// Asks the task of a file that is away not to linger.
    pub(super) fn close(&self) {
        self.lock().is_to_close = true;
        self.told.notify_one();
    }

    /// A new task begins: it has heard of the fate, and may stay.
    pub(super) fn begin(&self) -> Fate {
        let mut state = self.lock();
        (state.is_news, state.is_to_leave, state.is_to_close) = (false, false, false);
        // It begins with a look.
        (state.is_woken, state.quiet_since) = (false, None);
        state.fate
    }

    pub(super) fn fate(&self) -> Fate {
        self.lock().fate
    }

    /// Waits until the file may have changed. A task that ends without having heard of it is
    /// [not quiet](Self::quiet_for).
    pub(super) async fn woken(&self) {
        while !std::mem::take(&mut self.lock().is_woken) {
            self.wake.notified().await;
        }
    }

    /// Waits for the next word. That it is to leave is said once and again.
    pub(super) async fn told(&self) -> Word {
        loop {
            {
                let mut state = self.lock();
                if std::mem::take(&mut state.is_news) {
                    return Word::Fate(state.fate);
                }
                if state.is_to_leave {
                    return Word::Leave;
                }
                if std::mem::take(&mut state.is_to_close) {
                    return Word::Close;
                }
            }
            self.told.notified().await;
        }
    }

    /// Waits until the task is to leave.
    pub(super) async fn leaves(&self) {
        loop {
            if self.lock().is_to_leave {
                return;
            }
            self.told.notified().await;
        }
    }

    pub(super) fn has_read(&self, read: Read) {
        self.lock().read = read;
    }

    /// How far the file was read; not all of that is confirmed.
    pub(super) fn read(&self) -> Read {
        self.lock().read
    }

    /// Says since when everything in the file has been confirmed; none: it is not.
    pub(super) fn is_quiet(&self, since: Option<Instant>) {
        self.lock().quiet_since = since;
    }

    /// For how long everything in the file has been confirmed; none: it is not, or there may be
    /// more.
    pub(super) fn quiet_for(&self) -> Option<Duration> {
        let state = self.lock();
        state.quiet_since.filter(|_| !state.is_woken).map(|since| since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_task_that_was_woken_is_not_quiet_until_it_has_looked() {
        let control = Control::new(Fate::InPlace);
        control.is_quiet(Some(Instant::now()));
        control.wake();
        // What it says before it has heard of that does not count.
        control.is_quiet(Some(Instant::now()));
        control.leave();
        assert_eq!(control.quiet_for(), None);
        assert!(control.woken().now_or_never().is_some() && control.woken().now_or_never().is_none());
        assert!(control.quiet_for().is_some());
    }
}
