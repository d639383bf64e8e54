//! What `benches/` needs of the parts inside: no part of the interface.

use std::sync::Arc;

use super::window::{Place, Slot, Window};
use crate::{record::Offset, store::Entry};

/// The newest entries of a topic.
#[derive(Debug)]
pub struct Newest(Window);

impl Newest {
    /// None yet; the first one will begin at this offset.
    pub fn new(begin: Offset) -> Self {
        Self(Window::new(begin))
    }

    /// Adds the next entry, and drops old ones beyond so many bytes.
    pub fn push(&mut self, entry: Arc<Entry>, bound_bytes: usize) {
        self.0.push(Slot::Lines(entry), bound_bytes);
    }

    /// Their size in bytes, nearly.
    pub fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// The entry that holds a line; none where it is not among these.
    pub fn find(&self, offset: Offset) -> Option<Arc<Entry>> {
        match self.0.find(offset) {
            Place::At(Slot::Lines(entry)) => Some(entry),
            Place::At(Slot::Lost { .. }) | Place::Behind | Place::Tail => None,
        }
    }
}
