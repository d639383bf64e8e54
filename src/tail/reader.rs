//! Reads an open file in blocks, off the threads that run tasks.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use super::identity::{Surroundings, agrees};
use crate::record::Record;

/// Greatest size of a block, in bytes.
pub(super) const MAX_BLOCK_BYTES: usize = 256 * 1024;

/// An open file: it stays readable when it is renamed or deleted.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    file: Arc<File>,
    pub(super) device: u64,
    pub(super) inode: u64,
    size: Arc<AtomicU64>,
}

/// What was found at a place of the file.
#[derive(Debug)]
pub(super) enum Block {
    /// The bytes there; at least one.
    Bytes(Bytes),
    /// The file ends there.
    End,
    /// The file is shorter, or what stands before the place is not what was read
    /// there: it was truncated or written anew.
    Replaced,
}

impl Reader {
    /// Opens a file. Blocks.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let size = Arc::new(AtomicU64::new(metadata.len()));
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), file: Arc::new(file), size })
    }

    /// The file, for the blocking calls of `identity`.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes of the file when it was read last.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// The next block: at most `most` bytes from `position` on. `before` is what was
    /// read right before it; it is looked at again in the same read.
    pub(super) async fn block(self, position: u64, before: Vec<u8>, most: usize) -> io::Result<Block> {
        off_the_runtime(move || read_block(&self, position, &before, most)).await
    }

    /// What stands around the position of a record; none when the content of the file
    /// does not agree with it.
    pub(super) async fn surroundings(self, record: Record) -> io::Result<Option<Surroundings>> {
        off_the_runtime(move || {
            let agrees = agrees(&self.file, &record);
            agrees.then(|| Surroundings::read(&self.file, record.position)).transpose()
        })
        .await
    }
}

/// Runs a blocking call on the threads that are kept for such.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}

fn read_block(reader: &Reader, position: u64, before: &[u8], most: usize) -> io::Result<Block> {
    let file = &reader.file;
    let len = file.metadata()?.len();
    reader.size.store(len, Ordering::Relaxed);
    if len < position {
        return Ok(Block::Replaced);
    }
    let size = usize::try_from(len - position).unwrap_or(usize::MAX).min(most);
    let mut bytes = vec![0; before.len() + size];
    let begin = position - before.len() as u64;
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], begin + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    if !bytes.starts_with(before) {
        return Ok(Block::Replaced);
    }
    let bytes = Bytes::from(bytes).slice(before.len()..);
    Ok(if bytes.is_empty() { Block::End } else { Block::Bytes(bytes) })
}
