//! Looks for known files near a path that are not where rotated files of it are expected: in
//! the folder, those in it and beside it, and the same around the target of a link.
//!
//! A name alone says nothing here: it can be that of another log. A file has to be the known
//! one by device, inode and content; then the others of its folder that are named like
//! rotated versions count, too. A copy, such as a move to another file system makes, is
//! told by its name and all that was read or whole kilobytes of it, and only in the folder and those in it:
//! in a folder beside there may be a second installation with equal logs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsString,
    fs,
    os::unix::fs::DirEntryExt as _,
    path::{Path, PathBuf},
};

use super::{
    candidates::Candidates,
    discover::{Found, bases, siblings},
    identity::{agrees, is_weighty},
    lineage::{FileId, Known, displayed, id_of},
    past::{Pasts, target},
    reader::Reader,
    trail::PRINT_BYTES,
};
use crate::record::Record;

/// How many folders are searched.
const MAX_FOLDERS: usize = 256;

/// How many files in them are looked at.
const MAX_FILES: usize = 100_000;

/// Where the paths lead that are links.
type Targets<'a> = BTreeMap<&'a Path, PathBuf>;

/// Something known of a path of which no file was found.
struct Wanted<'a> {
    path: &'a Path,
    id: FileId,
    /// None for a file that is held open: its inode cannot be another's.
    record: Option<&'a Record>,
    /// Another file is it, as far as content tells, where this one is not found.
    is_held: bool,
}

/// What a search has come to.
struct Search<'a> {
    known: &'a Known,
    targets: &'a Targets<'a>,
    wanted: Vec<Wanted<'a>>,
    by_inode: HashMap<u64, Vec<usize>>,
    /// Those of which a copy may be found, by the names that this is made of.
    by_name: HashMap<OsString, Vec<usize>>,
    hits: Vec<(usize, Found)>,
    /// Emptied and moved, or made with an inode that was free again: a copy of what is wanted
    /// may be there all the same.
    emptied: Vec<(usize, Found)>,
    /// Files that have the right name, and what they may be.
    likely: Vec<(usize, PathBuf)>,
}

/// Finds files that were at paths and are not in their pasts. Blocks.
pub(super) fn search(known: &Known, candidates: &Candidates, pasts: &Pasts) -> Vec<(PathBuf, Vec<Found>)> {
    let wanted = wanted(known, candidates, pasts);
    if wanted.is_empty() {
        return Vec::new();
    }
    let paths: BTreeSet<&Path> = wanted.iter().map(|it| it.path).collect();
    let targets: Targets<'_> = paths.into_iter().filter_map(|path| Some((path, target(path)?))).collect();
    let mut search = Search::of(known, wanted, &targets);
    let mut left = MAX_FILES;
    for (folder, has_copies) in search.folders() {
        left = search.look_into(&folder, has_copies, left);
    }
    search.compare_likely();
    let emptied = std::mem::take(&mut search.emptied);
    search.hits.extend(emptied);
    let mut joined = BTreeSet::new();
    let mut all = Vec::new();
    for (index, found) in &search.hits {
        let path = search.wanted[*index].path;
        let expected = [Some(path), targets.get(path).map(PathBuf::as_path)];
        let folder = found.path.parent().unwrap_or(Path::new("/"));
        let mut files = vec![found.clone()];
        if !expected.iter().flatten().any(|at| at.parent() == Some(folder)) && joined.insert((path, folder)) {
            files.extend(search.named_like(path, folder));
        }
        all.push((path.to_owned(), files));
    }
    all
}

/// What is known of the paths and has no file among those that were found.
fn wanted<'a>(known: &'a Known, candidates: &Candidates, pasts: &'a Pasts) -> Vec<Wanted<'a>> {
    let there: HashSet<FileId> = pasts.values().flatten().chain(&known.newcomers).map(id_of).collect();
    let mut wanted = Vec::new();
    for (path, past) in pasts {
        // Under another name: it can have that of a rotated file, too.
        let is_beside = |index| {
            let holder = candidates.holder_of(known, index).map(|it| &it.found);
            holder
                .is_some_and(|found| found.path != *path && !past.iter().any(|it| id_of(it) == id_of(found)))
        };
        let followed = candidates.followed_of(path).iter().map(|&index| &known.followed[index]);
        let away = followed.filter(|source| !source.in_place && !there.contains(&source.id));
        wanted.extend(away.map(|source| Wanted { path, id: source.id, record: None, is_held: false }));
        for &index in candidates.records_of(&displayed(path)) {
            let record = &known.records[index].1;
            let is_held = candidates.heir_of(known, index).is_some();
            if record.position > 0 && (is_held || !candidates.hold(index) || is_beside(index)) {
                let id = record.details.identity.file();
                wanted.push(Wanted { path, id, record: Some(record), is_held });
            }
        }
    }
    wanted
}

/// Whether the hashes cover all that was read.
fn is_whole(record: &Record) -> bool {
    record.position < PRINT_BYTES as u64
}

/// The names that the log may have of which a file is named like a rotated version; its own
/// name too.
fn live_names(path: &Path) -> Vec<OsString> {
    let bases = bases(path);
    let all = bases.iter().map(PathBuf::as_path).chain([path]);
    all.filter_map(|base| base.file_name().map(ToOwned::to_owned)).collect()
}

impl<'a> Search<'a> {
    fn of(known: &'a Known, wanted: Vec<Wanted<'a>>, targets: &'a Targets<'a>) -> Self {
        let (mut by_inode, mut by_name) = (HashMap::<_, Vec<_>>::new(), HashMap::<_, Vec<_>>::new());
        for (index, it) in wanted.iter().enumerate() {
            by_inode.entry(it.id.1).or_default().push(index);
            if !it.is_held && it.record.is_some_and(|record| is_weighty(record) || is_whole(record)) {
                let names = [Some(it.path), targets.get(it.path).map(PathBuf::as_path)];
                for name in names.into_iter().flatten().filter_map(Path::file_name) {
                    by_name.entry(name.to_owned()).or_default().push(index);
                }
            }
        }
        Self {
            known,
            targets,
            wanted,
            by_inode,
            by_name,
            hits: Vec::new(),
            emptied: Vec::new(),
            likely: Vec::new(),
        }
    }

    /// Which folders to search, the nearest first, and whether copies may be in them.
    fn folders(&self) -> Vec<(PathBuf, bool)> {
        let paths: BTreeSet<&Path> = self.wanted.iter().map(|it| it.path).collect();
        let targets = paths.iter().filter_map(|path| Some(self.targets.get(*path)?.as_path()));
        let own: BTreeSet<&Path> = paths.iter().copied().chain(targets).filter_map(Path::parent).collect();
        let above: BTreeSet<&Path> = own.iter().filter_map(|folder| folder.parent()).collect();
        let inside = |folder: &Path| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            folders.map(|entry| entry.path()).collect::<Vec<_>>()
        };
        let near = own.iter().map(|folder| (*folder).to_owned()).chain(own.iter().flat_map(|it| inside(it)));
        let beside = above.iter().flat_map(|folder| inside(folder)).map(|folder| (folder, false));
        let mut seen = HashSet::new();
        let all = near.map(|folder| (folder, true)).chain(beside);
        all.filter(|(folder, _)| seen.insert(folder.clone())).take(MAX_FOLDERS).collect()
    }

    /// Looks at the names and inodes in a folder; returns how many may still be looked at.
    fn look_into(&mut self, folder: &Path, has_copies: bool, mut left: usize) -> usize {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(left) {
            left -= 1;
            let path = entry.path();
            for &index in self.by_inode.get(&entry.ino()).into_iter().flatten() {
                let found =
                    Found::at(&path).ok().flatten().filter(|found| id_of(found) == self.wanted[index].id);
                // An inode is given again, and a short beginning can be another log's.
                let is_likely = has_copies || self.is_heavy(index) || self.is_named_like(index, &path);
                let Some(found) = found.filter(|_| is_likely) else { continue };
                if self.is_it(index, &found) {
                    self.hits.push((index, found));
                } else if has_copies && !found.is_packed() && self.is_named_like(index, &path) {
                    self.emptied.push((index, found));
                }
            }
            if !has_copies || self.by_name.is_empty() {
                continue;
            }
            let own_name = path.file_name();
            for name in live_names(&path) {
                let indices = self.by_name.get(&name).into_iter().flatten();
                // Of little content a copy is told only when its name says so, too.
                let is_enough = |index: &&usize| self.is_heavy(**index) || own_name != Some(name.as_os_str());
                let likely: Vec<_> = indices.filter(is_enough).map(|index| (*index, path.clone())).collect();
                self.likely.extend(likely);
            }
        }
        left
    }

    /// Whether nothing but its own file can agree with what is wanted.
    fn is_heavy(&self, index: usize) -> bool {
        self.wanted[index].record.is_none_or(is_weighty)
    }

    /// Whether a file is named like rotated versions of what is wanted.
    fn is_named_like(&self, index: usize, path: &Path) -> bool {
        let wanted = self.wanted[index].path;
        let names = [wanted.file_name(), self.targets.get(wanted).and_then(|target| target.file_name())];
        live_names(path).iter().any(|name| names.contains(&Some(name.as_os_str())))
    }

    /// Whether a file with the right device and inode is what is wanted.
    fn is_it(&self, index: usize, found: &Found) -> bool {
        let Wanted { record: Some(record), is_held, .. } = self.wanted[index] else { return true };
        let opened = if found.is_packed() {
            Reader::open_packed(found, &self.known.shelf)
        } else {
            Reader::open(&found.path)
        };
        let identity = &record.details.identity;
        opened.is_ok_and(|reader| {
            let is_certain = identity.created_ns.is_some() && reader.created_ns == identity.created_ns;
            (reader.device, reader.inode) == id_of(found)
                && (is_certain || !is_held)
                && (identity.file() != id_of(found) || reader.is_that_of(identity))
                && agrees(&reader, record)
        })
    }

    /// Looks for copies of what was not found.
    fn compare_likely(&mut self) {
        let newcomers: HashSet<FileId> = self.known.newcomers.iter().map(id_of).collect();
        let mut hit: HashSet<usize> = self.hits.iter().map(|(index, _)| *index).collect();
        for (index, path) in std::mem::take(&mut self.likely) {
            if hit.contains(&index) {
                continue;
            }
            let found = Found::at(&path).ok().flatten();
            let found = found.filter(|found| !newcomers.contains(&id_of(found)));
            if let Some(found) = found.filter(|found| self.is_it(index, found)) {
                hit.insert(index);
                self.hits.push((index, found));
            }
        }
    }

    /// The files in a folder that are named like rotated versions of a path, or like itself.
    fn named_like(&self, path: &Path, folder: &Path) -> Vec<Found> {
        let Some(name) = path.file_name() else { return Vec::new() };
        let there = folder.join(name);
        let itself = Found::at(&there).ok().flatten();
        let newcomers: HashSet<FileId> = self.known.newcomers.iter().map(id_of).collect();
        let beside = siblings(&BTreeSet::from([there])).into_values().flatten();
        beside.chain(itself).filter(|found| !newcomers.contains(&id_of(found))).collect()
    }
}
