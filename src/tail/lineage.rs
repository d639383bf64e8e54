//! What files that nobody follows yet are, and in which order they have to be read.
//!
//! A path has a past when a source is known under it whose file is not there any
//! more: rotated while nobody looked. Then the files beside it are searched for that
//! source, and all that are newer are read, oldest first, before the one at the path.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
};

use super::{
    discover::{Found, siblings},
    identity::{Suspect, agrees, assign, is_weighty},
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
    pub(super) confirmed: Record,
}

/// What is known of one topic when new files are found.
#[derive(Debug)]
pub(super) struct Known {
    /// Files to be followed that nobody follows.
    pub(super) newcomers: Vec<Found>,
    /// Sources that nobody follows.
    pub(super) records: Vec<(SourceKey, Record)>,
    pub(super) followed: Vec<Followed>,
    /// Paths without a newcomer whose past has to be searched all the same.
    pub(super) deserted: BTreeSet<PathBuf>,
}

/// A file to be followed.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) found: Found,
    /// The path whose past it is part of: its own, or the one that it was rotated from.
    pub(super) path: PathBuf,
    /// The source that it is; none: a new one.
    pub(super) record: Option<(SourceKey, Record)>,
}

/// What follows from what is known.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// In the order in which they have to be read where they have the same path.
    pub(super) launches: Vec<Launch>,
    /// Sources that cannot be found again.
    pub(super) lost: Vec<(SourceKey, Record)>,
}

struct Candidate {
    found: Found,
    file: File,
    path: String,
    record: Option<usize>,
}

/// Makes the plan. Blocks: it lists folders and reads the edges of files.
pub(super) fn plan(known: &Known) -> Plan {
    let paths: BTreeSet<&Path> = known
        .newcomers
        .iter()
        .map(|found| found.path.as_path())
        .chain(known.deserted.iter().map(PathBuf::as_path))
        .collect();
    let pasts: BTreeMap<&Path, Vec<Found>> =
        paths.into_iter().filter(|path| has_past(known, path)).map(|path| (path, beside(path))).collect();

    let candidates = identify(known, &pasts);
    let mut plan = Plan::default();
    let mut done: HashSet<FileId> = HashSet::new();
    for (path, beside) in &pasts {
        plan_past(known, &candidates, path, beside, &mut plan, &mut done);
    }
    for found in &known.newcomers {
        if let Some(candidate) = candidates.get(&id_of(found)).filter(|_| !done.contains(&id_of(found))) {
            launch(known, candidate, &found.path, &mut plan);
        }
    }
    let held: HashSet<usize> = candidates.values().filter_map(|candidate| candidate.record).collect();
    for (index, (key, record)) in known.records.iter().enumerate() {
        let searched = pasts.keys().any(|path| displayed(path) == record.details.path);
        if searched && is_active(record) && !held.contains(&index) {
            plan.lost.push((key.clone(), record.clone()));
        }
    }
    plan
}

fn has_past(known: &Known, path: &Path) -> bool {
    let text = displayed(path);
    known.records.iter().any(|(_, record)| is_active(record) && record.details.path == text)
        || known.followed.iter().any(|source| source.path == path && !source.in_place)
}

fn beside(path: &Path) -> Vec<Found> {
    let mut found = siblings(path).unwrap_or_default();
    found.retain(|sibling| !sibling.is_compressed());
    found
}

/// Opens every file that may be a known source, and says which one it is.
fn identify(known: &Known, pasts: &BTreeMap<&Path, Vec<Found>>) -> HashMap<FileId, Candidate> {
    let followed: HashSet<FileId> = known.followed.iter().map(|source| source.id).collect();
    let mut seen = HashSet::new();
    let mut candidates = Vec::new();
    for found in known.newcomers.iter().chain(pasts.values().flatten()) {
        if followed.contains(&id_of(found)) || !seen.insert(id_of(found)) {
            continue;
        }
        // One that cannot be opened is left for a later look.
        if let Ok(file) = File::open(&found.path) {
            let path = displayed(&found.path);
            candidates.push(Candidate { found: found.clone(), file, path, record: None });
        }
    }
    let suspects: Vec<_> = candidates
        .iter()
        .map(|candidate| Suspect {
            device: candidate.found.device,
            inode: candidate.found.inode,
            path: &candidate.path,
        })
        .collect();
    let held = assign(&suspects, &known.records, |file, record| {
        agrees(&candidates[file].file, &known.records[record].1)
    });
    for (candidate, record) in candidates.iter_mut().zip(held) {
        candidate.record = record;
    }
    candidates.into_iter().map(|candidate| (id_of(&candidate.found), candidate)).collect()
}

/// Reads what was rotated away from `path` before what is there now.
fn plan_past(
    known: &Known,
    candidates: &HashMap<FileId, Candidate>,
    path: &Path,
    beside: &[Found],
    plan: &mut Plan,
    done: &mut HashSet<FileId>,
) {
    let text = displayed(path);
    let at_path = known.newcomers.iter().find(|found| found.path == path).map(id_of);
    let at_path = at_path.and_then(|id| candidates.get(&id));
    let of_this_path = |id: &FileId| match candidates.get(id) {
        Some(candidate) => candidate.record.is_some_and(|index| known.records[index].1.details.path == text),
        None => known.followed.iter().any(|source| source.id == *id && source.path == path),
    };
    // Newest first: what comes before the first known one was never seen. Where the
    // file at the path is known itself, there can be none.
    let is_new = at_path.is_some_and(|candidate| candidate.record.is_none()) || at_path.is_none();
    let unseen = match beside.iter().position(|found| of_this_path(&id_of(found))) {
        Some(newest) if is_new => newest,
        _ => 0,
    };
    for (age, found) in beside.iter().enumerate().rev() {
        let Some(candidate) = candidates.get(&id_of(found)) else { continue };
        let is_known = of_this_path(&id_of(found));
        if is_known || (age < unseen && candidate.record.is_none()) {
            done.insert(id_of(found));
            launch(known, candidate, path, plan);
        }
    }
    if let Some(candidate) = at_path {
        done.insert(id_of(&candidate.found));
        launch(known, candidate, path, plan);
    }
}

fn launch(known: &Known, candidate: &Candidate, path: &Path, plan: &mut Plan) {
    let record = candidate.record.map(|index| known.records[index].clone());
    let is_open = match &record {
        // What was read to its end and is not in its place needs nobody any more.
        Some((_, record)) => candidate.found.path == path || candidate.found.len > record.position,
        None => !is_copy(known, candidate),
    };
    if is_open {
        plan.launches.push(Launch { found: candidate.found.clone(), path: path.to_owned(), record });
    }
}

/// Whether a file is the copy that copytruncate has made, or is making, of one that
/// is known: not a source, but where to look when the original is truncated.
fn is_copy(known: &Known, candidate: &Candidate) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let own = name(&candidate.found.path).unwrap_or_default();
    let originals = known.followed.iter().map(|source| &source.confirmed);
    originals.chain(known.records.iter().map(|(_, record)| record)).any(|original| {
        let beside =
            name(Path::new(&original.details.path)).is_some_and(|name| own != name && own.starts_with(&name));
        beside && is_weighty(original) && agrees(&candidate.file, original)
    })
}

fn is_active(record: &Record) -> bool {
    record.details.state == SourceState::Active
}

pub(super) fn id_of(found: &Found) -> FileId {
    (found.device, found.inode)
}

/// A path as records and messages write it: bytes that are not UTF-8 as `\xNN`.
pub(super) fn displayed(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}
