//! How many entries to ask for at once, and the memory that pages may take.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::Item;

/// The first number of entries.
const FIRST_COUNT: usize = 4;
/// The greatest: what comes is held at once, and looked up by one command.
const MAX_COUNT: usize = 64;

/// The number of entries of the next page: doubled while pages stay small, cut in
/// proportion when one was too large.
#[derive(Debug)]
pub(super) struct PageCount(usize);

impl PageCount {
    pub(super) fn new() -> Self {
        Self(FIRST_COUNT)
    }

    pub(super) fn get(&self) -> usize {
        self.0
    }

    /// Learns from a page: what it held in `bytes`, and what it should at most.
    pub(super) fn learn(&mut self, bytes: usize, page_bytes: usize) {
        self.0 = if bytes > page_bytes {
            (self.0.saturating_mul(page_bytes) / bytes).max(1)
        } else if bytes.saturating_mul(2) <= page_bytes {
            (self.0 * 2).min(MAX_COUNT)
        } else {
            self.0
        };
    }
}

/// The memory of the pages of all readers, in KiB.
#[derive(Debug, Clone)]
pub(super) struct PageMemory {
    room: Arc<Semaphore>,
    page_kib: u32,
}

impl PageMemory {
    pub(super) fn new(total_bytes: usize, page_bytes: usize) -> Self {
        let in_kib = |size: usize| size.div_ceil(1024).clamp(1, Semaphore::MAX_PERMITS);
        // A page fits at least: a bound below it would stop every reader.
        let room = Arc::new(Semaphore::new(in_kib(total_bytes.max(page_bytes))));
        Self { room, page_kib: u32::try_from(in_kib(page_bytes)).unwrap_or(u32::MAX) }
    }

    /// Waits until there is room for one more page. None only when closed, which
    /// it never is.
    pub(super) async fn reserve(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().acquire_many_owned(self.page_kib).await.ok()
    }
}

/// Entries that a reader read for itself, with the room that they take.
#[derive(Debug)]
pub(super) struct Page {
    /// What was not taken yet.
    pub(super) items: VecDeque<Item>,
    /// Whether nothing was found.
    pub(super) was_empty: bool,
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

/// The size of what was read, in bytes, nearly.
pub(super) fn bytes_of(items: &[Item]) -> usize {
    let bytes = |item: &Item| if let Item::Entry(entry) = item { entry.bytes() } else { 0 };
    items.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_to_the_greatest_count_and_shrink_in_proportion() {
        let mut count = PageCount::new();
        (0..10).for_each(|_| count.learn(1000, 1 << 20));
        assert_eq!(count.get(), MAX_COUNT);
        count.learn(4 << 20, 1 << 20);
        assert_eq!(count.get(), 16);
        count.learn(700 << 10, 1 << 20);
        assert_eq!(count.get(), 16);
        (0..10).for_each(|_| count.learn(100 << 20, 1 << 20));
        assert_eq!(count.get(), 1);
    }
}
