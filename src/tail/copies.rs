//! Whether a file is a copy of one that is known: copytruncate makes such before it
//! empties the original.

use std::{io, path::Path};

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
    /// It was rotated, and is followed still: the copy is a compressed one.
    Followed,
}

/// Says whether `file` is a copy of the known file that `original` is the record of, and
/// what became of that, which was seen at `place` last. Blocks. To be asked only of files
/// that are named like rotated versions of the original.
///
/// A copy shares at least the first kilobyte with its original: what agrees in less can
/// be a second log that begins alike. One that has less than was read shares no more, so
/// that has to be the beginning of no other file: `is_alone`.
pub(super) fn original_of(
    file: &Reader,
    original: &Record,
    place: Option<&Path>,
    is_alone: bool,
) -> Option<Original> {
    if !is_weighty(original) {
        return None;
    }
    let identity = &original.details.identity;
    let path = Path::new(&original.details.path);
    let there = Reader::open(place.unwrap_or(path)).ok();
    let there = there.filter(|there| there.is_that_of(identity));
    let Some(there) = there else { return agrees(file, original).then_some(Original::Truncated) };
    // In this order, as the original may be truncated any time. What was renamed is not copied.
    let is_in_place = place.is_none_or(|place| place == path);
    let is_alike = agrees(&there, original) && agrees(file, original) || begins_like(file, &there);
    if is_in_place && is_alike {
        return Some(Original::InPlace);
    }
    // Lines may have been read from the original that came too late for the copy.
    let is_other = !agrees(&there, original);
    if is_other && agrees(file, original) {
        return Some(Original::Truncated);
    }
    let is_alone = is_alone && !has_head(&there, original);
    (is_other && is_alone && has_head(file, original)).then_some(Original::Truncated)
}

/// Whether a compressed file has nothing that is not in a followed one, as far as its edges
/// tell: it is as long, or a late line came when it was made already. Blocks. What agrees in
/// less than a kilobyte can be another file that begins alike.
pub(super) fn is_pack_of(packed: &Reader, followed: &Reader) -> bool {
    let is_enough = || -> io::Result<bool> {
        let len = packed.len()?;
        Ok(len > 0 && (len >= PRINT_BYTES as u64 || len == followed.len()?))
    };
    begins_like(packed, followed) && is_enough().unwrap_or(false)
}

/// Whether a file is as it was read. Blocks.
pub(super) fn is_intact(file: &Reader, read: Read) -> bool {
    let before = file.print_before(read.position, read.print.len as usize);
    before.is_ok_and(|before| before == Some(read.print))
}

/// Whether a file is the first part of another one, as far as its edges tell. Blocks.
pub(super) fn begins_like(part: &Reader, whole: &Reader) -> bool {
    let alike = || -> io::Result<bool> {
        let head = part.head(PRINT_BYTES)?;
        if whole.head(head.len())? != head {
            return Ok(false);
        }
        let len = part.len()?;
        let edge = usize::try_from(len).unwrap_or(usize::MAX).min(PRINT_BYTES);
        let end = part.print_before(len, edge)?;
        Ok(end.is_some() && end == whole.print_before(len, edge)?)
    };
    alike().unwrap_or(false)
}

fn has_head(file: &Reader, original: &Record) -> bool {
    file.head(PRINT_BYTES).is_ok_and(|head| PrintHash::of(&head) == original.details.identity.head)
}
