//! How many entries to ask for at once, and the memory that pages may take.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::Item;

/// The first number of entries.
const FIRST_COUNT: usize = 4;
/// The greatest: what comes is held at once, and looked up by one command.
const MAX_COUNT: usize = 64;

/// The number of entries of the next page: as many as would have fitted into the last
/// one, and at most twice as many as were in it.
#[derive(Debug)]
pub(super) struct PageCount(usize);

impl PageCount {
    pub(super) fn new() -> Self {
        Self(FIRST_COUNT)
    }

    pub(super) fn get(&self) -> usize {
        self.0
    }

    /// Learns from a page of `items` that held `bytes`, and should hold `page_bytes` at most.
    /// A page that was short for want of lines says little of the next one.
    pub(super) fn learn(&mut self, items: usize, bytes: usize, page_bytes: usize) {
        if items > 0 {
            let fitting = items.saturating_mul(page_bytes) / bytes.max(1);
            let tried = (2 * items).clamp(FIRST_COUNT, MAX_COUNT);
            self.0 = fitting.clamp(1, tried);
        }
    }
}

/// The memory of the pages of all readers, in KiB.
#[derive(Debug, Clone)]
pub(super) struct PageMemory {
    room: Arc<Semaphore>,
    page_kib: u32,
    /// As much as is left to those who have no page at all, in KiB.
    kept_kib: usize,
}

impl PageMemory {
    pub(super) fn new(total_bytes: usize, page_bytes: usize) -> Self {
        let in_kib = |size: usize| size.div_ceil(1024).clamp(1, Semaphore::MAX_PERMITS);
        // A page fits at least: a bound below it would stop every reader.
        let total_kib = in_kib(total_bytes.max(page_bytes));
        let page_kib = u32::try_from(in_kib(page_bytes)).unwrap_or(u32::MAX);
        Self { room: Arc::new(Semaphore::new(total_kib)), page_kib, kept_kib: total_kib / 2 }
    }

    /// Room for a page that is read ahead, where there is plenty.
    pub(super) fn spare(&self) -> Option<OwnedSemaphorePermit> {
        let is_plenty = self.room.available_permits() >= self.kept_kib + self.page_kib as usize;
        is_plenty.then(|| self.room.clone().try_acquire_many_owned(self.page_kib).ok()).flatten()
    }

    /// Whether there is no room for one more page.
    pub(super) fn is_scarce(&self) -> bool {
        self.room.available_permits() < self.page_kib as usize
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
        (0..10).for_each(|_| count.learn(count.get(), 1000, 1 << 20));
        assert_eq!(count.get(), MAX_COUNT);
        count.learn(64, 4 << 20, 1 << 20);
        assert_eq!(count.get(), 16);
        count.learn(16, 700 << 10, 1 << 20);
        assert_eq!(count.get(), 23);
        (0..10).for_each(|_| count.learn(count.get(), 100 << 20, 1 << 20));
        assert_eq!(count.get(), 1);
    }

    #[test]
    fn short_pages_at_the_tail_do_not_make_the_next_one_too_large() {
        let mut count = PageCount::new();
        (0..10).for_each(|_| count.learn(1, 250 << 10, 1 << 20));
        assert_eq!(count.get(), 4);
        (0..10).for_each(|_| count.learn(1, 100, 1 << 20));
        assert_eq!(count.get(), FIRST_COUNT);
        count.learn(0, 0, 1 << 20);
        assert_eq!(count.get(), FIRST_COUNT);
    }
}
