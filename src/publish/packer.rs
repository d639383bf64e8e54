//! Packs batches by zstd, off the threads that run tasks, a few at a time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
};

use bytes::Bytes;
use tokio::sync::Semaphore;
use zstd::bulk::Compressor;

use crate::record::SealedBatch;

/// The fastest level: logs shrink to a fifth, sooner than Redis could take the rest.
const LEVEL: i32 = 1;

/// Packs as many batches at once as there are processors.
pub(super) struct Packer {
    min_bytes: usize,
    room: Semaphore,
    /// Kept because its tables are larger than what it packs; at most one for each
    /// permit of `room`.
    idle: Arc<Mutex<Vec<Compressor<'static>>>>,
}

impl Packer {
    /// A packer of batches of at least `min_bytes`.
    pub(super) fn new(min_bytes: usize) -> Self {
        let at_once = available_parallelism().map_or(1, usize::from);
        Self { min_bytes, room: Semaphore::new(at_once), idle: Arc::default() }
    }

    /// Packs a batch, where it is large enough and becomes smaller by it. Meanwhile its
    /// source cuts the next one.
    pub(super) async fn pack(&self, batch: &mut SealedBatch) {
        if batch.stored.len() < self.min_bytes {
            return;
        }
        let Ok(_room) = self.room.acquire().await else { return };
        let (idle, stored) = (Arc::clone(&self.idle), batch.stored.clone());
        let packed = tokio::task::spawn_blocking(move || {
            let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut compressor = known.map_or_else(|| Compressor::new(LEVEL), Ok).ok()?;
            let packed = compressor.compress(&stored).ok();
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
            packed.filter(|packed| packed.len() < stored.len()).map(Bytes::from)
        });
        // What cannot be packed is stored as it is.
        batch.packed = packed.await.ok().flatten();
    }
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").field("min_bytes", &self.min_bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proto, record::BatchBuilder};

    fn batch(line: impl AsRef<[u8]>, lines: usize) -> SealedBatch {
        let mut builder = BatchBuilder::new(&proto::Source::default(), 0, 0);
        (0..lines).for_each(|_| builder.push(line.as_ref(), 0));
        builder.seal(9).unwrap()
    }

    #[tokio::test]
    async fn what_is_packed_is_smaller_and_comes_out_as_it_was() {
        let packer = Packer::new(1000);
        for lines in [100, 10_000] {
            let mut batch = batch("GET /index.html 200", lines);
            packer.pack(&mut batch).await;
            let small = batch.packed.unwrap();
            assert!(small.len() < batch.stored.len() / 5);
            assert_eq!(zstd::decode_all(&small[..]).unwrap(), batch.stored);
        }
        assert_eq!(packer.idle.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_small_batch_and_one_that_would_grow_stay_as_they_are() {
        let packer = Packer::new(1000);
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect();
        for mut batch in [batch("GET /index.html 200", 10), batch(noise, 1)] {
            packer.pack(&mut batch).await;
            assert_eq!(batch.packed, None);
        }
    }
}
