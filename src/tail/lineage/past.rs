//! The files that were at a path before, as their names tell: those beside it, those beside
//! what it is a link to, and those where its rotated files go.
//!
//! Not here: which of them have to be read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use super::known::Known;
use crate::tail::discover::{Found, above, bases, id_of, is_older, newest_first, siblings};

/// For each path what was there before, the newest first.
pub(super) type Pasts = BTreeMap<PathBuf, Vec<Found>>;

/// What was at these paths, as names tell. Blocks.
pub(super) fn pasts(known: &Known, paths: &BTreeSet<PathBuf>) -> Pasts {
    let mut pasts = siblings(paths);
    let targets = targets(paths);
    let namesakes = targets.iter().filter_map(|(path, target)| namesake(path, target));
    let beside_targets = siblings(&targets.values().cloned().chain(namesakes).collect());
    for (path, target) in &targets {
        let mut beside = beside_targets.get(target).cloned().unwrap_or_default();
        // A link that is swapped leads to one version after the other. What is not older
        // than where it leads may be where it will lead next.
        let versions = namesake(path, target).and_then(|name| beside_targets.get(&name));
        beside.extend(versions.into_iter().flatten().filter(|it| is_older(path, it, target)).cloned());
        add(&mut pasts, path, beside);
    }
    let others: BTreeMap<_, _> = known.also.iter().filter(|(_, path)| paths.contains(*path)).collect();
    let beside_others = siblings(&others.keys().map(|other| (*other).clone()).collect());
    for (other, path) in others {
        add(&mut pasts, path, beside_others.get(other).cloned().unwrap_or_default());
    }
    let below = below(known, paths);
    let beside_those = siblings(&below.keys().cloned().collect());
    for (base, path) in &below {
        add(&mut pasts, path, beside_those.get(base).cloned().unwrap_or_default());
    }
    for (path, found) in set_apart(known, paths) {
        add(&mut pasts, &path, vec![found]);
    }
    pasts
}

/// Where in folders below theirs the paths would be, of which rotated files were found there
/// among those to be followed: then others can be there that are compressed, or not known
/// yet. Not where something has that name: these are its own.
fn below(known: &Known, paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, PathBuf> {
    let moved = known.followed.iter().filter(|source| !source.in_place).map(|source| &source.place);
    let bases = known.newcomers.iter().map(|found| &found.path).chain(moved).flat_map(|path| bases(path));
    let below = bases.filter_map(|base| Some((above(&base).filter(|path| paths.contains(path))?, base)));
    let below = below.filter(|(_, base)| fs::symlink_metadata(base).is_err());
    below.map(|(path, base)| (base, path)).collect()
}

/// Adds files to what was at a path. Blocks.
pub(super) fn add(pasts: &mut Pasts, path: &Path, more: Vec<Found>) {
    let itself = Found::at(path).ok().flatten().map(|found| id_of(&found));
    let past = pasts.entry(path.to_owned()).or_default();
    let mut there: HashMap<_, usize> = past.iter().map(id_of).zip(0..).collect();
    for found in more.into_iter().filter(|found| Some(id_of(found)) != itself) {
        match there.get(&id_of(&found)).and_then(|&at| past.get_mut(at)) {
            // Of its names the one that a rotation has given says how old it is.
            Some(same) if is_version(path, &found.path) && !is_version(path, &same.path) => *same = found,
            Some(_) => {}
            None => {
                there.insert(id_of(&found), past.len());
                past.push(found);
            }
        }
    }
    newest_first(path, past);
}

/// Whether a file is named like a rotated version of a path, in whatever folder.
fn is_version(path: &Path, rotated: &Path) -> bool {
    bases(rotated).iter().any(|base| base.file_name() == path.file_name())
}

/// Where the paths really lead that are links: what is there is rotated there, too.
fn targets(paths: &BTreeSet<PathBuf>) -> BTreeMap<PathBuf, PathBuf> {
    paths.iter().filter_map(|path| Some((path.clone(), target(path)?))).collect()
}

/// Where a path really leads, if it is a link. Blocks.
pub(super) fn target(path: &Path) -> Option<PathBuf> {
    // One that leads nowhere just now still says where to look.
    let beside = || fs::read_link(path).map(|target| path.with_file_name("").join(target));
    fs::canonicalize(path).or_else(|_| beside()).ok().filter(|target| target != path)
}

/// What has the name of a link where that leads to.
fn namesake(path: &Path, target: &Path) -> Option<PathBuf> {
    path.file_name().map(|name| target.with_file_name(name))
}

/// What is where the inputs say that rotated files go.
fn set_apart(known: &Known, paths: &BTreeSet<PathBuf>) -> Vec<(PathBuf, Found)> {
    let mut all = Vec::new();
    let newcomers: HashSet<_> = known.newcomers.iter().map(id_of).collect();
    for (patterns, rotated) in known.rotated.iter().filter(|_| !paths.is_empty()) {
        for found in rotated.scan().files {
            let mut names: HashSet<_> =
                bases(&found.path).iter().filter_map(|base| Some(base.file_name()?.to_owned())).collect();
            names.extend(found.unpacked_path().file_name().map(ToOwned::to_owned));
            let is_of = |path: &&PathBuf| {
                path.file_name().is_some_and(|name| names.contains(name))
                    && **path != found.path
                    && patterns.matches(path)
            };
            if !newcomers.contains(&id_of(&found)) {
                all.extend(paths.iter().filter(is_of).map(|path| (path.clone(), found.clone())));
            }
        }
    }
    all
}
