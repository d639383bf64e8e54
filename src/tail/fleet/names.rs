//! Files that were found under several paths, and by which of them each goes.
//!
//! A file that is followed keeps the path that it is known by, as long as it has that: what
//! rotates it does so under that path, most often.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::{Fleet, member::Member};
use crate::{
    record::{Record, SourceKey, Topic},
    tail::{
        discover::{FileId, Found, displayed, id_of},
        lineage::Followed,
    },
};

/// Their paths in the order in which they were found, each with the index of its input.
#[derive(Debug, Default)]
pub(super) struct Names {
    of: HashMap<FileId, Vec<(usize, PathBuf)>>,
    ids: HashMap<PathBuf, FileId>,
}

/// Paths that are known of sources, as records write them.
#[derive(Debug, Default)]
struct KnownPaths<'a> {
    of_files: HashSet<(FileId, &'a str)>,
    all: HashSet<&'a str>,
}

impl Names {
    /// Leaves each file once, under its first path.
    fn take(files: &mut Vec<(usize, Found)>) -> Self {
        let mut seen = HashSet::with_capacity(files.len());
        let again = files.iter().map(|(_, found)| id_of(found)).filter(|id| !seen.insert(*id));
        let several: HashSet<FileId> = again.collect();
        let mut names = Self::default();
        if several.is_empty() {
            return names;
        }
        files.retain(|(input, found)| {
            let id = id_of(found);
            if !several.contains(&id) {
                return true;
            }
            let paths = names.of.entry(id).or_default();
            let is_first = paths.is_empty();
            // One path can be found by several patterns.
            if names.ids.insert(found.path.clone(), id) != Some(id) {
                paths.push((*input, found.path.clone()));
            }
            is_first
        });
        names
    }

    fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Which file has this path among others.
    pub(super) fn id_of(&self, path: &Path) -> Option<FileId> {
        self.ids.get(path).copied()
    }

    /// The paths of a file that has several.
    fn of(&self, id: FileId) -> impl Iterator<Item = &Path> {
        self.of.get(&id).into_iter().flatten().map(|(_, path)| path.as_path())
    }

    /// Lets a file that is followed go by the first of these paths that it has.
    fn keep(&self, file: &mut (usize, Found), known: [&Path; 2]) {
        let names = self.of.get(&id_of(&file.1)).map_or(&[][..], Vec::as_slice);
        let kept = known.iter().find_map(|known| names.iter().find(|(_, path)| path == known));
        if let Some((input, path)) = kept {
            file.0 = *input;
            file.1.path.clone_from(path);
        }
    }

    /// Lets a new file go by a path that is known; else, of those in one folder, by the
    /// shortest: the others are made of it, most often. Only paths of its own input that
    /// `is_allowed` count.
    fn choose(&self, found: &mut Found, known: &KnownPaths<'_>, is_allowed: impl Fn(&Path) -> bool) {
        let id = id_of(found);
        let Some(names) = self.of.get(&id) else { return };
        let own_input = names.first().map(|(input, _)| *input);
        let names = names.iter().filter(|(input, path)| Some(*input) == own_input && is_allowed(path));
        let names: Vec<(&Path, String)> = names.map(|(_, path)| (path.as_path(), displayed(path))).collect();
        let is_its = |text: &str| known.of_files.contains(&(id, text));
        let is_known = |text: &str| known.all.contains(text);
        let by = |is: &dyn Fn(&str) -> bool| names.iter().find(|(_, text)| is(text)).map(|(path, _)| *path);
        let beside = names.iter().filter(|(path, _)| path.parent() == found.path.parent());
        let shortest = beside.map(|(path, _)| *path).min_by_key(|path| path.as_os_str().len());
        if let Some(path) = by(&is_its).or_else(|| by(&is_known)).or(shortest) {
            found.path = path.to_owned();
        }
    }
}

impl Fleet {
    /// Leaves each file once: under the path that it is known by, where it has several.
    pub(super) fn name(&mut self, files: &mut Vec<(usize, Found)>) {
        self.names = Names::take(files);
        if self.names.is_empty() {
            return;
        }
        for file in files {
            let id = id_of(&file.1);
            if let Some(Member { live, .. }) = self.members.get(&id) {
                self.names.keep(file, [&live.path, &live.place]);
            } else if let Some(closed) = self.bench.get(id) {
                self.names.keep(file, [&closed.path, &closed.found.path]);
            }
        }
    }

    /// Lets newcomers that have several paths go by one that is known.
    pub(super) fn name_newcomers(
        &self,
        topic: &Topic,
        newcomers: &mut [Found],
        records: &[(SourceKey, Record)],
    ) {
        if self.names.is_empty() {
            return;
        }
        let details = || records.iter().map(|(_, record)| &record.details);
        let of_files = details().map(|details| (details.identity.file(), details.path.as_str())).collect();
        let all = details().map(|details| details.path.as_str()).collect();
        let paths = KnownPaths { of_files, all };
        for found in newcomers.iter_mut().filter(|found| !self.bench.contains(id_of(found))) {
            self.names.choose(found, &paths, |path| self.inputs.cover(path, topic));
        }
    }

    /// The other paths of what has several, each with the path that this goes by.
    pub(super) fn also(&self, newcomers: &[Found], followed: &[Followed]) -> HashMap<PathBuf, PathBuf> {
        let newcomers = newcomers.iter().map(|found| (id_of(found), &found.path));
        let all = followed.iter().map(|source| (source.id, &source.path)).chain(newcomers);
        let others = all.flat_map(|(id, path)| {
            let others = self.names.of(id).filter(move |other| other != path);
            others.map(move |other| (other.to_owned(), path.clone()))
        });
        others.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn found(path: &str, inode: u64) -> (usize, Found) {
        let modified = SystemTime::UNIX_EPOCH;
        (0, Found { path: path.into(), device: 1, inode, len: 0, modified })
    }

    fn chosen(known: &KnownPaths<'_>) -> PathBuf {
        let mut files =
            ["/l/also-app.log", "/l/app.log", "/a", "/l/app.log"].map(|path| found(path, 7)).to_vec();
        let names = Names::take(&mut files);
        assert_eq!((files.len(), names.of((1, 7)).count()), (1, 3));
        names.choose(&mut files[0].1, known, |_| true);
        files.remove(0).1.path
    }

    #[test]
    fn a_new_file_goes_by_the_path_that_is_known_or_else_by_the_shortest_in_its_folder() {
        assert_eq!(chosen(&KnownPaths::default()), Path::new("/l/app.log"));
        let all = HashSet::from(["/a", "/l/also-app.log"]);
        let known = KnownPaths { all: all.clone(), ..KnownPaths::default() };
        assert_eq!(chosen(&known), Path::new("/l/also-app.log"));
        let of_files = HashSet::from([((1, 7), "/a"), ((1, 8), "/l/also-app.log")]);
        assert_eq!(chosen(&KnownPaths { of_files, all }), Path::new("/a"));
    }

    #[test]
    fn a_followed_file_keeps_its_path_for_as_long_as_it_has_it() {
        let mut files = vec![found("/0.log", 7), found("/a.log", 7), found("/b.log", 8)];
        let names = Names::take(&mut files);
        names.keep(&mut files[0], [Path::new("/gone.log"), Path::new("/a.log")]);
        names.keep(&mut files[1], [Path::new("/a.log"), Path::new("/0.log")]);
        let paths: Vec<_> = files.iter().map(|(_, found)| found.path.as_path()).collect();
        assert_eq!(paths, [Path::new("/a.log"), Path::new("/b.log")]);
        assert_eq!(
            (names.id_of(Path::new("/0.log")), names.id_of(Path::new("/b.log"))),
            (Some((1, 7)), None)
        );
    }
}
