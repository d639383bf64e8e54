//! Whether a file is a copy of one that is known: copytruncate makes such before it
//! empties the original.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use super::{
    control::Read,
    identity::{agrees, is_weighty},
    reader::Reader,
    trail::PRINT_BYTES,
};
use crate::record::{PrintHash, Record};

/// What became of the file that another one is a copy of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Original {
    /// It is still there: the copy may be in the making.
    InPlace,
    /// It was emptied, so the copy is complete.
    Truncated,
}

/// Says whether `file` is a copy of the known file that `original` is the record of, and
/// what became of that, which was seen at `place` last. Blocks. To be asked only of files that are named like rotated
/// versions of the original.
///
/// A copy shares at least the first kilobyte with its original: what agrees in less can
/// be a second log that begins alike.
pub(super) fn original_of(file: &File, original: &Record, place: Option<&Path>) -> Option<Original> {
    if !is_weighty(original) {
        return None;
    }
    let identity = &original.details.identity;
    let path = Path::new(&original.details.path);
    let there = Reader::open(place.unwrap_or(path)).ok();
    let there = there.filter(|there| (there.device, there.inode) == identity.file());
    let Some(there) = there else { return agrees(file, original).then_some(Original::Truncated) };
    // In this order, as the original may be truncated any time. What was renamed is not copied.
    let is_in_place = place.is_none_or(|place| place == path);
    let is_alike =
        agrees(there.file(), original) && agrees(file, original) || begins_like(file, there.file());
    if is_in_place && is_alike {
        return Some(Original::InPlace);
    }
    // Lines may have been read from the original that came too late for the copy.
    let is_truncated = !agrees(there.file(), original);
    (is_truncated && (agrees(file, original) || has_head(file, original))).then_some(Original::Truncated)
}

/// Whether a file is as it was read. Blocks.
pub(super) fn is_intact(file: &File, read: Read) -> bool {
    let before = bytes(file, read.position - u64::from(read.print.len), read.print.len as usize);
    before.is_some_and(|before| PrintHash::of(&before) == read.print)
}

/// Whether a file is the first part of another one, as far as its edges tell. Blocks.
pub(super) fn begins_like(part: &File, whole: &File) -> bool {
    let Ok(len) = part.metadata().map(|metadata| metadata.len()) else { return false };
    let edge = usize::try_from(len).unwrap_or(usize::MAX).min(PRINT_BYTES);
    let same = |at| Some(bytes(part, at, edge)? == bytes(whole, at, edge)?);
    same(0) == Some(true) && same(len - edge as u64) == Some(true)
}

fn has_head(file: &File, original: &Record) -> bool {
    bytes(file, 0, PRINT_BYTES).is_some_and(|head| PrintHash::of(&head) == original.details.identity.head)
}

fn bytes(file: &File, at: u64, count: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}
