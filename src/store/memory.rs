//! How much memory batches take, whoever holds them: windows, pages, and messages that a reader
//! has not taken yet. Bytes are counted once, however many share them, until the last of them is
//! done with. What to do when there is much of it is decided by those who hold it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use bytes::Bytes;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use self::loan::Lender;
pub use self::loan::{CalledIn, Loan, Room};

mod loan;

/// The bytes that were read and are still held. Clones count together.
#[derive(Debug, Clone)]
pub struct Memory {
    held_bytes: Gauge,
    most_bytes: Arc<AtomicI64>,
    lender: Lender,
}

impl Default for Memory {
    fn default() -> Self {
        let most_bytes = Arc::new(AtomicI64::new(i64::MAX));
        Self { held_bytes: Gauge::default(), most_bytes, lender: Lender::default() }
    }
}

/// Bytes that are counted for as long as somebody has a part of them.
struct Counted<T: AsRef<[u8]>> {
    bytes: T,
    memory: Memory,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Counted<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

impl<T: AsRef<[u8]>> Drop for Counted<T> {
    fn drop(&mut self) {
        self.memory.held_bytes.dec_by(size(self.bytes.as_ref().len()));
    }
}

impl Memory {
    /// Counts bytes for as long as somebody has a part of them.
    pub fn count(&self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        self.held_bytes.inc_by(size(bytes.as_ref().len()));
        Bytes::from_owner(Counted { bytes, memory: self.clone() })
    }

    /// Says from which size on, in bytes, it [is short](Self::is_short), and how many bytes may then
    /// be [reserved](Self::reserve).
    pub fn bound(&self, most_bytes: usize, lent_bytes: usize) {
        self.most_bytes.store(size(most_bytes), Ordering::Relaxed);
        self.lender.bound(lent_bytes);
    }

    /// Room for what cannot be small where memory is short; none where there is none now. There is
    /// more for those whose last loan [is paid](Loan::is_paid).
    pub fn reserve(&self, bytes: usize, has_paid: bool) -> Option<Room> {
        self.lender.reserve(bytes, has_paid)
    }

    /// How many loans were called in, for those who show it.
    pub fn called_in(&self) -> &Counter {
        &self.lender.called_in
    }

    /// Whether so much is held that nobody should hold on to a whole batch for a part of it.
    pub fn is_short(&self) -> bool {
        self.held_bytes.get() > self.most_bytes.load(Ordering::Relaxed)
    }

    /// How much is held, in bytes, for those who show it.
    pub fn held_bytes(&self) -> &Gauge {
        &self.held_bytes
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_once_until_the_last_part_of_them_is_gone() {
        let memory = Memory::default();
        let whole = memory.count(vec![7; 100]);
        let (part, other) = (whole.slice(10..20), memory.clone().count(vec![8; 11]));
        assert_eq!(memory.held_bytes().get(), 111);
        memory.bound(110, 10);
        assert!(memory.is_short());
        drop((whole, other));
        assert_eq!((memory.held_bytes().get(), part[0]), (100, 7));
        assert!(!memory.is_short());
        drop(part);
        assert_eq!(memory.held_bytes().get(), 0);
    }
}
