//! What files that nobody follows yet are, and in which order they have to be read.
//!
//! A path under which a source is known has a past: its file may have been rotated
//! while nobody looked. So the files beside it are searched for that source, and all
//! that are newer are read, oldest first, before the one at the path.

mod candidates;
mod copies;
mod heirs;
mod known;
mod packs;
mod past;
mod search;
mod tie;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

pub(super) use self::known::{Followed, Known};
use self::{
    candidates::{Candidate, Candidates},
    copies::Original,
    heirs::find_heirs,
    known::is_active,
    packs::look_into_packs,
    past::{Pasts, add, pasts},
    search::search,
    tie::{Tie, copy_of, tie_of},
};
use super::{
    discover::{FileId, Found, displayed, id_of},
    identity::By,
    reader::Reader,
};
use crate::record::{Record, SourceKey};

/// A file to be followed.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) found: Found,
    /// Opened when it was identified: what is read is what was looked at, whatever its
    /// name is by now.
    pub(super) reader: Reader,
    /// The path whose past it is part of: its own, or the one that it was rotated from.
    pub(super) path: PathBuf,
    pub(super) origin: Origin,
}

/// Which source a file is.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// One that is known.
    Known(SourceKey, Record),
    /// A new one.
    New,
    /// A new one, all of whose lines were read from the file that it is a copy of.
    Copied,
}

/// What follows from what is known.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order in which they have to be read where they have the same path.
    pub(super) launches: Vec<Launch>,
    /// Sources that cannot be found again.
    pub(super) lost: Vec<(SourceKey, Record)>,
    /// Paths whose past was searched, and those of them whose files moved meanwhile.
    pub(super) searched: BTreeSet<PathBuf>,
    pub(super) unsettled: HashSet<PathBuf>,
    /// Files that cannot be read.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

/// Makes the plan. Blocks: it lists folders and reads the edges of files. What is
/// renamed or truncated meanwhile is left for the next look.
pub(super) fn plan(known: &Known) -> Plan {
    let records = known.records.iter().map(|(_, record)| record.details.path.clone());
    let known_paths: HashSet<String> =
        records.chain(known.followed.iter().map(|source| displayed(&source.path))).collect();
    let mut paths: BTreeSet<PathBuf> = known
        .newcomers
        .iter()
        .flat_map(|found| known.bases(&found.path).into_iter().chain([found.path.clone()]))
        .filter(|path| known_paths.contains(&displayed(path)))
        .collect();
    paths.extend(known.deserted.iter().cloned());
    let named = pasts(known, &paths);
    let mut before = named.clone();

    let mut candidates = candidates_among(known, &before);
    let elsewhere = search(known, &candidates, &before);
    if !elsewhere.is_empty() {
        for (path, found) in elsewhere {
            add(&mut before, &path, found);
        }
        candidates = candidates_among(known, &before);
    }
    let mut paths_of: HashMap<FileId, Vec<PathBuf>> = HashMap::new();
    for (path, found) in before.iter().flat_map(|(path, past)| past.iter().map(move |found| (path, found))) {
        paths_of.entry(id_of(found)).or_default().push(path.clone());
    }
    candidates.find_copies(|candidates, candidate| {
        let paths = paths_of.get(&id_of(&candidate.found)).map_or(&[][..], Vec::as_slice);
        copy_of(known, candidates, candidate, paths)
    });
    // A rotated file can have a path that is known too: it belongs to that which it was
    // rotated from, and that is the shorter one.
    let mut in_order: Vec<_> = before.iter().collect();
    in_order.sort_by_key(|(path, _)| path.as_os_str().len());
    for (path, beside) in &in_order {
        look_into_packs(known, &mut candidates, path, beside);
    }
    let planned: Vec<_> = in_order
        .into_iter()
        .map(|(path, beside)| (path, beside, plan_past(known, &candidates, path, beside)))
        .collect();
    // Looked at last: what was seen before is what led to the plan.
    let now = pasts(known, &paths);
    let mut plan = Plan::default();
    let mut done: HashSet<FileId> = HashSet::new();
    for (path, beside, mut past) in planned {
        past.launches.retain(|launch| !done.contains(&id_of(&launch.found)));
        if names(&named[path]) == names(&now[path]) && candidates.are_settled(known, path, beside) {
            done.extend(past.launches.iter().map(|launch| id_of(&launch.found)));
            plan.launches.extend(past.launches);
            plan.lost.extend(past.lost);
        } else {
            plan.unsettled.insert(path.clone());
            done.extend(beside.iter().chain(candidates.at(path)).map(id_of));
        }
    }
    for found in &known.newcomers {
        if let Some(candidate) = candidates.get(found).filter(|_| !done.contains(&id_of(found))) {
            plan.launches.extend(launch(known, candidate, &found.path));
        }
    }
    plan.searched = paths;
    plan.unreadable = candidates.into_problems();
    plan
}

/// The files that may be known sources, and which ones they are, without those that are
/// compressed and hold nothing.
fn candidates_among(known: &Known, pasts: &Pasts) -> Candidates {
    let mut candidates = Candidates::open(known, pasts);
    for (path, beside) in pasts {
        find_heirs(known, &mut candidates, path, beside);
    }
    candidates.assign(By::Content, known);
    candidates
}

/// Reads what was rotated away from `path` before what is there now.
fn plan_past(known: &Known, candidates: &Candidates, path: &Path, beside: &[Found]) -> Plan {
    let at_path = candidates.at(path).and_then(|found| candidates.get(found));
    // Newest first: what comes before the first known one was never seen. Where something
    // was read from the file at the path, there can be none.
    let was_read =
        at_path.and_then(|file| file.record).is_some_and(|index| known.records[index].1.position > 0);
    let ties: Vec<Tie> = beside.iter().map(|found| tie_of(known, candidates, found, path)).collect();
    let newest_read = ties.iter().position(|tie| *tie == Tie::Read);
    let unseen = newest_read.or_else(|| ties.iter().rposition(|tie| *tie == Tie::Later));
    let unseen = unseen.filter(|_| !was_read).unwrap_or(0);
    let mut plan = Plan::default();
    for (age, (found, tie)) in beside.iter().zip(&ties).enumerate().rev() {
        let Some(candidate) = candidates.get(found) else { continue };
        if *tie != Tie::None || (age < unseen && candidate.record.is_none()) {
            plan.launches.extend(launch(known, candidate, path));
        }
    }
    plan.launches.extend(at_path.and_then(|candidate| launch(known, candidate, path)));
    // What cannot be read may be the one that is looked for.
    if !beside.iter().any(|found| candidates.is_unreadable(found)) {
        let of_path = candidates.records_of(&displayed(path)).iter();
        let missing = of_path.filter(|index| !candidates.hold(**index)).map(|&index| &known.records[index]);
        plan.lost.extend(missing.filter(|(_, record)| is_active(record)).cloned());
    }
    plan
}

fn launch(known: &Known, candidate: &Candidate, path: &Path) -> Option<Launch> {
    let found = &candidate.found;
    let origin = match candidate.record.map(|index| known.records[index].clone()) {
        // What was read to its end, and is known to be complete, needs nobody any more.
        Some((_, record))
            if !is_active(&record) && found.path != path && candidate.len() <= record.position =>
        {
            return None;
        }
        Some((key, _))
            if found.path != path && known.at_rest.get(&key).is_some_and(|read| candidate.len() <= *read) =>
        {
            return None;
        }
        Some((key, record)) => Origin::Known(key, record),
        None => match candidate.copy_of {
            None => Origin::New,
            Some(Original::Truncated) => Origin::Copied,
            // It may be needed, and complete, when the original is truncated.
            Some(Original::InPlace | Original::Followed) => return None,
        },
    };
    let (found, reader) = (found.clone(), candidate.reader.clone());
    Some(Launch { found, reader, path: path.to_owned(), origin })
}

/// Which file bears which name.
fn names(files: &[Found]) -> HashSet<(&Path, FileId)> {
    files.iter().map(|found| (found.path.as_path(), id_of(found))).collect()
}
