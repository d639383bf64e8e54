//! Which files have to be looked into together, where not all can be.
//!
//! To find out what a file is, those that may be its rotated versions are opened too. So
//! whole families are looked into: a path, and all whose names say that they come from it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use crate::tail::{
    discover::{FileId, Found, above, bases, displayed, id_of, siblings},
    lineage::Known,
};

/// What was left for another look.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    pub(super) newcomers: Vec<Found>,
    pub(super) deserted: BTreeSet<PathBuf>,
    /// All families were tried: the next round begins.
    pub(super) is_next_round: bool,
}

/// The path that a file's name goes back to.
pub(super) fn root(path: &Path) -> PathBuf {
    let mut root = path.to_owned();
    while let Some(base) = bases(&root).into_iter().min_by_key(|base| base.as_os_str().len()) {
        root = base;
    }
    root
}

/// Leaves as many families as `room` files may be opened for, and one at least; those in
/// `tried` come last. Blocks: it lists folders.
pub(super) fn narrow(known: &mut Known, room: usize, tried: &HashSet<FileId>) -> LeftOut {
    // What was rotated into another folder belongs to where it was, as its record says.
    let records = known.records.iter().map(|(_, record)| &record.details);
    let was_at: HashMap<FileId, PathBuf> =
        records.map(|details| (details.identity.file(), root(Path::new(&details.path)))).collect();
    let followed = known.followed.iter().map(|source| root(&source.path));
    let homes: HashSet<PathBuf> = was_at.values().cloned().chain(followed).collect();
    let home = |path: &Path| {
        let base = root(path);
        above(&base).filter(|above| homes.contains(above)).unwrap_or(base)
    };
    // The name counts first: a new file can have the inode of one that is gone.
    let family_of = |found: &Found| {
        let home = home(&found.path);
        if homes.contains(&home) { home } else { was_at.get(&id_of(found)).cloned().unwrap_or(home) }
    };
    let mut families: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for found in &known.newcomers {
        families.entry(family_of(found)).or_default().push(found.path.clone());
    }
    for path in &known.deserted {
        families.entry(home(path)).or_default().push(path.clone());
    }
    let paths = known.newcomers.iter().map(|found| &found.path).chain(&known.deserted);
    let roots: BTreeSet<PathBuf> = paths.cloned().chain(families.keys().cloned()).collect();
    let beside = siblings(&roots);
    let followed: HashSet<FileId> = known.followed.iter().map(|source| source.id).collect();
    let ids: BTreeMap<&Path, FileId> =
        known.newcomers.iter().map(|found| (found.path.as_path(), id_of(found))).collect();
    let mut sized: Vec<_> = families
        .iter()
        .map(|(root, paths)| {
            let own = paths.iter().filter_map(|path| ids.get(path.as_path()).copied());
            let own: HashSet<FileId> = own.collect();
            let is_tried = !own.is_empty() && own.iter().all(|id| tried.contains(id));
            let others = paths.iter().chain([root]).filter_map(|path| beside.get(path)).flatten().map(id_of);
            let all: HashSet<FileId> = own.into_iter().chain(others).collect();
            (is_tried, all.difference(&followed).count(), root)
        })
        .collect();
    sized.sort();
    let is_next_round = sized.iter().all(|(is_tried, ..)| *is_tried);
    let mut left = room;
    let mut chosen: HashSet<&Path> = HashSet::new();
    for (_, size, root) in &sized {
        if *size <= left || chosen.is_empty() {
            left = left.saturating_sub(*size);
            chosen.insert(root);
        }
    }
    let is_chosen = |path: &Path| chosen.contains(home(path).as_path());
    let newcomers: Vec<Found> =
        known.newcomers.extract_if(.., |found| !chosen.contains(family_of(found).as_path())).collect();
    let (searched, deserted) =
        std::mem::take(&mut known.deserted).into_iter().partition(|path| is_chosen(path));
    known.deserted = searched;
    // What belongs to those must not be taken for another's.
    let left_ids: HashSet<FileId> = newcomers.iter().map(id_of).collect();
    let left_paths: HashSet<String> = newcomers.iter().map(|found| displayed(&found.path)).collect();
    known.records.retain(|(_, record)| {
        let details = &record.details;
        is_chosen(Path::new(&details.path))
            || !(left_ids.contains(&details.identity.file()) || left_paths.contains(&details.path))
    });
    LeftOut { newcomers, deserted, is_next_round }
}
