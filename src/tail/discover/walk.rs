//! A walk through the folders that can hold something that matches, and no others.

use std::{
    collections::HashSet,
    fs::{self, FileType, Metadata},
    io,
    path::{Path, PathBuf},
};

use super::{
    Found, Problem, Scan,
    pattern::{Pattern, States},
};

/// A scan in the making.
pub(super) struct Walk {
    scan: Scan,
    seen_files: HashSet<(u64, u64)>,
    seen_folders: HashSet<PathBuf>,
    max_files: usize,
    max_folders: usize,
    is_full: bool,
}

/// Something in a folder, and what may come after it.
struct Entry {
    path: PathBuf,
    kind: FileType,
    after: States,
}

impl Entry {
    fn new(pattern: &Pattern, states: States, path: PathBuf, kind: FileType) -> Self {
        let name = path.file_name().unwrap_or_default();
        let after = if kind.is_symlink() {
            pattern.step_through_link(states, name)
        } else {
            pattern.step(states, name)
        };
        Self { path, kind, after }
    }

    /// Decides without another look at the disk, but for links.
    fn may_match(&self, pattern: &Pattern) -> bool {
        let as_file = !self.kind.is_dir() && pattern.accepts(self.after);
        let as_folder = (self.kind.is_dir() || self.kind.is_symlink()) && pattern.goes_on(self.after);
        as_file || as_folder
    }
}

impl Walk {
    pub(super) fn new(max_files: usize, max_folders: usize) -> Self {
        Self {
            scan: Scan::default(),
            seen_files: HashSet::new(),
            seen_folders: HashSet::new(),
            max_files,
            max_folders,
            is_full: false,
        }
    }

    pub(super) fn into_scan(self) -> Scan {
        self.scan
    }

    /// Adds what one pattern finds.
    pub(super) fn pattern(&mut self, pattern: &Pattern) {
        if self.is_full || !self.reach_base(pattern.base()) {
            return;
        }
        let mut pending = vec![(pattern.base().to_owned(), pattern.start())];
        while let Some((folder, states)) = pending.pop() {
            self.add_folder(&folder);
            if self.is_full {
                return;
            }
            let below = pending.len();
            for entry in self.entries(pattern, &folder, states) {
                if let Some(folder) = self.visit(pattern, &entry) {
                    pending.push((folder, entry.after));
                }
            }
            // The last one is walked next: that has to be the first by name.
            pending[below..].reverse();
        }
    }

    /// Whether the base folder is there; otherwise notes what to watch until it is.
    fn reach_base(&mut self, base: &Path) -> bool {
        match fs::metadata(base) {
            Ok(metadata) if metadata.is_dir() => return true,
            Ok(_) => self.add_problem(base, io::ErrorKind::NotADirectory.into()),
            Err(error) => self.add_problem(base, error),
        }
        if let Some(above) = base.ancestors().skip(1).find(|folder| folder.is_dir()) {
            self.add_folder(above);
        }
        false
    }

    /// The entries of a folder that may be on the way to a match, by name.
    fn entries(&mut self, pattern: &Pattern, folder: &Path, states: States) -> Vec<Entry> {
        let mut entries = Vec::new();
        if let Some(names) = pattern.next_names(states) {
            for name in names {
                let path = folder.join(name);
                match fs::symlink_metadata(&path) {
                    Ok(metadata) => entries.push(Entry::new(pattern, states, path, metadata.file_type())),
                    Err(error) => self.add_problem(&path, error),
                }
            }
        } else {
            let listing = fs::read_dir(folder).map_err(|error| self.add_problem(folder, error));
            for listed in listing.into_iter().flatten() {
                match listed.and_then(|listed| Ok((listed.path(), listed.file_type()?))) {
                    Ok((path, kind)) => entries.push(Entry::new(pattern, states, path, kind)),
                    Err(error) => self.add_problem(folder, error),
                }
                entries.pop_if(|entry| !entry.may_match(pattern));
            }
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    /// Adds the file that an entry is, or returns the folder to be walked.
    fn visit(&mut self, pattern: &Pattern, entry: &Entry) -> Option<PathBuf> {
        let path = &entry.path;
        let metadata = fs::metadata(path).map_err(|error| self.add_problem(path, error)).ok()?;
        if metadata.is_dir() && pattern.goes_on(entry.after) {
            return Some(path.clone());
        }
        if metadata.is_file() && pattern.accepts(entry.after) {
            self.add_file(path, &metadata, entry.kind.is_symlink());
        } else if pattern.is_plain() {
            let is_dir = metadata.is_dir();
            let why = if is_dir { "is a directory, not a file" } else { "is not a regular file" };
            self.add_problem(path, io::Error::other(why));
        }
        None
    }

    fn add_file(&mut self, path: &Path, metadata: &Metadata, is_link: bool) {
        let Some(found) = Found::of(path, metadata) else { return };
        if !self.seen_files.insert((found.device, found.inode)) {
            return;
        }
        if self.scan.files.len() == self.max_files {
            return self.stop(path, format!("left out: more than {} files match", self.max_files));
        }
        if is_link && let Ok(real) = fs::canonicalize(path) {
            if let Some(folder) = real.parent() {
                self.add_folder(folder);
            }
            self.scan.links.insert(real, path.to_owned());
        }
        self.scan.files.push(found);
    }

    fn add_folder(&mut self, folder: &Path) {
        if self.seen_folders.contains(folder) {
            return;
        }
        if self.scan.folders.len() == self.max_folders {
            return self.stop(folder, format!("left out: more than {} folders to walk", self.max_folders));
        }
        self.seen_folders.insert(folder.to_owned());
        self.scan.folders.push(folder.to_owned());
    }

    /// Ends the whole scan, and says so once.
    fn stop(&mut self, path: &Path, why: String) {
        if !self.is_full {
            self.is_full = true;
            self.add_problem(path, io::Error::other(why));
        }
    }

    /// What is not there is no problem: it is waited for, or was removed just now.
    fn add_problem(&mut self, path: &Path, error: io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.scan.problems.push(Problem { path: path.to_owned(), error });
        }
    }
}
