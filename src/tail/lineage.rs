//! What files that nobody follows yet are, and in which order they have to be read.
//!
//! A path under which a source is known has a past: its file may have been rotated
//! while nobody looked. So the files beside it are searched for that source, and all
//! that are newer are read, oldest first, before the one at the path.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    candidates::{Candidate, Candidates},
    control::Read,
    copies::Original,
    discover::{Found, Patterns, bases},
    heirs::find_heirs,
    identity::By,
    launch::{Launch, Origin},
    packed::Shelf,
    packs::look_into_packs,
    past::{Pasts, above, add, pasts},
    reader::Reader,
    search::search,
    tie::{Tie, copy_of, tie_of},
};
use crate::record::{Record, SourceKey, SourceState};

/// Device and inode: which file it is, as long as somebody holds it open.
pub(super) type FileId = (u64, u64);

/// A source that is followed now.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) id: FileId,
    /// The path that it was found under, and whether it is still there.
    pub(super) path: PathBuf,
    pub(super) in_place: bool,
    /// Where it is now.
    pub(super) place: PathBuf,
    pub(super) reader: Reader,
    pub(super) read: Read,
}

/// What is known of one topic when new files are found.
#[derive(Debug)]
pub(super) struct Known {
    /// Files to be followed that nobody follows.
    pub(super) newcomers: Vec<Found>,
    /// Sources that nobody follows.
    pub(super) records: Vec<(SourceKey, Record)>,
    /// Those that are away and closed, and how much of them was read: they are of interest
    /// when they have more.
    pub(super) at_rest: HashMap<SourceKey, u64>,
    pub(super) followed: Vec<Followed>,
    /// Paths without a newcomer whose past has to be searched all the same.
    pub(super) deserted: BTreeSet<PathBuf>,
    /// Other paths of newcomers and followed files, each with the path that the file goes by.
    pub(super) also: HashMap<PathBuf, PathBuf>,
    pub(super) shelf: Arc<Shelf>,
    /// What inputs match, and where rotated files of that go.
    pub(super) rotated: Vec<(Patterns, Patterns)>,
}

impl Known {
    /// The paths of which a file could be a rotated version, by its name.
    pub(super) fn bases(&self, path: &Path) -> Vec<PathBuf> {
        let mut bases = bases(path);
        // Rotated files can be followed where they are, in a folder below that of the log.
        bases.extend(bases.clone().iter().filter_map(|base| above(base)));
        // A file is rotated under any of its names.
        bases.extend(bases.clone().iter().filter_map(|base| self.also.get(base).cloned()));
        bases
    }
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
    pub(super) unsettled: BTreeSet<PathBuf>,
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

pub(super) fn is_active(record: &Record) -> bool {
    record.details.state == SourceState::Active
}

pub(super) fn id_of(found: &Found) -> FileId {
    (found.device, found.inode)
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('?')
}

/// A path as records and messages write it: bytes that are not UTF-8 as `\xNN`.
pub(super) fn displayed(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend(['\\', 'x', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    text
}
