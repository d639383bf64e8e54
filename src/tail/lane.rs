//! In which order the files of one path are read: one begins when those before it are
//! drained, and begins again when they are drained again, where Redis has forgotten lines.
//!
//! Only its first lines have to wait. Where Redis has those, it has all that was before them: they
//! are appended on condition that the file before still stands at its end (`Predecessor`). So
//! this holds in every timeline, from whatever moment Redis goes on.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

use super::control::{Control, Fate};
use crate::publish::{Predecessor, Standing};

/// The files that bear, or bore, one path: the oldest first.
#[derive(Debug, Default)]
pub(super) struct Lane {
    places: Mutex<Vec<Place>>,
    changed: Notify,
}

#[derive(Debug)]
struct Place {
    control: Arc<Control>,
    standing: Arc<Standing>,
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

/// Whether a file may begin.
#[derive(Debug)]
pub(super) enum Order {
    /// Those before it are not drained.
    Waits,
    /// It may, behind the newest one that has lines.
    Begins(Option<Predecessor>),
}

/// The place of one file in its lane; gives it up when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    lane: Arc<Lane>,
    control: Arc<Control>,
    /// What was said last of the file.
    is_drained: AtomicBool,
}

impl Lane {
    /// Takes a place: at the end, but for a file that is found when its successor was
    /// there already.
    pub(super) fn join(self: &Arc<Self>, control: &Arc<Control>, standing: &Arc<Standing>) -> Turn {
        let is_in_place = |control: &Control| control.fate() == Fate::InPlace;
        let mut places = self.lock();
        let replaced = places.iter().position(|place| place.state == State::Replaced);
        let at = match (replaced, places.last()) {
            _ if is_in_place(control) => places.len(),
            (Some(at), _) => at,
            (None, Some(newest)) if is_in_place(&newest.control) => places.len() - 1,
            (None, _) => places.len(),
        };
        places.insert(at, Place::new(control, standing));
        Turn::new(self, control)
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
    fn new(lane: &Arc<Lane>, control: &Arc<Control>) -> Self {
        Self { lane: Arc::clone(lane), control: Arc::clone(control), is_drained: AtomicBool::new(false) }
    }

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
            if !matches!(self.order(), Order::Waits) {
                return;
            }
            changed.await;
        }
    }

    /// Whether this one may begin now.
    pub(super) fn order(&self) -> Order {
        let places = self.lane.lock();
        let before = places.iter().take_while(|place| !self.is_of(place));
        let own = places.iter().find(|place| self.is_of(place));
        let is_of_topic =
            |place: &&Place| own.is_some_and(|own| own.standing.topic() == place.standing.topic());
        if !before.clone().all(Place::is_drained) {
            return Order::Waits;
        }
        let with_lines = before.filter(is_of_topic).filter(|place| !place.standing.is_at_start());
        Order::Begins(with_lines.last().map(|place| Predecessor::of(&place.standing)))
    }

    /// Gives the place to who goes on with the same source.
    pub(super) fn pass_to(&self, control: &Arc<Control>, standing: &Arc<Standing>) -> Turn {
        for place in self.lane.lock().iter_mut().filter(|place| self.is_of(place)) {
            *place = Place::new(control, standing);
        }
        Self::new(&self.lane, control)
    }

    /// Of whom it is the place.
    pub(super) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Says whether those behind may begin.
    pub(super) fn is_drained(&self, drained: bool) {
        if self.is_drained.swap(drained, Ordering::AcqRel) != drained {
            self.set(if drained { State::Drained } else { State::Open });
        }
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
    fn new(control: &Arc<Control>, standing: &Arc<Standing>) -> Self {
        Self { control: Arc::clone(control), standing: Arc::clone(standing), state: State::Open }
    }

    /// What Redis has forgotten of it has yet to be sent again, when it was only told so.
    fn is_drained(&self) -> bool {
        self.state == State::Drained && !self.standing.is_challenged()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lane.lock().retain(|place| !self.is_of(place) || place.state == State::Replaced);
        self.lane.changed.notify_waiters();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{
        publish::{self, Publisher},
        record::{Details, Record, Token},
        store::{self, Store},
    };

    /// Of a source with so many bytes, in a Redis that is nowhere.
    pub(in crate::tail) fn standing(position: u64) -> Arc<Standing> {
        let store = Store::new(store::Options::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
        let publisher = Publisher::new(store, publish::Options::default(), publish::Metrics::default());
        let record = Record { token: Token::random(), position, details: Details::default() };
        publisher.stand(
            &"app".parse().unwrap(),
            format!("host/{}", fastrand::u64(..)).parse().unwrap(),
            record,
        )
    }

    #[tokio::test]
    async fn the_first_lines_come_behind_the_newest_file_that_has_some() {
        let lane = Arc::new(Lane::default());
        let files = [7, 9, 0, 0].map(|position| {
            let (control, standing) = (Arc::new(Control::new(Fate::Moved)), standing(position));
            (lane.join(&control, &standing), standing)
        });
        let [(oldest, _), (older, newest_with_lines), (empty, _), (newest, _)] = &files;
        assert!(matches!(oldest.order(), Order::Begins(None)));
        oldest.is_drained(true);
        empty.is_drained(true);
        assert!(matches!(newest.order(), Order::Waits));
        older.is_drained(true);
        let Order::Begins(Some(before)) = newest.order() else { panic!("it waits") };
        assert!(format!("{before:?}").contains(newest_with_lines.key().as_str()));
        older.is_drained(false);
        assert!(newest.comes().now_or_never().is_none());
    }

    #[tokio::test]
    async fn no_turn_is_taken_that_comes_because_all_are_left() {
        // Of two that are ready one is picked by chance, but for an order that is said.
        for _ in 0..64 {
            let lane = Arc::new(Lane::default());
            let [older, newer] = [Fate::Moved, Fate::InPlace].map(|fate| Arc::new(Control::new(fate)));
            let (before, behind) = (lane.join(&older, &standing(0)), lane.join(&newer, &standing(0)));
            newer.leave();
            drop(before);
            assert!(!behind.comes().await, "it is read before what was older");
        }
    }
}
