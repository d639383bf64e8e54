//! In which order the files of one path are read: one begins when those before it are
//! drained.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::control::{Control, Fate};

/// The files that bear, or bore, one path: the oldest first.
#[derive(Debug, Default)]
pub(super) struct Lane {
    places: Mutex<Vec<Place>>,
    changed: Notify,
}

#[derive(Debug)]
struct Place {
    control: Arc<Control>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There may be more to read.
    Open,
    /// It is no longer at its path, was read to its end and all of it is confirmed.
    Drained,
    /// Its content is another. What it is, and where what it was is now, has yet to be
    /// found out: that comes here.
    Replaced,
}

/// The place of one file in its lane; gives it up when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    lane: Arc<Lane>,
    control: Arc<Control>,
}

impl Lane {
    /// Takes a place: at the end, but for a file that is found when its successor was
    /// there already.
    pub(super) fn join(self: &Arc<Self>, control: &Arc<Control>) -> Turn {
        let is_in_place = |control: &Control| control.fate() == Fate::InPlace;
        let mut places = self.lock();
        let replaced = places.iter().position(|place| place.state == State::Replaced);
        let at = match (replaced, places.last()) {
            _ if is_in_place(control) => places.len(),
            (Some(at), _) => at,
            (None, Some(newest)) if is_in_place(&newest.control) => places.len() - 1,
            (None, _) => places.len(),
        };
        places.insert(at, Place { control: Arc::clone(control), state: State::Open });
        Turn { lane: Arc::clone(self), control: Arc::clone(control) }
    }

    /// What was replaced was found, or cannot be found.
    pub(super) fn forget_replaced(&self) {
        self.lock().retain(|place| place.state != State::Replaced);
        self.changed.notify_waiters();
    }

    /// Whether one that is not in it may begin now: all that are older are drained. Of what is
    /// not at the path any more, the file there is none.
    pub(super) fn is_free_for(&self, fate: Fate) -> bool {
        let is_newer = |place: &Place| fate != Fate::InPlace && place.control.fate() == Fate::InPlace;
        self.lock().iter().all(|place| place.is_drained() || is_newer(place))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Waits until all files before this one are drained; false where this one is to be left
    /// first.
    pub(super) async fn comes(&self) -> bool {
        tokio::select! {
            // First: those before this one are left too, and so give up their places undrained.
            biased;
            () = self.control.leaves() => false,
            () = self.is_next() => true,
        }
    }

    async fn is_next(&self) {
        loop {
            let changed = self.lane.changed.notified();
            if self.lane.lock().iter().take_while(|place| !self.is_of(place)).all(Place::is_drained) {
                return;
            }
            changed.await;
        }
    }

    /// Says whether those behind may begin.
    pub(super) fn is_drained(&self, drained: bool) {
        self.set(if drained { State::Drained } else { State::Open });
    }

    /// Keeps the place for what the file was, and for what it is now.
    pub(super) fn keep(&self) {
        self.set(State::Replaced);
    }

    fn set(&self, state: State) {
        for place in self.lane.lock().iter_mut().filter(|place| self.is_of(place)) {
            place.state = state;
        }
        self.lane.changed.notify_waiters();
    }

    fn is_of(&self, place: &Place) -> bool {
        Arc::ptr_eq(&place.control, &self.control)
    }
}

impl Place {
    fn is_drained(&self) -> bool {
        self.state == State::Drained
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lane.lock().retain(|place| !self.is_of(place) || place.state == State::Replaced);
        self.lane.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_turn_is_taken_that_comes_because_all_are_left() {
        // Of two that are ready one is picked by chance, but for an order that is said.
        for _ in 0..64 {
            let lane = Arc::new(Lane::default());
            let [older, newer] = [Fate::Moved, Fate::InPlace].map(|fate| Arc::new(Control::new(fate)));
            let (before, behind) = (lane.join(&older), lane.join(&newer));
            newer.leave();
            drop(before);
            assert!(!behind.comes().await, "it is read before what was older");
        }
    }
}
