//! Reads an open file in blocks; one that is compressed as if it were not. What may block is
//! done off the threads that run tasks, and what the system has in memory is taken at once.

mod at_once;

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rustix::{fs::SeekFrom, io::Errno};

use super::{
    discover::Found,
    packed::{Extent, Packed, Shelf},
    trail::PRINT_BYTES,
};
use crate::record::{Identity, PrintHash};

/// Greatest size of a block, in bytes.
pub(super) const MAX_BLOCK_BYTES: usize = 256 * 1024;

/// The first block after a pause: most files grow by little.
pub(super) const FIRST_BLOCK_BYTES: usize = 16 * 1024;

/// By less than this most files grow from one look to the next, in bytes.
const GROWN_BYTES: usize = 4 * 1024;

/// An open file: it stays readable when it is renamed or deleted.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    content: Arc<Content>,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) created_ns: Option<u64>,
    seen: Arc<Seen>,
}

/// What the system said of a file when it was read last.
#[derive(Debug)]
struct Seen {
    size: AtomicU64,
    modified_s: AtomicU64,
}

/// A file that was let go: a call that blocks may have it open for longer than whoever has
/// made that waits for it.
#[derive(Debug)]
pub(super) struct LetGo(Weak<Content>);

#[derive(Debug)]
enum Content {
    Plain(File),
    Packed(Packed),
}

/// What was found at a place of the file.
#[derive(Debug)]
pub(super) enum Block {
    /// The bytes there; at least one.
    Bytes(Bytes),
    /// The file ends there.
    End,
    /// Nothing was ever written there: zero bytes up to this position.
    Hole(u64),
    /// The file is shorter, or what stands before the place is not what was read
    /// there: it was truncated or written anew.
    Replaced,
}

impl Reader {
    /// Opens a file. Blocks.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_as(path, Content::Plain)
    }

    /// Opens a compressed file, of which the shelf may know something. Blocks.
    pub(super) fn open_packed(found: &Found, shelf: &Shelf) -> io::Result<Self> {
        Self::open_as(&found.path, |file| Content::Packed(Packed::new(file, &found.path, shelf.facts(found))))
    }

    fn open_as(path: &Path, content: impl FnOnce(File) -> Content) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let created_ns = metadata.created().ok().and_then(nanoseconds);
        let seen = Seen { size: AtomicU64::new(metadata.len()), modified_s: modified_s(&metadata).into() };
        let (content, seen) = (Arc::new(content(file)), Arc::new(seen));
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), created_ns, content, seen })
    }

    /// By what it is known again, with these hashes of its first bytes and of those before a
    /// position.
    pub(super) fn identity(&self, head: PrintHash, tail: PrintHash) -> Identity {
        let Self { device, inode, created_ns, .. } = *self;
        let modified_s = Some(self.seen.modified_s.load(Ordering::Relaxed));
        Identity { device, inode, created_ns, modified_s, head, tail }
    }

    /// Whether it is the file of this identity, as far as device and inode tell.
    pub(super) fn is_that_of(&self, identity: &Identity) -> bool {
        identity.is_of((self.device, self.inode), self.created_ns)
    }

    /// Lets it go.
    pub(super) fn let_go(self) -> LetGo {
        LetGo(Arc::downgrade(&self.content))
    }

    /// Whether it has no name any more. Asks the file system.
    pub(super) fn is_deleted(&self) -> bool {
        let file = match &*self.content {
            Content::Plain(file) => file,
            Content::Packed(packed) => packed.file(),
        };
        // Where that cannot be said it is held to be so: this may be the only way to it.
        file.metadata().map_or(true, |metadata| metadata.nlink() == 0)
    }

    /// Its content, where that is compressed.
    pub(super) fn packed(&self) -> Option<&Packed> {
        match &*self.content {
            Content::Plain(_) => None,
            Content::Packed(packed) => Some(packed),
        }
    }

    /// Its size in bytes; a compressed one is unpacked for that. Blocks.
    pub(super) fn len(&self) -> io::Result<u64> {
        match &*self.content {
            Content::Plain(file) => Ok(file.metadata()?.len()),
            Content::Packed(packed) => packed.extent().map(|extent: Extent| extent.len),
        }
    }

    /// Its first bytes, at most `count` and [`PRINT_BYTES`]. Blocks.
    pub(super) fn head(&self, count: usize) -> io::Result<Vec<u8>> {
        match &*self.content {
            Content::Plain(_) => {
                let mut head = vec![0; count.min(PRINT_BYTES)];
                let filled = self.fill(&mut head, 0)?;
                head.truncate(filled);
                Ok(head)
            }
            Content::Packed(packed) => packed.head(count),
        }
    }

    /// The hash of the `count` bytes before a position; none where the file is shorter.
    /// Blocks.
    pub(super) fn print_before(&self, position: u64, count: usize) -> io::Result<Option<PrintHash>> {
        match &*self.content {
            Content::Plain(_) => {
                let mut bytes = vec![0; count];
                let filled = self.fill(&mut bytes, position - count as u64)?;
                Ok((filled == count).then(|| PrintHash::of(&bytes)))
            }
            Content::Packed(packed) => packed.print_before(position, count),
        }
    }

    /// Reads from `position` on until `bytes` are full. Blocks.
    pub(super) fn read_exact_at(&self, bytes: &mut [u8], position: u64) -> io::Result<()> {
        let filled = self.fill(bytes, position)?;
        if filled == bytes.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads from `position` on until `bytes` are full or the file ends; returns how many
    /// were read.
    fn fill(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < bytes.len() {
            let (rest, at) = (&mut bytes[filled..], position + filled as u64);
            let read = match &*self.content {
                Content::Plain(file) => file.read_at(rest, at),
                Content::Packed(packed) => packed.read_at(rest, at),
            };
            match read {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Bytes of the file when it was read last.
    pub(super) fn size(&self) -> u64 {
        self.seen.size.load(Ordering::Relaxed)
    }

    /// The next block: at most `most` bytes from `position` on. `before` is what was
    /// read right before it; it is looked at again in the same read.
    pub(super) async fn block(self, position: u64, before: Vec<u8>, most: usize) -> io::Result<Block> {
        // A larger one is asked for where there was much to read, and will be again.
        let at_once = (most <= FIRST_BLOCK_BYTES).then(|| self.block_at_once(position, &before, most));
        if let Some(block) = at_once.flatten() {
            return Ok(block);
        }
        off_the_runtime(move || self.read_block(position, &before, most)).await
    }

    /// The same, where all that was read were zero bytes: those that the file system does not
    /// even keep are passed over.
    pub(super) async fn block_behind_hole(
        self,
        position: u64,
        before: Vec<u8>,
        most: usize,
    ) -> io::Result<Block> {
        off_the_runtime(move || match self.hole_end(position, before.len())? {
            Some(end) if end - position >= most as u64 => Ok(Block::Hole(end)),
            _ => self.read_block(position, &before, most),
        })
        .await
    }

    /// Up to where nothing is kept of the file, from `before` bytes before a position on; none
    /// where something is, or the file system does not say. Blocks.
    fn hole_end(&self, position: u64, before: usize) -> io::Result<Option<u64>> {
        let Content::Plain(file) = &*self.content else { return Ok(None) };
        let len = self.look(file)?;
        let end = match rustix::fs::seek(file, SeekFrom::Data(position - before as u64)) {
            Ok(data) => data.min(len),
            Err(Errno::NXIO) => len,
            Err(_) => return Ok(None),
        };
        Ok((end > position).then_some(end))
    }

    fn read_block(&self, position: u64, before: &[u8], most: usize) -> io::Result<Block> {
        // What is packed was looked at whole; nobody writes to it from its beginning.
        let (before, size) = match &*self.content {
            Content::Packed(_) => (&[][..], most),
            Content::Plain(file) => {
                let len = self.look(file)?;
                let Some(left) = len.checked_sub(position) else { return Ok(Block::Replaced) };
                (before, usize::try_from(left).unwrap_or(usize::MAX).min(most))
            }
        };
        let mut bytes = vec![0; before.len() + size];
        let filled = self.fill(&mut bytes, position - before.len() as u64)?;
        bytes.truncate(filled);
        if !bytes.starts_with(before) {
            return Ok(Block::Replaced);
        }
        self.seen.size.fetch_max(position + (filled - before.len()) as u64, Ordering::Relaxed);
        let bytes = Bytes::from(bytes).slice(before.len()..);
        Ok(if bytes.is_empty() { Block::End } else { Block::Bytes(bytes) })
    }

    /// The size of the file in bytes now; it is remembered. Asks the file system.
    fn look(&self, file: &File) -> io::Result<u64> {
        let metadata = file.metadata()?;
        self.seen.size.store(metadata.len(), Ordering::Relaxed);
        self.seen.modified_s.store(modified_s(&metadata), Ordering::Relaxed);
        Ok(metadata.len())
    }

    /// The rest of a file that has grown by little: where the system has it in memory, it costs
    /// no other thread. None: it has to be asked in the way that may block.
    fn block_at_once(&self, position: u64, before: &[u8], most: usize) -> Option<Block> {
        let Content::Plain(file) = &*self.content else { return None };
        let from = position - before.len() as u64;
        let mut buffer = [0; PRINT_BYTES + GROWN_BYTES];
        let room = buffer.get_mut(..before.len() + most.min(GROWN_BYTES))?;
        let filled = at_once::read_at(file, room, from)?;
        // What is short may be the end of the file, or of what is in memory.
        let is_all = filled < room.len() && self.look(file).ok()? == from + filled as u64;
        match room[..filled].strip_prefix(before)? {
            _ if !is_all => None,
            [] => Some(Block::End),
            rest => Some(Block::Bytes(Bytes::copy_from_slice(rest))),
        }
    }
}

impl LetGo {
    pub(super) fn is_open(&self) -> bool {
        self.0.strong_count() > 0
    }
}

fn nanoseconds(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// When a file was changed last, in unix seconds; 0 for what was before 1970.
fn modified_s(metadata: &Metadata) -> u64 {
    metadata.mtime().try_into().unwrap_or(0)
}

/// Runs a blocking call on the threads that are kept for such.
pub(super) async fn off_the_runtime<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(io::Error::other)?
}
