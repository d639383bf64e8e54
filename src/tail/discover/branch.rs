//! The folders of one pattern, as the last looks found them.

use std::{
    collections::{BTreeMap, HashSet},
    ffi::OsStr,
    fs::{self, Metadata},
    mem,
    ops::Bound,
    path::{Path, PathBuf},
};

use super::{
    folder::{Folder, Kept, id_of},
    pattern::{Pattern, States},
    room::Room,
    walk::{Listing, Walk},
};

/// The folders of one pattern.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) input: usize,
    pattern: Pattern,
    excludes: Vec<Pattern>,
    pub(super) folders: BTreeMap<PathBuf, Folder>,
    /// Where something has to appear before the base folder can be reached, and whether that
    /// is watched.
    pub(super) above: Option<(PathBuf, bool)>,
}

impl Branch {
    pub(super) fn new(input: usize, pattern: &Pattern, excludes: &[Pattern]) -> Self {
        let (pattern, excludes) = (pattern.clone(), excludes.to_owned());
        Self { input, pattern, excludes, folders: BTreeMap::new(), above: None }
    }

    pub(super) fn base(&self) -> &Path {
        self.pattern.base()
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, room: &mut Room, walk: &mut Walk<'_>) {
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

    /// Looks at what is right in a folder, and at all of what is new below it.
    pub(super) fn look_at(&mut self, path: &Path, room: &mut Room, walk: &mut Walk<'_>) {
        if path != self.base() && self.base().starts_with(path) {
            let now = fs::metadata(self.base()).ok().map(|metadata| id_of(&metadata));
            let is_as_before = now.is_some() && now == self.folders.get(self.base()).map(|base| base.id);
            if !is_as_before {
                self.look(room, walk);
            }
            return;
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
