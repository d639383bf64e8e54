//! One look at some folders: lists them, and looks at what in them may match.

use std::{
    ffi::OsStr,
    fs::{self, FileType, Metadata},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    folder::{Kept, id_of},
    found::Problem,
    pattern::{Pattern, States},
};

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

/// A look that is under way.
pub(super) struct Walk<'a> {
    watch: &'a dyn Fn(&Path) -> bool,
    pub(super) problems: Vec<Problem>,
    pub(super) changed: Vec<PathBuf>,
    folders: u64,
    files: u64,
}

/// What is in one folder, by name.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) files: Vec<Kept>,
    /// Folders to be walked, with device and inode.
    pub(super) below: Vec<(PathBuf, States, (u64, u64))>,
    pub(super) is_watched: bool,
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

impl<'a> Walk<'a> {
    pub(super) fn new(watch: &'a dyn Fn(&Path) -> bool) -> Self {
        Self { watch, problems: Vec::new(), changed: Vec::new(), folders: 0, files: 0 }
    }

    pub(super) fn into_looked(self) -> Looked {
        let Self { changed, problems, folders, files, .. } = self;
        Looked { changed, problems, folders, files }
    }

    /// Whether the base folder is there; else the folder to be watched until it is, and whether
    /// that is watched.
    pub(super) fn reach(&mut self, base: &Path) -> Result<Metadata, Option<(PathBuf, bool)>> {
        let mut watched: Option<(PathBuf, bool)> = None;
        loop {
            let error = match fs::metadata(base) {
                Ok(metadata) if metadata.is_dir() => return Ok(metadata),
                Ok(_) => io::ErrorKind::NotADirectory.into(),
                Err(error) => error,
            };
            let above = base.ancestors().skip(1).find(|folder| folder.is_dir());
            // What has come before the watch was there goes unreported: so once more.
            if above == watched.as_ref().map(|(folder, _)| folder.as_path()) {
                self.add_problem(base, error);
                return Err(watched);
            }
            watched = above.map(|folder| (folder.to_owned(), (self.watch)(folder)));
        }
    }

    /// Lists a folder, after it was given to be watched.
    pub(super) fn list(
        &mut self,
        pattern: &Pattern,
        is_excluded: &dyn Fn(&Path) -> bool,
        folder: &Path,
        states: States,
    ) -> Listing {
        self.folders += 1;
        let mut listing = Listing { files: Vec::new(), below: Vec::new(), is_watched: (self.watch)(folder) };
        for entry in self.entries(pattern, folder, states) {
            if !is_excluded(&entry.path) {
                self.visit(pattern, entry, &mut listing);
            }
        }
        listing
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
        entries.sort_unstable_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        entries
    }

    /// Adds the file that an entry is, or the folder to be walked.
    fn visit(&mut self, pattern: &Pattern, entry: Entry, listing: &mut Listing) {
        let Entry { path, kind, after } = entry;
        self.files += 1;
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => {
                // Where a link leads to, what it waits for appears unnoticed.
                listing.is_watched &= !kind.is_symlink();
                return self.add_problem(&path, error);
            }
        };
        if metadata.is_dir() && pattern.goes_on(after) {
            listing.below.push((path, after, id_of(&metadata)));
        } else if metadata.is_file() && pattern.accepts(after) {
            let real = if kind.is_symlink() { fs::canonicalize(&path).ok() } else { None };
            if let Some(folder) = real.as_deref().and_then(Path::parent) {
                listing.is_watched &= (self.watch)(folder);
            }
            let (device, inode) = id_of(&metadata);
            let name = path.file_name().map(OsStr::to_owned).unwrap_or_default();
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            listing.files.push(Kept { name, device, inode, len: metadata.len(), modified, real });
        } else if pattern.is_plain() {
            let is_dir = metadata.is_dir();
            let why = if is_dir { "is a directory, not a file" } else { "is not a regular file" };
            self.add_problem(&path, io::Error::other(why));
        }
    }

    /// What is not there is no problem: it is waited for, or was removed just now.
    fn add_problem(&mut self, path: &Path, error: io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.problems.push(Problem { path: path.to_owned(), error });
        }
    }
}
