//! The open files among which known sources are looked for.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use super::{
    copies::{Original, is_intact},
    known::{Followed, Known},
};
use crate::{
    record::Record,
    tail::{
        discover::{FileId, Found, displayed, id_of},
        identity::{By, Suspect, agrees, assign},
        packed::Shelf,
        reader::Reader,
        trail::PRINT_BYTES,
    },
};

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

/// What a file is compared by besides what its reader has.
struct About {
    path: String,
    bases: Vec<String>,
    head: Vec<u8>,
}

/// All of them, by device and inode.
#[derive(Debug)]
pub(super) struct Candidates {
    files: HashMap<FileId, Candidate>,
    /// Those that are not compressed, as they were found.
    in_order: Vec<FileId>,
    /// By record. None: it is kept for a file that is not whole yet.
    held: HashMap<usize, Option<FileId>>,
    newcomers: HashMap<PathBuf, Found>,
    /// Indices into the known records.
    by_path: HashMap<String, Vec<usize>>,
    /// Files that were renamed or removed since they were found, or are not whole yet.
    moving: HashSet<FileId>,
    unreadable: Vec<(PathBuf, io::Error)>,
    /// Compressed files of which a part cannot be read.
    damaged: Vec<(PathBuf, io::Error)>,
    /// Indices into the followed sources.
    followed: HashMap<FileId, usize>,
    followed_of: HashMap<PathBuf, Vec<usize>>,
}

impl Candidate {
    fn new(found: &Found, reader: Reader) -> Self {
        Self { found: found.clone(), reader, record: None, copy_of: None }
    }

    fn suspect<'a>(&self, About { path, bases, head }: &'a About) -> Suspect<'a> {
        let Reader { device, inode, created_ns, .. } = self.reader;
        Suspect { device, inode, created_ns, path, bases, head }
    }

    /// Its size now, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.reader.len().unwrap_or(0)
    }
}

impl Candidates {
    /// Opens every file that may be a known source, and says which one it is, as far as device
    /// and inode tell; of those that are compressed [none](Self::open_packed). Blocks.
    pub(super) fn open(known: &Known, pasts: &BTreeMap<PathBuf, Vec<Found>>) -> Self {
        let mut all = Self::of(known);
        let mut seen = HashSet::new();
        let beside = pasts.values().flatten().filter(|found| !found.is_compressed());
        for found in known.newcomers.iter().chain(beside) {
            let id = id_of(found);
            if !all.followed.contains_key(&id)
                && seen.insert(id)
                && let Some(reader) = all.check(found, Reader::open(&found.path))
            {
                all.files.insert(id, Candidate::new(found, reader));
                all.in_order.push(id);
            }
        }
        all.assign(By::Inode, known);
        all
    }

    fn of(known: &Known) -> Self {
        let mut by_path: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, (_, record)) in known.records.iter().enumerate() {
            by_path.entry(record.details.path.clone()).or_default().push(index);
        }
        let (mut followed, mut followed_of) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (index, source) in known.followed.iter().enumerate() {
            followed.insert(source.id, index);
            followed_of.entry(source.path.clone()).or_default().push(index);
        }
        Self {
            files: HashMap::new(),
            in_order: Vec::new(),
            held: HashMap::new(),
            newcomers: known.newcomers.iter().map(|found| (found.path.clone(), found.clone())).collect(),
            by_path,
            moving: HashSet::new(),
            unreadable: Vec::new(),
            damaged: Vec::new(),
            followed,
            followed_of,
        }
    }

    /// Says of files that hold nothing yet what they hold, of those that are not compressed.
    /// Blocks.
    pub(super) fn assign(&mut self, by: By, known: &Known) {
        let files = self.in_order.iter().filter_map(|id| self.files.get(id)).filter(|it| it.record.is_none());
        let files: Vec<&Candidate> = files.collect();
        let head_bytes = if by == By::Content { PRINT_BYTES } else { 0 };
        let heads = files.iter().map(|file| file.reader.head(head_bytes).unwrap_or_default());
        let bases = |file: &&Candidate| match by {
            By::Inode => Vec::new(),
            By::Content => known.bases(&file.found.path).iter().map(|base| displayed(base)).collect(),
        };
        let names = files.iter().map(|file| displayed(&file.found.path)).zip(files.iter().map(bases));
        let about: Vec<_> =
            names.zip(heads).map(|((path, bases), head)| About { path, bases, head }).collect();
        let suspects: Vec<_> = files.iter().zip(&about).map(|(file, about)| file.suspect(about)).collect();
        let agrees = |file: usize, record: usize| agrees(&files[file].reader, &known.records[record].1);
        let records = assign(by, &suspects, &known.records, self.held.keys().copied().collect(), agrees);
        let ids: Vec<_> = files.iter().map(|file| id_of(&file.found)).collect();
        for (id, record) in ids.into_iter().zip(records) {
            if let Some(record) = record {
                self.give(id, record);
            }
        }
    }

    /// Takes an opened file, if it is the one that was found.
    fn check(&mut self, found: &Found, opened: io::Result<Reader>) -> Option<Reader> {
        match opened {
            Ok(reader) if (reader.device, reader.inode) == id_of(found) => return Some(reader),
            Ok(_) => drop(self.moving.insert(id_of(found))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(self.moving.insert(id_of(found))),
            Err(error) => self.unreadable.push((found.path.clone(), error)),
        }
        None
    }

    /// Opens a compressed file. Blocks.
    pub(super) fn open_packed(&mut self, found: &Found, memory: &Shelf) -> Option<Candidate> {
        let opened = Reader::open_packed(found, memory);
        self.check(found, opened).map(|reader| Candidate::new(found, reader))
    }

    /// Adds a compressed file of which is known what it is.
    pub(super) fn add(&mut self, candidate: Candidate) {
        let id = id_of(&candidate.found);
        self.held.extend(candidate.record.map(|record| (record, Some(id))));
        self.files.insert(id, candidate);
    }

    /// Lets a file hold a record.
    pub(super) fn give(&mut self, id: FileId, record: usize) {
        if let Some(candidate) = self.files.get_mut(&id) {
            candidate.record = Some(record);
            self.held.insert(record, Some(id));
        }
    }

    /// Keeps a record from the others for now: a file may hold it when that is whole.
    pub(super) fn keep_free(&mut self, record: usize) {
        self.held.insert(record, None);
    }

    /// Notes that a file is not whole yet.
    pub(super) fn is_unfinished(&mut self, found: &Found) {
        self.moving.insert(id_of(found));
    }

    /// Notes that a part of a file cannot be read.
    pub(super) fn is_damaged(&mut self, found: &Found, why: String) {
        self.damaged.push((found.path.clone(), io::Error::other(why)));
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

    /// The file that was found under this path.
    pub(super) fn named(&self, path: &Path) -> Option<&Candidate> {
        self.files.values().find(|candidate| candidate.found.path == path)
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
        let candidate = self.files.get(&identity.file()).filter(|it| !it.found.is_packed())?;
        candidate.reader.is_that_of(identity).then_some(candidate.found.path.as_path())
    }

    /// The file that holds a record and has its device and inode; none that is compressed.
    pub(super) fn holder_of(&self, known: &Known, record: usize) -> Option<&Candidate> {
        let identity = &known.records[record].1.details.identity;
        let holder = self.files.get(&identity.file()).filter(|it| it.record == Some(record));
        holder.filter(|it| !it.found.is_packed())
    }

    /// The file that holds a record, and does not have the device and inode of that.
    pub(super) fn heir_of(&self, known: &Known, record: usize) -> Option<&Candidate> {
        let id = self.held.get(&record).copied().flatten();
        let own_id = known.records[record].1.details.identity.file();
        id.filter(|id| *id != own_id).and_then(|id| self.files.get(&id))
    }

    /// The index of the source that follows a file.
    pub(super) fn follower_of(&self, found: &Found) -> Option<usize> {
        self.followed.get(&id_of(found)).copied()
    }

    /// The indices of the sources of a path that are followed.
    pub(super) fn followed_of(&self, path: &Path) -> &[usize] {
        self.followed_of.get(path).map_or(&[], Vec::as_slice)
    }

    /// Whether a file could not be opened.
    pub(super) fn is_unreadable(&self, found: &Found) -> bool {
        self.unreadable.iter().any(|(path, _)| *path == found.path)
    }

    /// What cannot be read, or not all of it.
    pub(super) fn into_problems(self) -> Vec<(PathBuf, io::Error)> {
        self.unreadable.into_iter().chain(self.damaged).collect()
    }

    /// Whether a file holds this record.
    pub(super) fn hold(&self, record: usize) -> bool {
        self.held.contains_key(&record)
    }

    /// Whether the files of a path are what they were when they were looked at: none was
    /// renamed or is not whole yet, none that is followed was truncated unnoticed, and what is
    /// at the path can be read. Else they cannot be told apart. Blocks.
    pub(super) fn are_settled(&self, known: &Known, path: &Path, beside: &[Found]) -> bool {
        beside.iter().all(|found| !self.moving.contains(&id_of(found)))
            && self.followed_of(path).iter().all(|&source| is_as_read(&known.followed[source]))
            && self.at(path).is_none_or(|found| self.get(found).is_some())
    }
}

/// False for a file that was truncated, which its source will notice.
fn is_as_read(source: &Followed) -> bool {
    is_intact(&source.reader, source.read)
}
