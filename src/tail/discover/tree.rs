//! What the last looks found in the folders that can hold something that matches. It is
//! kept, so that a folder that changes can be looked at alone.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::{
    branch::Branch,
    folder::Kept,
    found::{Found, Problem},
    patterns::Patterns,
    room::{MAX_FILES, MAX_FOLDERS, Room},
    walk::{Looked, Walk},
};

/// The folders of all inputs.
#[derive(Debug)]
pub struct Tree {
    branches: Vec<Branch>,
    room: Room,
    /// Folders in which files really are that were found through a link, and the folders
    /// of those links.
    targets: HashMap<PathBuf, BTreeSet<PathBuf>>,
}

/// What a scan came upon.
#[derive(Debug, Default)]
pub struct Scan {
    /// In the order of the patterns, then by folder and name. A file that is reached
    /// by several paths is there once, under the first.
    pub files: Vec<Found>,
    /// Where the files really are that were found through a link: real path → path.
    pub links: HashMap<PathBuf, PathBuf>,
    /// Folders in which something could appear or change that matters.
    /// Of a folder that is not there yet it is the nearest one above it that is.
    pub folders: Vec<PathBuf>,
    /// What could not be looked at. The rest of the scan is good.
    pub problems: Vec<Problem>,
}

impl Patterns {
    /// Looks for files now. This blocks, for as long as the disk takes.
    pub fn scan(&self) -> Scan {
        let mut tree = Tree::new([self]);
        let looked = tree.look(&|_| false);
        tree.scan(looked)
    }
}

impl Tree {
    /// A tree of these inputs, of which nothing is known yet.
    pub fn new<'a>(inputs: impl IntoIterator<Item = &'a Patterns>) -> Self {
        Self::within(inputs, MAX_FILES, MAX_FOLDERS)
    }

    /// Without what begins in folders that `leaves` names: these are the other tree.
    pub fn split(mut self, leaves: impl Fn(&Path) -> bool) -> (Self, Self) {
        let left = self.branches.extract_if(.., |branch| leaves(branch.base())).collect();
        let other = Self { branches: left, room: self.room.same(), targets: HashMap::new() };
        (self, other)
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// The same with other bounds.
    pub(super) fn within<'a>(
        inputs: impl IntoIterator<Item = &'a Patterns>,
        max_files: usize,
        max_folders: usize,
    ) -> Self {
        let branches = inputs.into_iter().enumerate().flat_map(|(input, patterns)| {
            patterns.patterns.iter().map(move |pattern| Branch::new(input, pattern, &patterns.excludes))
        });
        let room = Room::new(max_files, max_folders);
        Self { branches: branches.collect(), room, targets: HashMap::new() }
    }

    /// Looks at everything. `watch` is called for every folder before it is listed, and says
    /// whether changes in it will be reported. This blocks, for as long as the disk takes.
    pub fn look(&mut self, watch: &dyn Fn(&Path) -> bool) -> Looked {
        let mut walk = Walk::new(watch);
        for branch in &mut self.branches {
            branch.look(&mut self.room, &mut walk);
        }
        self.finish(walk)
    }

    /// Looks at what is right in these folders, and at all of what is new below them. Folders
    /// that are not of the tree are passed over. This blocks.
    pub fn look_at<'a>(
        &mut self,
        folders: impl IntoIterator<Item = &'a PathBuf>,
        watch: &dyn Fn(&Path) -> bool,
    ) -> Looked {
        let mut walk = Walk::new(watch);
        // Those above come first: what they take away or find anew needs no second look.
        let mut dirty: BTreeSet<&Path> = BTreeSet::new();
        for folder in folders {
            dirty.insert(folder);
            dirty.extend(self.targets.get(folder).into_iter().flatten().map(PathBuf::as_path));
        }
        for branch in &mut self.branches {
            for folder in &dirty {
                branch.look_at(folder, &mut self.room, &mut walk);
            }
        }
        self.finish(walk)
    }

    fn finish(&mut self, walk: Walk<'_>) -> Looked {
        self.targets.clear();
        for branch in &self.branches {
            for (path, folder) in &branch.folders {
                let real = folder.files.iter().filter_map(|file| file.real.as_deref()?.parent());
                for target in real {
                    self.targets.entry(target.to_owned()).or_default().insert(path.clone());
                }
            }
        }
        walk.into_looked()
    }

    /// All files under each of their paths, with the indices of the inputs: in the order of
    /// the patterns, then by folder and name.
    pub fn names(&self) -> Vec<(usize, Found)> {
        self.kept().map(|(input, folder, file)| (input, file.found(folder))).collect()
    }

    /// The same, but that one that is reached by several paths is there once, under the first.
    pub fn files(&self) -> Vec<(usize, Found)> {
        let mut seen = HashSet::with_capacity(self.room.files);
        let mut files = Vec::with_capacity(self.room.files);
        for (input, folder, file) in self.kept() {
            if seen.insert((file.device, file.inode)) {
                files.push((input, file.found(folder)));
            }
        }
        files
    }

    /// Where the files really are that were found through a link: real path → path.
    pub fn links(&self) -> HashMap<PathBuf, PathBuf> {
        let links =
            self.kept().filter_map(|(_, folder, file)| Some((file.real.clone()?, folder.join(&file.name))));
        // The first one counts, as with `files`.
        let mut by_real = HashMap::new();
        for (real, path) in links {
            by_real.entry(real).or_insert(path);
        }
        by_real
    }

    /// Folders in which changes are not reported.
    pub fn unwatched(&self) -> Vec<PathBuf> {
        let above = self.branches.iter().filter_map(|branch| branch.above.as_ref());
        let walked = self.branches.iter().flat_map(|branch| &branch.folders);
        let walked = walked.filter(|(_, folder)| !folder.is_watched).map(|(path, _)| path);
        let unwatched = above.filter(|(_, is_watched)| !is_watched).map(|(path, _)| path).chain(walked);
        unwatched.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Folders above all that is looked at: what comes or goes there can take its place.
    pub fn above(&self) -> BTreeSet<&Path> {
        self.branches.iter().flat_map(|branch| branch.base().ancestors().skip(1)).collect()
    }

    /// Whether something could appear or change in this folder that matters.
    pub fn needs(&self, folder: &Path) -> bool {
        self.targets.contains_key(folder)
            || self
                .branches
                .iter()
                .any(|branch| branch.folders.contains_key(folder) || branch.base().starts_with(folder))
    }

    fn kept(&self) -> impl Iterator<Item = (usize, &Path, &Kept)> {
        self.branches.iter().flat_map(|branch| {
            let folders = branch.folders.iter();
            folders.flat_map(|(path, folder)| {
                folder.files.iter().map(|file| (branch.input, path.as_path(), file))
            })
        })
    }

    /// Everything that is known now, of a tree with one input.
    pub(super) fn scan(&self, looked: Looked) -> Scan {
        let above = self.branches.iter().filter_map(|branch| Some(branch.above.as_ref()?.0.clone()));
        let walked = self.branches.iter().flat_map(|branch| branch.folders.keys().cloned());
        let folders: BTreeSet<_> = above.chain(walked).chain(self.targets.keys().cloned()).collect();
        Scan {
            files: self.files().into_iter().map(|(_, found)| found).collect(),
            links: self.links(),
            folders: folders.into_iter().collect(),
            problems: looked.problems,
        }
    }
}
