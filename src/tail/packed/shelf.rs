//! What was found out about compressed files: none is unpacked again at every look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{End, Extent};
use crate::{record::PrintHash, tail::discover::Found};

/// Of how many files is kept what was found out; then all of it is forgotten.
const MAX_FILES: usize = 10_000;

/// A file as long as nobody writes to it: device, inode, size and time of its last change.
type Key = (u64, u64, u64, SystemTime);

/// What is known of all of them.
#[derive(Debug)]
pub(in crate::tail) struct Shelf {
    files: Mutex<HashMap<Key, Arc<Facts>>>,
    patience: Duration,
}

/// What is known of the content of one.
#[derive(Debug)]
pub(in crate::tail) struct Facts {
    seen_at: Instant,
    patience: Duration,
    known: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    head: Option<Vec<u8>>,
    /// By position and number of bytes before it.
    prints: HashMap<(u64, usize), PrintHash>,
    extent: Option<Extent>,
}

impl Shelf {
    /// An empty one. A file that ends too early counts as being written for as long as
    /// `patience` after its last change was seen.
    pub(in crate::tail) fn new(patience: Duration) -> Self {
        Self { files: Mutex::default(), patience }
    }

    pub(in crate::tail) fn facts(&self, found: &Found) -> Arc<Facts> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= MAX_FILES {
            files.clear();
        }
        let facts = files.entry((found.device, found.inode, found.len, found.modified));
        Arc::clone(facts.or_insert_with(|| Arc::new(Facts::new(self.patience))))
    }
}

impl Facts {
    pub(super) fn new(patience: Duration) -> Self {
        Self { seen_at: Instant::now(), patience, known: Mutex::default() }
    }

    /// Whether the file ended too early, and not long ago: it may be whole soon.
    pub(in crate::tail) fn is_unfinished(&self) -> bool {
        let is_cut = self.lock().extent.as_ref().is_some_and(|extent| extent.end == End::Cut);
        is_cut && self.seen_at.elapsed() < self.patience
    }

    pub(super) fn head(&self) -> Option<Vec<u8>> {
        self.lock().head.clone()
    }

    pub(super) fn has_head(&self, head: &[u8]) {
        self.lock().head = Some(head.to_vec());
    }

    pub(super) fn print_before(&self, position: u64, count: usize) -> Option<PrintHash> {
        self.lock().prints.get(&(position, count)).copied()
    }

    pub(super) fn has_print_before(&self, position: u64, count: usize, print: PrintHash) {
        let mut known = self.lock();
        if known.prints.len() >= MAX_FILES {
            known.prints.clear();
        }
        known.prints.insert((position, count), print);
    }

    pub(super) fn extent(&self) -> Option<Extent> {
        self.lock().extent.clone()
    }

    pub(super) fn has_extent(&self, extent: &Extent) {
        self.lock().extent = Some(extent.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
