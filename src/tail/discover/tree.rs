//! What the last looks found in the folders that can hold something that matches. It is
//! kept, so that a folder that changes can be looked at alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    io, mem,
    ops::Bound,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    Found, MAX_FILES, MAX_FOLDERS, Patterns, Problem, Scan,
    pattern::{Pattern, States},
    walk::{Listing, Walk},
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

/// What came out of a look.
#[derive(Debug, Default)]
pub struct Looked {
    /// Files that were there before, and have another size or time of change now.
    pub changed: Vec<PathBuf>,
    /// What could not be looked at. The rest of the look is good.
    pub problems: Vec<Problem>,
    /// How many folders were listed.
    pub folders: u64,
    /// How many files and links were looked at.
    pub files: u64,
}

/// The folders of one pattern.
#[derive(Debug)]
struct Branch {
    input: usize,
    pattern: Pattern,
    excludes: Vec<Pattern>,
    folders: BTreeMap<PathBuf, Folder>,
    /// Where something has to appear before the base folder can be reached.
    above: Option<(PathBuf, bool)>,
}

/// What is in a folder, by name.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) id: (u64, u64),
    pub(super) states: States,
    pub(super) files: Vec<Kept>,
    /// Names of folders that are walked.
    pub(super) below: Vec<OsString>,
    /// Changes in it are reported.
    pub(super) is_watched: bool,
}

/// A file, as the last look saw it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) name: OsString,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) len: u64,
    pub(super) modified: SystemTime,
    /// Where it really is, if `name` is a link.
    pub(super) real: Option<PathBuf>,
}

/// How much may be kept, and how much is.
#[derive(Debug)]
pub(super) struct Room {
    max_files: usize,
    max_folders: usize,
    pub(super) files: usize,
    folders: usize,
    said_files: bool,
    said_folders: bool,
}

impl Room {
    pub(super) fn files_left(&self) -> usize {
        self.max_files.saturating_sub(self.files)
    }

    /// Why files are left out: said the first time.
    pub(super) fn say_files(&mut self, path: &Path) -> Option<Problem> {
        let why = format!("left out, like others: max_files ({}) are matched already", self.max_files);
        say_once(&mut self.said_files, path, why)
    }

    /// Why a folder is left out, if it has to be.
    fn folder_left_out(&mut self, path: &Path) -> Result<(), Option<Problem>> {
        if self.folders < self.max_folders {
            return Ok(());
        }
        let why = format!("left out, like others: max_folders ({}) are walked already", self.max_folders);
        Err(say_once(&mut self.said_folders, path, why))
    }

    fn give_back(&mut self, folder: &Folder) {
        self.files -= folder.files.len();
        self.folders -= 1;
    }
}

fn say_once(said: &mut bool, path: &Path, why: String) -> Option<Problem> {
    let is_said = mem::replace(said, true);
    (!is_said).then(|| Problem { path: path.to_owned(), error: io::Error::other(why) })
}

impl Tree {
    /// A tree of these inputs, of which nothing is known yet.
    pub fn new<'a>(inputs: impl IntoIterator<Item = &'a Patterns>) -> Self {
        Self::within(inputs, MAX_FILES, MAX_FOLDERS)
    }

    /// The same with other bounds.
    pub(super) fn within<'a>(
        inputs: impl IntoIterator<Item = &'a Patterns>,
        max_files: usize,
        max_folders: usize,
    ) -> Self {
        let branches = inputs.into_iter().enumerate().flat_map(|(input, patterns)| {
            patterns.patterns.iter().map(move |pattern| Branch {
                input,
                pattern: pattern.clone(),
                excludes: patterns.excludes.clone(),
                folders: BTreeMap::new(),
                above: None,
            })
        });
        let (files, folders, said_files, said_folders) = (0, 0, false, false);
        let room = Room { max_files, max_folders, files, folders, said_files, said_folders };
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

    /// All files, each with the index of its input: in the order of the patterns, then by
    /// folder and name. One that is reached by several paths is there once, under the first.
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

    /// Whether something could appear or change in this folder that matters.
    pub fn needs(&self, folder: &Path) -> bool {
        let is_above = |branch: &Branch| branch.above.as_ref().is_some_and(|(above, _)| above == folder);
        self.targets.contains_key(folder)
            || self.branches.iter().any(|branch| branch.folders.contains_key(folder) || is_above(branch))
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

impl Branch {
    fn look(&mut self, room: &mut Room, walk: &mut Walk<'_>) {
        let before = mem::take(&mut self.folders);
        for folder in before.values() {
            room.give_back(folder);
        }
        let base = self.pattern.base().to_owned();
        self.above = None;
        match walk.reach(&base) {
            Ok(_) if base.ancestors().any(|path| self.is_excluded(path)) => {}
            Ok(metadata) => {
                self.walk(vec![(base, self.pattern.start(), id_of(&metadata))], &before, room, walk);
            }
            Err(above) => self.above = above,
        }
    }

    fn look_at(&mut self, path: &Path, room: &mut Room, walk: &mut Walk<'_>) {
        if self.above.as_ref().is_some_and(|(above, _)| above == path) {
            return self.look(room, walk);
        }
        let Some(folder) = self.folders.get(path) else { return };
        let states = folder.states;
        let there = fs::metadata(path).ok().filter(Metadata::is_dir);
        let Some(metadata) = there else {
            if path == self.pattern.base() {
                return self.look(room, walk);
            }
            self.remove(path, room);
            // It may have been reached through a link, which stands there still.
            return path.parent().into_iter().for_each(|above| self.look_at(above, room, walk));
        };
        let Some(before) = self.folders.remove(path) else { return };
        room.give_back(&before);
        let listing = self.list(path, states, Some(&before), room, walk);
        let below = self.keep(path, id_of(&metadata), states, listing, room);
        let stays: HashSet<&OsStr> = below.iter().filter_map(|(path, ..)| path.file_name()).collect();
        for name in before.below.iter().filter(|name| !stays.contains(name.as_os_str())) {
            self.remove(&path.join(name), room);
        }
        let is_new = |(path, states, id): &(PathBuf, States, (u64, u64))| {
            self.folders.get(path).is_none_or(|folder| folder.id != *id || folder.states != *states)
        };
        let anew: Vec<_> = below.into_iter().filter(is_new).collect();
        for (path, ..) in &anew {
            self.remove(path, room);
        }
        self.walk(anew, &BTreeMap::new(), room, walk);
    }

    /// Lists folders and all below them.
    fn walk(
        &mut self,
        mut pending: Vec<(PathBuf, States, (u64, u64))>,
        before: &BTreeMap<PathBuf, Folder>,
        room: &mut Room,
        walk: &mut Walk<'_>,
    ) {
        pending.reverse();
        while let Some((path, states, id)) = pending.pop() {
            if let Err(problem) = room.folder_left_out(&path) {
                walk.problems.extend(problem);
                return;
            }
            let listing = self.list(&path, states, before.get(&path), room, walk);
            let below = self.keep(&path, id, states, listing, room);
            // The last one is walked next: that has to be the first by name.
            pending.extend(below.into_iter().rev());
        }
    }

    fn list(
        &self,
        path: &Path,
        states: States,
        before: Option<&Folder>,
        room: &mut Room,
        walk: &mut Walk<'_>,
    ) -> Listing {
        let is_excluded = |path: &Path| self.is_excluded(path);
        let mut listing = walk.list(&self.pattern, &is_excluded, path, states);
        if listing.files.len() > room.files_left() {
            let left_out = listing.files.split_off(room.files_left());
            let problem = left_out.first().and_then(|file| room.say_files(&path.join(&file.name)));
            walk.problems.extend(problem);
        }
        for (file, was) in before.into_iter().flat_map(|before| changed(&before.files, &listing.files)) {
            if (file.len, file.modified) != (was.len, was.modified) {
                walk.changed.push(path.join(&file.name));
            }
        }
        listing
    }

    /// Keeps what was listed; returns what is below.
    fn keep(
        &mut self,
        path: &Path,
        id: (u64, u64),
        states: States,
        listing: Listing,
        room: &mut Room,
    ) -> Vec<(PathBuf, States, (u64, u64))> {
        let Listing { files, below, is_watched } = listing;
        room.files += files.len();
        room.folders += 1;
        let names = below.iter().filter_map(|(path, ..)| path.file_name().map(OsStr::to_owned)).collect();
        let folder = Folder { id, states, files, below: names, is_watched };
        self.folders.insert(path.to_owned(), folder);
        below
    }

    /// Forgets a folder and all below it.
    fn remove(&mut self, path: &Path, room: &mut Room) {
        let from = (Bound::Included(path), Bound::Unbounded);
        let within = self.folders.range::<Path, _>(from).take_while(|(below, _)| below.starts_with(path));
        let gone: Vec<PathBuf> = within.map(|(path, _)| path.clone()).collect();
        for path in gone {
            if let Some(folder) = self.folders.remove(&path) {
                room.give_back(&folder);
            }
        }
    }

    fn is_excluded(&self, path: &Path) -> bool {
        self.excludes.iter().any(|exclude| exclude.matches(path))
    }
}

/// Files that are in both, by name and inode; both are sorted by name.
fn changed<'a>(before: &'a [Kept], now: &'a [Kept]) -> impl Iterator<Item = (&'a Kept, &'a Kept)> {
    now.iter().filter_map(|file| {
        let at = before.binary_search_by(|was| was.name.cmp(&file.name)).ok()?;
        let was = before.get(at)?;
        ((was.device, was.inode) == (file.device, file.inode)).then_some((file, was))
    })
}

pub(super) fn id_of(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

impl Kept {
    fn found(&self, folder: &Path) -> Found {
        let Self { device, inode, len, modified, .. } = *self;
        Found { path: folder.join(&self.name), device, inode, len, modified }
    }
}
