//! What a filter selected of the entries that it met last.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use super::selected::Selected;
use crate::store::Entry;

/// How many results are kept: readers that share a filter are at nearly the same place of
/// a few topics, or of none.
const KEPT: usize = 4;

/// A result that is made once, however many ask for it at the same time.
type Slot = Arc<OnceLock<Option<Arc<Selected>>>>;

/// The results, the newest last.
#[derive(Default)]
pub(super) struct Recent {
    /// An entry is named by its place in memory, which is not given to another one as long
    /// as it is remembered here; its lines are not kept by that.
    slots: Mutex<VecDeque<(Weak<Entry>, Slot)>>,
}

impl Recent {
    /// The result for an entry; `select` makes it where there is none.
    pub(super) fn get_or_insert(
        &self,
        entry: &Arc<Entry>,
        select: impl FnOnce() -> Option<Selected>,
    ) -> Option<Arc<Selected>> {
        self.slot(entry).get_or_init(|| select().map(Arc::new)).clone()
    }

    /// Keeps none of them any more.
    pub(super) fn forget(&self) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn slot(&self, entry: &Arc<Entry>) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| known.as_ptr() == Arc::as_ptr(entry)) {
            return Arc::clone(slot);
        }
        if slots.len() >= KEPT {
            slots.pop_front();
        }
        let slot = Slot::default();
        slots.push_back((Arc::downgrade(entry), Arc::clone(&slot)));
        slot
    }
}

impl fmt::Debug for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recent")
    }
}
