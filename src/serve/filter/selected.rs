//! The lines of an entry that a filter has left.

use bytes::{Bytes, BytesMut};

use crate::store::Entry;

/// Some lines of an entry, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::serve) struct Selected {
    /// Their places in the entry, ascending.
    places: Vec<u32>,
    /// Where each one ends in `bytes`.
    ends: Vec<u32>,
    /// The lines as they are stored, one after the other.
    bytes: Bytes,
}

impl Selected {
    /// The lines at these places, which are ascending; none where these are all.
    pub(in crate::serve) fn of(entry: &Entry, places: Vec<u32>) -> Option<Self> {
        let batch = &entry.batch;
        if places.len() == batch.lines() as usize {
            return None;
        }
        let mut ends = Vec::with_capacity(places.len());
        let mut bytes = BytesMut::new();
        for place in &places {
            bytes.extend_from_slice(&batch.line_bytes(*place..place + 1));
            ends.push(end_of(bytes.len()));
        }
        Some(Self { places, ends, bytes: entry.memory().count(bytes) })
    }

    /// How many there are.
    pub(in crate::serve) fn len(&self) -> u32 {
        end_of(self.places.len())
    }

    /// Their places in the entry.
    pub(in crate::serve) fn places(&self) -> &[u32] {
        &self.places
    }

    /// The stored bytes of the lines from the `from`th to before the `to`th one.
    pub(in crate::serve) fn bytes(&self, from: u32, to: u32) -> Bytes {
        let end = |count: u32| match count.min(self.len()) {
            0 => 0,
            count => self.ends[count as usize - 1] as usize,
        };
        self.bytes.slice(end(from).min(end(to))..end(to))
    }
}

/// Stored batches have less than 4 GiB.
fn end_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
