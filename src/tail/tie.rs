//! How a file beside a path is tied to what is known of that path: it is a known source,
//! a copy of one, or nobody's.

use std::path::{Path, PathBuf};

use super::{
    candidates::{Candidate, Candidates},
    copies::{Original, begins_like, is_pack_of, original_of},
    discover::Found,
    lineage::{Followed, Known, displayed, id_of},
    trail::PRINT_BYTES,
};
use crate::record::Record;

/// How a file beside a path is tied to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// It is known, and something was read from it: files older than it were seen.
    Read,
    /// It is not older than what is known: nothing was read from it, or it has the device
    /// and inode of a known file, and so is that, emptied, or was made when that was gone.
    Later,
    None,
}

pub(super) fn tie_of(known: &Known, candidates: &Candidates, found: &Found, path: &Path) -> Tie {
    let text = displayed(path);
    let Some(candidate) = candidates.get(found) else {
        let follower = candidates.follower_of(found).map(|index| &known.followed[index]);
        return if follower.is_some_and(|it| it.path == path) { Tie::Read } else { Tie::None };
    };
    let records = candidates.records_of(&text);
    let was_its = |index: &usize| known.records[*index].1.details.identity.file() == id_of(found);
    match candidate.record.map(|index| &known.records[index].1) {
        Some(record) if record.details.path != text => Tie::None,
        Some(record) if record.position > 0 => Tie::Read,
        Some(_) => Tie::Later,
        None if matches!(candidate.copy_of, Some(Original::Truncated | Original::Followed)) => Tie::Read,
        None if records.iter().any(was_its) => Tie::Later,
        None => Tie::None,
    }
}

/// Whether a file is the copy that copytruncate has made, or is making, of one that
/// is known.
/// `paths` are those whose pasts it is in, besides what its name tells.
pub(super) fn copy_of(
    known: &Known,
    candidates: &Candidates,
    candidate: &Candidate,
    paths: &[PathBuf],
) -> Option<Original> {
    let mut bases = known.bases(&candidate.found.path);
    bases.extend(paths.iter().filter(|path| **path != candidate.found.path).cloned());
    bases.sort_unstable();
    bases.dedup();
    if bases.is_empty() {
        return None;
    }
    let file = &candidate.reader;
    // In the glob, what agrees in less than a kilobyte can be a second log that begins alike.
    // What was read counts: that it is stored may be known to Redis and to readers before it
    // is known here.
    let is_newcomer = candidates.at(&candidate.found.path).is_some();
    let is_copied = |source: &Followed| {
        let is_enough = !is_newcomer || source.read.position >= PRINT_BYTES as u64;
        is_enough && source.in_place && begins_like(file, &source.reader)
    };
    let followed = bases.iter().flat_map(|path| candidates.followed_of(path));
    let followed: Vec<_> = followed.map(|&index| &known.followed[index]).collect();
    if followed.iter().any(|source| is_copied(source)) {
        return Some(Original::InPlace);
    }
    let indices: Vec<_> =
        bases.iter().flat_map(|path| candidates.records_of(&displayed(path))).copied().collect();
    if candidate.found.is_packed() {
        // One that is still there, under another name, is followed soon.
        let held = indices.iter().filter_map(|&index| Some(&candidates.holder_of(known, index)?.reader));
        let mut originals = followed.iter().map(|source| &source.reader).chain(held);
        if originals.any(|original| is_pack_of(file, original)) {
            return Some(Original::Followed);
        }
    }
    let records: Vec<_> = indices.iter().map(|&index| &known.records[index].1).collect();
    let is_alone = |original: &Record| {
        let head = &original.details.identity.head;
        records.iter().filter(|record| record.details.identity.head == *head).count() == 1
    };
    // Where another file is the original now, a copy of it has nothing that is not in that.
    let is_of_other =
        |index: usize| candidates.heir_of(known, index).is_some_and(|heir| !begins_like(file, &heir.reader));
    let originals = indices.iter().zip(&records).filter(|(index, record)| {
        id_of(&candidate.found) != record.details.identity.file() && !is_of_other(**index)
    });
    originals
        .map(|(_, record)| *record)
        .find_map(|original| original_of(file, original, candidates.place_of(original), is_alone(original)))
}
