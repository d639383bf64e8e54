//! Stored batches as zstd, the way they stand in Redis where that makes them smaller.

use std::cell::RefCell;

use bytes::Bytes;
use zstd::bulk::Compressor;

/// The fastest level: a log shrinks to a fifth of its size, faster than Redis could
/// take the rest.
const LEVEL: i32 = 1;

thread_local! {
    /// Made once a thread: its tables are larger than what it packs. None: zstd has no
    /// memory, and batches stay as they are.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = RefCell::new(Compressor::new(LEVEL).ok());
}

/// The same bytes packed; none where that does not make them smaller.
pub(super) fn pack(stored: &[u8]) -> Option<Bytes> {
    let packed = COMPRESSOR.with_borrow_mut(|compressor| compressor.as_mut()?.compress(stored).ok())?;
    (packed.len() < stored.len()).then(|| packed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_packing_would_make_larger_stays_as_it_is() {
        assert_eq!(pack(b"short"), None);
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect();
        assert_eq!(pack(&noise), None);
    }

    #[test]
    fn what_is_packed_is_smaller_and_comes_out_as_it_was() {
        for len in [1000, 100_000, 300_000] {
            let stored = b"GET /index.html 200\n".repeat(len / 20);
            let packed = pack(&stored).unwrap();
            assert!(packed.len() < len / 10);
            assert_eq!(zstd::decode_all(&packed[..]).unwrap(), stored);
        }
    }
}
