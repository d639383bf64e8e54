//! One stream entry: a stored batch with its place in the topic.

use std::{cell::RefCell, sync::OnceLock};

use bytes::Bytes;
use zstd::bulk::Decompressor;

use super::{memory::Memory, reply::RawEntry};
use crate::record::{Epoch, Offset, StoredBatch};

thread_local! {
    /// Kept because making it costs a good part of what unpacking a small batch does.
    static UNPACKER: RefCell<Decompressor<'static>> = RefCell::default();
}

/// Greatest size of a stored batch, unpacked, in bytes: what a client accepts as
/// one message, less room for what the relay adds.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// The format of entries that this version writes and reads.
const FORMAT: &[u8] = b"1";

/// A batch as it stands in its topic.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The offset of its first line.
    pub first: Offset,
    /// The epoch that it was written in.
    pub epoch: Epoch,
    /// When it was appended, in unix milliseconds of the server's clock.
    pub time_ms: u64,
    /// Its lines; checked.
    pub batch: StoredBatch,
    prefix: OnceLock<Bytes>,
    memory: Memory,
}

/// What is found at a place of a topic.
#[derive(Debug, Clone)]
pub enum Item {
    /// A batch.
    Entry(Entry),
    /// An entry that cannot be read: its lines, up to `last`, are lost.
    Bad {
        /// The offset of its last line, from its ID.
        last: Offset,
        /// What is wrong with it.
        why: String,
    },
    /// An entry of a format that is newer than this version: it is not lost, but
    /// not for us.
    Newer {
        /// The format that it is in.
        format: String,
    },
}

impl Entry {
    /// A batch at its place, which is counted nowhere.
    pub fn new(first: Offset, epoch: Epoch, time_ms: u64, batch: StoredBatch) -> Self {
        Self { first, epoch, time_ms, batch, prefix: OnceLock::new(), memory: Memory::default() }
    }

    /// Where its bytes are counted, and those that are made of them are to be.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// What readers get before the stored bytes: the same for all of them, and made once.
    pub fn prefix(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        self.prefix.get_or_init(make).clone()
    }

    /// The offset of its last line.
    pub fn last(&self) -> Offset {
        self.next().minus(1)
    }

    /// The offset of the line after it.
    pub fn next(&self) -> Offset {
        self.first.plus(u64::from(self.batch.lines()))
    }

    /// Its size in bytes, nearly.
    pub fn bytes(&self) -> usize {
        self.batch.stored().len()
    }
}

impl Item {
    /// Reads an entry. None when its ID is none of ours: `<last offset>-<unix ms>`.
    pub(super) fn read(entry: RawEntry, memory: &Memory) -> Option<Self> {
        let (last, time_ms) = read_id(&entry.id)?;
        Some(read_entry(last, time_ms, entry.fields, memory).unwrap_or_else(|why| Self::Bad { last, why }))
    }
}

/// The last offset and the time of an entry's ID.
pub(super) fn read_id(id: &str) -> Option<(Offset, u64)> {
    let (last, time_ms) = id.split_once('-')?;
    Some((Offset::new(last.parse().ok()?).ok()?, time_ms.parse().ok()?))
}

fn read_entry(
    last: Offset,
    time_ms: u64,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    memory: &Memory,
) -> Result<Item, String> {
    let (mut epoch, mut lines, mut stored) = (None, None, None);
    let mut format = Vec::new();
    for (field, value) in fields {
        match field.as_slice() {
            b"v" => format = value,
            b"e" => epoch = number_or_text(&value).and_then(|text| text.parse::<Epoch>().ok()),
            b"n" => lines = number_or_text(&value).and_then(|text| text.parse::<u32>().ok()),
            b"b" => stored = Some(memory.count(value)),
            b"z" => stored = Some(memory.count(unpack(&value)?)),
            _ => {}
        }
    }
    if format != FORMAT {
        let format = String::from_utf8_lossy(&format).into_owned();
        // A format is a number; a later one is greater.
        return match format.parse::<u64>() {
            Ok(2..) => Ok(Item::Newer { format }),
            _ => Err(format!("its format is {format:?}")),
        };
    }
    let epoch = epoch.ok_or("its epoch (e) is missing or wrong")?;
    let lines = lines.filter(|&n| n > 0).ok_or("its number of lines (n) is missing or wrong")?;
    let stored = stored.ok_or("it has no batch (b or z)")?;
    if u64::from(lines) > last.get() + 1 {
        return Err(format!("it says {lines} lines, but ends at offset {last}"));
    }
    let batch = StoredBatch::parse(stored, lines).map_err(|e| e.to_string())?;
    let entry = Entry::new(last.minus(u64::from(lines) - 1), epoch, time_ms, batch);
    Ok(Item::Entry(Entry { memory: memory.clone(), ..entry }))
}

fn number_or_text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// Unpacks a zstd batch into at most [`MAX_PAYLOAD_BYTES`]: a few bytes can unpack to
/// gigabytes. A batch that was packed as a whole, as ours are, tells its size.
fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let told = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten();
    let told = told.and_then(|bytes| usize::try_from(bytes).ok());
    let most = told.unwrap_or(usize::MAX).min(MAX_PAYLOAD_BYTES);
    let unpacked = UNPACKER.with_borrow_mut(|unpacker| unpacker.decompress(packed, most));
    let mut unpacked = unpacked.map_err(|e| format!("zstd, of at most {most} bytes: {e}"))?;
    unpacked.shrink_to_fit();
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proto, record::BatchBuilder};

    fn read(entry: RawEntry) -> Option<Item> {
        Item::read(entry, &Memory::default())
    }

    fn entry(field: &str, stored: &[u8]) -> RawEntry {
        let pair = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
        let fields =
            vec![pair("v", b"1"), pair("e", b"0000000000100001"), pair("n", b"2"), pair(field, stored)];
        RawEntry { id: "9-1000".to_owned(), fields }
    }

    fn two_lines() -> Vec<u8> {
        let mut builder = BatchBuilder::new(&proto::Source::default(), 0, 0);
        builder.push(b"one", 0);
        builder.push(b"two", 0);
        builder.seal(8).unwrap().stored.to_vec()
    }

    #[test]
    fn plain_and_packed_batches_are_the_same() {
        for (field, stored) in [("b", two_lines()), ("z", zstd::encode_all(&two_lines()[..], 1).unwrap())] {
            let Some(Item::Entry(entry)) = read(entry(field, &stored)) else {
                panic!("{field}: no entry");
            };
            assert_eq!((entry.first.get(), entry.next().get(), entry.time_ms), (8, 10, 1000));
            assert_eq!(entry.batch.line(1).unwrap().content, b"two");
        }
    }

    #[test]
    fn a_batch_that_unpacks_without_end_is_bad_and_not_held_in_memory() {
        let zeros = vec![0; MAX_PAYLOAD_BYTES * 4];
        // One of them tells its size.
        for bomb in [zstd::encode_all(&zeros[..], 1), zstd::bulk::compress(&zeros, 1)] {
            let Some(Item::Bad { last, why }) = read(entry("z", &bomb.unwrap())) else {
                panic!("taken");
            };
            assert_eq!(last.get(), 9);
            assert!(why.contains(&format!("at most {MAX_PAYLOAD_BYTES} bytes")), "{why}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_a_broken_one() {
        let mut newer = entry("b", &two_lines());
        newer.fields[0].1 = b"2".to_vec();
        assert!(matches!(read(newer), Some(Item::Newer { format }) if format == "2"));
        let mut broken = entry("b", &two_lines());
        broken.fields[0].1 = b"x".to_vec();
        assert!(matches!(read(broken), Some(Item::Bad { .. })));
        assert!(matches!(
            read(RawEntry { id: "0-1".to_owned(), ..entry("b", &two_lines()) }),
            Some(Item::Bad { .. })
        ));
        assert!(read(RawEntry { id: "nonsense".to_owned(), fields: Vec::new() }).is_none());
    }
}
