//! The open files among which known sources are looked for.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    copies::{Original, is_intact},
    discover::Found,
    identity::{Suspect, agrees, assign},
    lineage::{FileId, Followed, Known, displayed, id_of},
    reader::Reader,
};
use crate::record::Record;

/// A file that nobody follows, and the record that it holds.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) found: Found,
    pub(super) reader: Reader,
    /// An index into the known records.
    pub(super) record: Option<usize>,
    /// What became of the file that it is a copy of; none: it is no copy.
    pub(super) copy_of: Option<Original>,
}

/// All of them, by device and inode.
#[derive(Debug)]
pub(super) struct Candidates {
    files: HashMap<FileId, Candidate>,
    held: HashSet<usize>,
    newcomers: HashMap<PathBuf, Found>,
    /// Indices into the known records.
    by_path: HashMap<String, Vec<usize>>,
    /// Files that were renamed or removed since they were found.
    moving: HashSet<FileId>,
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Candidate {
    /// Its size now, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.reader.file().metadata().map_or(0, |metadata| metadata.len())
    }
}

impl Candidates {
    /// Opens every file that may be a known source, and says which one it is. Blocks.
    pub(super) fn open(known: &Known, pasts: &BTreeMap<PathBuf, Vec<Found>>) -> Self {
        let followed: HashSet<FileId> = known.followed.iter().map(|source| source.id).collect();
        let (mut seen, mut moving) = (HashSet::new(), HashSet::new());
        let (mut candidates, mut unreadable) = (Vec::new(), Vec::new());
        for found in known.newcomers.iter().chain(pasts.values().flatten()) {
            let id = id_of(found);
            if followed.contains(&id) || !seen.insert(id) {
                continue;
            }
            match Reader::open(&found.path) {
                Ok(reader) if (reader.device, reader.inode) == id => {
                    candidates.push(Candidate { found: found.clone(), reader, record: None, copy_of: None });
                }
                Ok(_) => drop(moving.insert(id)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => drop(moving.insert(id)),
                Err(error) => unreadable.push((found.path.clone(), error)),
            }
        }
        assign_records(known, &mut candidates);
        let held = candidates.iter().filter_map(|candidate| candidate.record).collect();
        let files = candidates.into_iter().map(|candidate| (id_of(&candidate.found), candidate)).collect();
        let newcomers = known.newcomers.iter().map(|found| (found.path.clone(), found.clone())).collect();
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (_, record)) in known.records.iter().enumerate() {
            by_path.entry(record.details.path.clone()).or_default().push(index);
        }
        Self { files, held, newcomers, by_path, moving, unreadable }
    }

    /// Finds out which of the files that are no known source are copies of such. Once: what
    /// follows from it holds when the originals are [settled](Self::are_settled) after it.
    pub(super) fn find_copies(&mut self, copy_of: impl Fn(&Self, &Candidate) -> Option<Original>) {
        let unknown = self.files.iter().filter(|(_, candidate)| candidate.record.is_none());
        let copies: Vec<_> = unknown.map(|(id, candidate)| (*id, copy_of(self, candidate))).collect();
        for (id, original) in copies {
            if let Some(candidate) = self.files.get_mut(&id) {
                candidate.copy_of = original;
            }
        }
    }

    pub(super) fn get(&self, found: &Found) -> Option<&Candidate> {
        self.files.get(&id_of(found))
    }

    /// The newcomer at a path.
    pub(super) fn at(&self, path: &Path) -> Option<&Found> {
        self.newcomers.get(path)
    }

    /// The records of a path, as records write it.
    pub(super) fn records_of(&self, path: &str) -> &[usize] {
        self.by_path.get(path).map_or(&[], Vec::as_slice)
    }

    /// Where the file is that once was the source of a record; it may have other content.
    pub(super) fn place_of(&self, record: &Record) -> Option<&Path> {
        let identity = &record.details.identity;
        let candidate = self.files.get(&identity.file())?;
        Some(candidate.found.path.as_path())
    }

    /// Whether a file holds this record.
    pub(super) fn hold(&self, record: usize) -> bool {
        self.held.contains(&record)
    }

    /// Whether the files of a path are what they were when they were looked at: they bear
    /// the same names, none that is followed was truncated unnoticed, and what is at the
    /// path can be read. Else they cannot be told apart. Blocks.
    pub(super) fn are_settled(&self, known: &Known, path: &Path, beside: &[Found], now: &[Found]) -> bool {
        let names = |found: &[Found]| -> HashSet<(PathBuf, FileId)> {
            found.iter().map(|found| (found.path.clone(), id_of(found))).collect()
        };
        beside.iter().all(|found| !self.moving.contains(&id_of(found)))
            && names(beside) == names(now)
            && known.followed.iter().filter(|source| source.path == path).all(is_as_read)
            && self.at(path).is_none_or(|found| self.get(found).is_some())
    }
}

/// False for a file that was truncated, which its source will notice.
fn is_as_read(source: &Followed) -> bool {
    is_intact(source.reader.file(), source.read)
}

fn assign_records(known: &Known, candidates: &mut [Candidate]) {
    let paths: Vec<_> = candidates.iter().map(|candidate| displayed(&candidate.found.path)).collect();
    let suspects: Vec<_> = candidates
        .iter()
        .zip(&paths)
        .map(|(candidate, path)| Suspect {
            device: candidate.found.device,
            inode: candidate.found.inode,
            path,
        })
        .collect();
    let held = assign(&suspects, &known.records, |file, record| {
        agrees(candidates[file].reader.file(), &known.records[record].1)
    });
    for (candidate, record) in candidates.iter_mut().zip(held) {
        candidate.record = record;
    }
}
