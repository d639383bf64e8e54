//! Which files go on with records whose device and inode no file has any more.
//!
//! Content alone does not tell that where the files of a log begin with the same lines and no
//! more than these is confirmed: then the new file at the path agrees with the record as well as
//! the one that was rotated away, and compressed, by which it got another inode. The rotated one
//! is it: nobody gives a file that is written to another inode. Of several it is the oldest that
//! was changed after the record was written, as those after it were not read yet. So nothing is lost; where it
//! was none of them, lines come again.

use std::{cmp::Reverse, path::Path, time::UNIX_EPOCH};

use super::{
    candidates::{Candidate, Candidates},
    copies::begins_like,
    discover::Found,
    identity::agrees,
    lineage::{Known, displayed, id_of},
    packs::{add_to_be_read, is_unfinished, may_become, missing},
    reader::Reader,
};
use crate::record::Record;

/// Lets the files that were at a path before hold what nobody holds of it. Blocks.
pub(super) fn find_heirs(known: &Known, candidates: &mut Candidates, path: &Path, beside: &[Found]) {
    let mut missing = missing(known, candidates, path);
    // Where most was read, content tells most.
    missing.sort_by_key(|&index| Reverse(known.records[index].1.position));
    for index in missing {
        for found in beside.iter().rev() {
            if find_heir(known, candidates, path, index, found) {
                break;
            }
        }
    }
}

/// Whether the search for the heir of a record ends with this file.
fn find_heir(known: &Known, candidates: &mut Candidates, path: &Path, index: usize, found: &Found) -> bool {
    let record = &known.records[index].1;
    let is_free = candidates.get(found).map_or(found.is_packed(), |candidate| candidate.record.is_none());
    if !is_free || candidates.follower_of(found).is_some() || is_older(found, record) {
        return false;
    }
    if !found.is_packed() {
        let is_it = candidates.get(found).is_some_and(|it| is_heir(known, candidates, path, index, it));
        if is_it {
            candidates.give(id_of(found), index);
        }
        return is_it;
    }
    let Some(candidate) = candidates.open_packed(found, &known.shelf) else { return false };
    if is_heir(known, candidates, path, index, &candidate) {
        add_to_be_read(candidates, Candidate { record: Some(index), ..candidate });
        return true;
    }
    let may_be = !agrees(&candidate.reader, record) && may_become(&candidate, record);
    if may_be && is_unfinished(&candidate) {
        candidates.is_unfinished(found);
        candidates.keep_free(index);
        return true;
    }
    false
}

/// Whether a file agrees with a record, and nothing speaks against it.
fn is_heir(known: &Known, candidates: &Candidates, path: &Path, index: usize, candidate: &Candidate) -> bool {
    let record = &known.records[index].1;
    agrees(&candidate.reader, record)
        && !has_other(known, candidates, path, index, candidate)
        && !is_copy(known, candidates, path, record, candidate)
}

/// Whether it was changed last before the record was written, so that it is one of those that
/// were there before.
fn is_older(found: &Found, record: &Record) -> bool {
    let changed_s = found.modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    record.details.identity.modified_s.is_some_and(|then_s| changed_s < then_s)
}

/// Whether a file agrees with another record of the path that says more of it: one that was
/// read further, or under which the file was registered.
fn has_other(
    known: &Known,
    candidates: &Candidates,
    path: &Path,
    index: usize,
    candidate: &Candidate,
) -> bool {
    let position = known.records[index].1.position;
    let others = candidates.records_of(&displayed(path)).iter().filter(|other| !candidates.hold(**other));
    let others = others.map(|&other| &known.records[other].1);
    let is_registered =
        |other: &&Record| other.position == 0 && candidate.reader.is_that_of(&other.details.identity);
    if others.clone().any(|other| is_registered(&other)) {
        return true;
    }
    let mut further: Vec<_> = others.filter(|other| other.position > position).collect();
    // What is compressed is unpacked once, from its beginning to its end.
    further.sort_by_key(|other| other.position);
    further.into_iter().any(|other| agrees(&candidate.reader, other))
}

/// Whether all of it is in the file at the path too, or in the one that it was made of: these
/// go on with the record then.
fn is_copy(
    known: &Known,
    candidates: &Candidates,
    path: &Path,
    record: &Record,
    candidate: &Candidate,
) -> bool {
    let is_more_alike = |original: &Reader| {
        begins_like(&candidate.reader, original)
            // Of what is compressed a rotation is the likely cause.
            && (!candidate.found.is_packed() || candidate.len() > record.position)
    };
    let unpacked = candidate.found.unpacked_path();
    let at_path = candidates.at(path).and_then(|found| candidates.get(found));
    let beside = candidates.named(&unpacked).filter(|it| id_of(&it.found) != id_of(&candidate.found));
    let new = at_path.into_iter().chain(beside).map(|it| &it.reader);
    let followed = candidates.followed_of(path).iter().map(|&index| &known.followed[index].reader);
    new.chain(followed).any(is_more_alike)
}
