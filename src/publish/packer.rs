//! Packs batches by zstd, off the threads that run tasks, a few at a time.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
};

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, ParamSwitch},
};

use crate::record::SealedBatch;

/// Logs shrink to a fifth, sooner than Redis could take the rest.
const LEVEL: i32 = 1;
/// What makes this level a fifth faster for batches of lines, and smaller by a little: lines that
/// are like others are so for long, and a table of so few places stays in the nearest cache.
const MIN_MATCH_BYTES: u32 = 7;
const HASH_BITS: u32 = 12;
/// So many bytes are passed over from one look for what is alike to the next, and not one: a twelfth
/// faster. What is alike to nothing is to be packed all the same, which this alone would switch off.
const SKIPPED_BYTES: u32 = 2;

/// Packs as many batches at once as there are processors.
pub(super) struct Packer {
    min_bytes: usize,
    room: Arc<Semaphore>,
    /// Kept because its tables are larger than what it packs; at most one for each
    /// permit of `room`.
    idle: Arc<Mutex<Vec<Compressor<'static>>>>,
}

impl Packer {
    /// A packer of batches of at least `min_bytes`.
    pub(super) fn new(min_bytes: usize) -> Self {
        let at_once = available_parallelism().map_or(1, usize::from);
        Self { min_bytes, room: Arc::new(Semaphore::new(at_once)), idle: Arc::default() }
    }

    /// Begins to pack a batch, where it is large enough; at once, where there is room.
    pub(super) fn pack(self: &Arc<Self>, batch: SealedBatch) -> Packing {
        let stage = if batch.stored.len() < self.min_bytes {
            Stage::Done
        } else if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
            Stage::Begun(self.begin(room, &batch))
        } else {
            Stage::Waits(Arc::clone(self))
        };
        Packing { batch, stage }
    }

    fn begin(&self, room: OwnedSemaphorePermit, batch: &SealedBatch) -> JoinHandle<Option<Bytes>> {
        let (idle, stored) = (Arc::clone(&self.idle), batch.stored.clone());
        tokio::task::spawn_blocking(move || {
            let _room = room;
            let known = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut compressor = known.map_or_else(compressor, Ok).ok()?;
            let packed = compressor.compress(&stored).ok();
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(compressor);
            packed.filter(|packed| packed.len() < stored.len()).map(Bytes::from)
        })
    }
}

fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(LEVEL)?;
    compressor.set_parameter(CParameter::MinMatch(MIN_MATCH_BYTES))?;
    compressor.set_parameter(CParameter::HashLog(HASH_BITS))?;
    compressor.set_parameter(CParameter::TargetLength(SKIPPED_BYTES))?;
    compressor.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))?;
    Ok(compressor)
}

/// A batch that is being packed, while its source cuts the next ones.
#[derive(Debug)]
pub struct Packing {
    batch: SealedBatch,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Others are packed first. Nobody may ask for this one for long, as when Redis is away: it
    /// takes no place among them before.
    Waits(Arc<Packer>),
    Begun(JoinHandle<Option<Bytes>>),
    /// Nothing is left to be done.
    Done,
}

impl Packing {
    /// The batch, packed where it becomes smaller by it.
    pub(super) async fn done(self) -> SealedBatch {
        let Self { mut batch, stage } = self;
        let packed = match stage {
            Stage::Done => return batch,
            Stage::Begun(packed) => packed,
            Stage::Waits(packer) => match Arc::clone(&packer.room).acquire_owned().await {
                Ok(room) => packer.begin(room, &batch),
                Err(_) => return batch,
            },
        };
        // What cannot be packed is stored as it is.
        batch.packed = packed.await.ok().flatten();
        batch
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
        let packer = Arc::new(Packer::new(1000));
        for lines in [100, 10_000] {
            let batch = packer.pack(batch("GET /index.html 200", lines)).done().await;
            let small = batch.packed.unwrap();
            assert!(small.len() < batch.stored.len() / 5);
            assert_eq!(zstd::decode_all(&small[..]).unwrap(), batch.stored);
        }
        assert_eq!(packer.idle.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_small_batch_and_one_that_would_grow_stay_as_they_are() {
        let packer = Arc::new(Packer::new(1000));
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(10_000).collect();
        for batch in [batch("GET /index.html 200", 10), batch(noise, 1)] {
            assert_eq!(packer.pack(batch).done().await.packed, None);
        }
    }

    #[tokio::test]
    async fn more_batches_than_there_are_processors_are_all_packed_in_any_order() {
        let packer = Arc::new(Packer::new(1000));
        let many = available_parallelism().map_or(1, usize::from) + 2;
        let mut under_way: Vec<_> =
            (0..many).map(|lines| packer.pack(batch("a line", 1000 + lines))).collect();
        under_way.reverse();
        for (packing, lines) in under_way.into_iter().zip((0..many).rev()) {
            let batch = packing.done().await;
            assert_eq!(batch.lines as usize, 1000 + lines);
            assert_eq!(zstd::decode_all(&batch.packed.unwrap()[..]).unwrap(), batch.stored);
        }
    }
}
