//! What a compressed file holds, read as if it were not compressed. Not here: whose
//! content it is, and which names such files have.
//!
//! A position is one of unpacked bytes. The content is unpacked as a stream, so that going
//! back means to begin again; what was found out about it is kept (`shelf`).

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use flate2::read::MultiGzDecoder;

use self::shelf::Facts;
pub(super) use self::shelf::Shelf;
use super::trail::PRINT_BYTES;
use crate::record::PrintHash;

mod shelf;
#[cfg(test)]
mod tests;

/// How much of the file is read at once, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;
/// How much is unpacked at once, in bytes. Of what was asked for when it fails, nothing comes.
const STEP_BYTES: usize = 4 * 1024;

/// How far the content goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes that can be unpacked.
    pub(super) len: u64,
    pub(super) end: End,
}

/// What is at the end of what can be unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The end of the content.
    Whole,
    /// The file ends too early: it may still be written.
    Cut,
    /// Something that cannot be unpacked, and why.
    Spoiled(String),
}

/// A compressed file.
#[derive(Debug)]
pub(super) struct Packed {
    file: Arc<File>,
    is_zstd: bool,
    facts: Arc<Facts>,
    stream: Mutex<Option<Stream>>,
}

/// The content from a place on.
struct Stream {
    /// Unpacked in equal steps from the beginning on, so that damage ends the content at the
    /// same place whatever is asked for.
    unpacked: BufReader<Box<dyn Read + Send>>,
    position: u64,
    /// What stands behind the last byte that could be unpacked.
    end: Option<End>,
}

/// The bytes of the file, whoever else reads it.
struct Raw {
    file: Arc<File>,
    at: u64,
}

impl Packed {
    /// The content of an open file, in the format that the ending of its name says.
    pub(super) fn new(file: File, path: &Path, facts: Arc<Facts>) -> Self {
        let is_zstd = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zst"));
        Self { file: Arc::new(file), is_zstd, facts, stream: Mutex::default() }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Reads at most `bytes.len()` bytes from `position` on; 0 where nothing more can be
    /// unpacked. Blocks.
    pub(super) fn read_at(&self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        self.on_stream(position, |stream| stream.read_at(bytes, position))
    }

    /// The first bytes, at most `count` and [`PRINT_BYTES`]. Blocks.
    pub(super) fn head(&self, count: usize) -> io::Result<Vec<u8>> {
        let mut head = if let Some(head) = self.facts.head() {
            head
        } else {
            let head = self.read_fully(0, PRINT_BYTES)?;
            self.facts.has_head(&head);
            head
        };
        head.truncate(count);
        Ok(head)
    }

    /// The hash of the `count` bytes before a position; none where the content is shorter.
    /// Blocks.
    pub(super) fn print_before(&self, position: u64, count: usize) -> io::Result<Option<PrintHash>> {
        if let Some(known) = self.facts.print_before(position, count) {
            return Ok(Some(known));
        }
        if self.facts.extent().is_some_and(|extent| extent.len < position) {
            return Ok(None);
        }
        let bytes = self.read_fully(position - count as u64, count)?;
        if bytes.len() < count {
            // The stream is at its end now: that costs no more.
            self.extent()?;
            return Ok(None);
        }
        let print = PrintHash::of(&bytes);
        self.facts.has_print_before(position, count, print);
        Ok(Some(print))
    }

    /// How far the content goes. Blocks: all that was not unpacked yet is.
    pub(super) fn extent(&self) -> io::Result<Extent> {
        if let Some(extent) = self.facts.extent() {
            return Ok(extent);
        }
        let mut extent = self.on_stream(u64::MAX, Stream::extent)?;
        if self.file.metadata()?.len() == 0 {
            extent.end = End::Cut;
        }
        self.facts.has_extent(&extent);
        Ok(extent)
    }

    /// What was found out about it.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    fn read_fully(&self, position: u64, count: usize) -> io::Result<Vec<u8>> {
        let (mut bytes, mut filled) = (vec![0; count], 0);
        while filled < count {
            match self.read_at(&mut bytes[filled..], position + filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Works on the stream; on a new one where that is past `position` already.
    fn on_stream<T>(&self, position: u64, work: impl FnOnce(&mut Stream) -> io::Result<T>) -> io::Result<T> {
        let mut kept = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = match kept.take().filter(|stream| stream.position <= position) {
            Some(stream) => stream,
            None => Stream::begin(&self.file, self.is_zstd)?,
        };
        let result = work(&mut stream);
        *kept = Some(stream);
        result
    }
}

impl Stream {
    fn begin(file: &Arc<File>, is_zstd: bool) -> io::Result<Self> {
        let raw = BufReader::with_capacity(BLOCK_BYTES, Raw { file: Arc::clone(file), at: 0 });
        let unpacked: Box<dyn Read + Send> = if is_zstd {
            Box::new(zstd::Decoder::with_buffer(raw)?)
        } else {
            Box::new(MultiGzDecoder::new(raw))
        };
        let unpacked = BufReader::with_capacity(STEP_BYTES, unpacked);
        Ok(Self { unpacked, position: 0, end: None })
    }

    fn read_at(&mut self, bytes: &mut [u8], position: u64) -> io::Result<usize> {
        while self.position < position {
            if self.pass(position - self.position)? == 0 {
                return Ok(0);
            }
        }
        let mut filled = 0;
        while filled < bytes.len() {
            let count = self.step()?.min(bytes.len() - filled);
            if count == 0 {
                break;
            }
            bytes[filled..filled + count].copy_from_slice(&self.unpacked.buffer()[..count]);
            self.take(count);
            filled += count;
        }
        Ok(filled)
    }

    fn extent(&mut self) -> io::Result<Extent> {
        while self.pass(u64::MAX)? > 0 {}
        Ok(Extent { len: self.position, end: self.end.clone().unwrap_or(End::Whole) })
    }

    /// Passes over at most so many bytes; says how many these were, 0 at the end.
    fn pass(&mut self, most: u64) -> io::Result<usize> {
        let count = self.step()?.min(usize::try_from(most).unwrap_or(usize::MAX));
        self.take(count);
        Ok(count)
    }

    fn take(&mut self, count: usize) {
        self.unpacked.consume(count);
        self.position += count as u64;
    }

    /// Unpacks the next step where nothing is left of the one before; says how many bytes
    /// there are, 0 at the end.
    fn step(&mut self) -> io::Result<usize> {
        while self.end.is_none() {
            match self.unpacked.fill_buf().map(<[u8]>::len) {
                Ok(0) => self.end = Some(End::Whole),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.end = Some(End::Cut),
                // The disk's errors are of the system, and may pass.
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(error) => self.end = Some(End::Spoiled(error.to_string())),
            }
        }
        Ok(0)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("position", &self.position)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Read for Raw {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(bytes, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
