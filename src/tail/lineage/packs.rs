//! Which of the compressed files beside a path have to be looked into, and what they are.
//!
//! To unpack costs time, so it goes from the newest to the oldest, and no further than to
//! the first that is known, once every source of the path is found.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use super::{
    candidates::{Candidate, Candidates},
    known::{Known, is_active},
    tie::{Tie, copy_of, tie_of},
};
use crate::{
    record::{PrintHash, Record},
    tail::{
        discover::{Found, displayed, id_of},
        identity::agrees,
        packed::End,
        trail::PRINT_BYTES,
    },
};

/// Says of the compressed files beside a path what they are, as far as that is needed.
/// Blocks.
pub(super) fn look_into_packs(known: &Known, candidates: &mut Candidates, path: &Path, beside: &[Found]) {
    if !beside.iter().any(Found::is_packed) {
        return;
    }
    let at_path = candidates.at(path).and_then(|found| candidates.get(found));
    let mut is_past_known =
        at_path.and_then(|file| file.record).is_some_and(|index| known.records[index].1.position > 0);
    let plain: HashSet<PathBuf> =
        beside.iter().filter(|found| !found.is_packed()).map(|found| found.path.clone()).collect();
    let is_there = |found: &Found| {
        let unpacked = found.unpacked_path();
        plain.contains(&unpacked) || (unpacked == path && at_path.is_some())
    };
    let packed: Vec<_> = beside.iter().map(|found| found.is_packed().then(|| is_there(found))).collect();
    for (found, packed) in beside.iter().zip(packed) {
        let missing = missing(known, candidates, path);
        if is_past_known && missing.is_empty() {
            return;
        }
        match packed {
            None => {}
            Some(_) if candidates.follower_of(found).is_some() => {}
            Some(_) if candidates.get(found).is_some_and(|it| it.record.is_some()) => {}
            // It is being made, or was kept: what it has, the other one has.
            Some(true) if missing.is_empty() => continue,
            Some(is_kept) => look_into(known, candidates, path, found, &missing, is_kept || is_past_known),
        }
        is_past_known |= tie_of(known, candidates, found, path) == Tie::Read;
    }
}

/// The sources of a path that may have more lines, and that no file holds.
pub(super) fn missing(known: &Known, candidates: &Candidates, path: &Path) -> Vec<usize> {
    let of_path = candidates.records_of(&displayed(path)).iter().copied();
    of_path
        .filter(|index| !candidates.hold(*index))
        .filter(|index| is_active(&known.records[*index].1) && known.records[*index].1.position > 0)
        .collect()
}

/// Finds out what one file is. One that is nobody's counts only where it `is_old` not.
fn look_into(
    known: &Known,
    candidates: &mut Candidates,
    path: &Path,
    found: &Found,
    missing: &[usize],
    is_old: bool,
) {
    let Some(mut candidate) = candidates.open_packed(found, &known.shelf) else { return };
    candidate.record = record_of(known, candidates, &candidate, path);
    if candidate.record.is_none() {
        let may_be = missing.iter().any(|&index| may_become(&candidate, &known.records[index].1));
        if may_be && is_unfinished(&candidate) {
            return candidates.is_unfinished(found);
        }
        if is_old {
            return;
        }
        candidate.copy_of = copy_of(known, candidates, &candidate, &[path.to_owned()]);
        if candidate.copy_of.is_none() {
            candidate.record = unread_record_of(known, candidates, found, path);
        }
    }
    let is_read = candidate.record.is_none_or(|index| is_active(&known.records[index].1));
    if is_read && candidate.copy_of.is_none() {
        add_to_be_read(candidates, candidate);
    } else {
        candidates.add(candidate);
    }
}

/// Adds a file that will be read; not yet where it is being written.
pub(super) fn add_to_be_read(candidates: &mut Candidates, candidate: Candidate) {
    if is_unfinished(&candidate) {
        if let Some(record) = candidate.record {
            candidates.keep_free(record);
        }
        return candidates.is_unfinished(&candidate.found);
    }
    if let Some(damage) = damage_of(&candidate) {
        candidates.is_damaged(&candidate.found, damage);
    }
    candidates.add(candidate);
}

/// The record of a path that a file holds: that of its device and inode, or else the one
/// that may have more lines, or else the one that was read furthest.
fn record_of(known: &Known, candidates: &Candidates, candidate: &Candidate, path: &Path) -> Option<usize> {
    let found = id_of(&candidate.found);
    let mut fitting = candidates.records_of(&displayed(path)).to_vec();
    fitting.retain(|&index| known.records[index].1.position > 0 && !candidates.hold(index));
    fitting.sort_by_key(|&index| {
        let record = &known.records[index].1;
        std::cmp::Reverse((record.details.identity.file() == found, is_active(record), record.position))
    });
    fitting.into_iter().find(|&index| agrees(&candidate.reader, &known.records[index].1))
}

/// The record under which a file was registered before a line of it was stored. It is asked
/// for last, as the inode can be another's.
fn unread_record_of(known: &Known, candidates: &Candidates, found: &Found, path: &Path) -> Option<usize> {
    let mut of_path = candidates.records_of(&displayed(path)).iter().copied();
    of_path.find(|&index| {
        let record = &known.records[index].1;
        record.position == 0
            && record.details.identity.file() == id_of(found)
            && is_active(record)
            && !candidates.hold(index)
    })
}

/// Whether a file that does not agree with a record does so perhaps when it is whole.
pub(super) fn may_become(candidate: &Candidate, record: &Record) -> bool {
    let Ok(head) = candidate.reader.head(PRINT_BYTES) else { return false };
    let wanted = record.details.identity.head;
    head.get(..wanted.len as usize).is_none_or(|head| PrintHash::of(head) == wanted)
}

pub(super) fn is_unfinished(candidate: &Candidate) -> bool {
    let packed = candidate.reader.packed();
    packed.is_some_and(|packed| packed.extent().is_ok() && packed.facts().is_unfinished())
}

fn damage_of(candidate: &Candidate) -> Option<String> {
    let extent = candidate.reader.packed()?.extent().ok()?;
    let why = match extent.end {
        End::Whole => return None,
        End::Cut => "it ends too early".to_owned(),
        End::Spoiled(why) => why,
    };
    Some(format!(
        "cannot be unpacked after {} bytes of content, lines behind them are lost: {why}",
        extent.len
    ))
}
