//! Finds files by path and glob. It opens and reads no file: what a file *is* gets
//! decided elsewhere, by its content.
//!
//! `*` and `?` stay within a name, `[…]` and `{a,b}` too, `**` stands for any number
//! of folders, `\` takes a special character as it is. Names that begin with a dot
//! match only where the pattern has that dot. Links to files are followed, and links
//! to folders where a pattern names them or says `*`, but not by `**`.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use self::pattern::Pattern;
pub use self::{
    pattern::PatternError,
    siblings::{bases, is_older, newest_first, siblings},
    tree::{Looked, Tree},
};

mod branch;
mod pattern;
mod room;
mod siblings;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

/// How many files are found at most.
pub const MAX_FILES: usize = 100_000;

/// How many folders are walked at most.
pub const MAX_FOLDERS: usize = 100_000;

/// Paths and globs to be followed, valid and absolute, and those that are not.
#[derive(Debug, Clone)]
pub struct Patterns {
    patterns: Vec<Pattern>,
    excludes: Vec<Pattern>,
}

/// A regular file, as it was when the scan came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Absolute path by which it was found; a link stays the path of the link.
    pub path: PathBuf,
    /// Device number of its file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Size in bytes.
    pub len: u64,
    /// When its content was changed last.
    pub modified: SystemTime,
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

/// Something that a scan could not look at, or had to leave out.
#[derive(Debug, thiserror::Error)]
#[error("{path:?}: {error}")]
pub struct Problem {
    /// A file, a folder or, when there is too much of it, the first that was left out.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

impl Patterns {
    /// Parses paths and globs; relative ones start at the current folder.
    ///
    /// # Errors
    /// [`PatternError`] for the first one that cannot work, with what is wrong with it.
    pub fn parse(paths: &[String]) -> Result<Self, PatternError> {
        let patterns = paths.iter().map(|path| Pattern::parse(path)).collect::<Result<_, _>>()?;
        Ok(Self { patterns, excludes: Vec::new() })
    }

    /// The same without what these match: files, or folders with all that is in them. They
    /// are written like paths and globs to be followed; a folder may end with a slash.
    ///
    /// # Errors
    /// [`PatternError`] for the first one that cannot work, with what is wrong with it.
    pub fn excluding(mut self, paths: &[String]) -> Result<Self, PatternError> {
        for path in paths {
            let folder = path.trim_end_matches('/');
            self.excludes.push(Pattern::parse(if folder.is_empty() { path } else { folder })?);
        }
        Ok(self)
    }

    /// The folders where the patterns begin.
    pub fn bases(&self) -> impl Iterator<Item = &Path> {
        self.patterns.iter().map(Pattern::base)
    }

    /// Whether both are the same paths and globs.
    pub(super) fn are_those_of(&self, other: &Self) -> bool {
        self.patterns.iter().map(Pattern::text).eq(other.patterns.iter().map(Pattern::text))
    }

    /// Looks whether a plain path is a folder, which is most likely a mistake. A plain
    /// path that does not exist is none: the file is waited for.
    ///
    /// # Errors
    /// [`PatternError`] for the first one that is, with what was probably meant.
    pub fn check_plain(&self) -> Result<(), PatternError> {
        self.patterns.iter().try_for_each(|pattern| match pattern.plain_path() {
            Some(path) if path.is_dir() => Err(pattern.error_of_folder()),
            _ => Ok(()),
        })
    }

    /// The plain paths at which there is nothing now: misspelt, or still to come.
    pub fn absent(&self) -> Vec<PathBuf> {
        let plain = self.patterns.iter().filter_map(Pattern::plain_path);
        let is_absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        plain.filter(|path| fs::symlink_metadata(path).is_err_and(is_absent)).collect()
    }

    /// Looks for files now. This blocks, for as long as the disk takes.
    pub fn scan(&self) -> Scan {
        let mut tree = Tree::new([self]);
        let looked = tree.look(&|_| false);
        tree.scan(looked)
    }

    /// Whether a scan would return a regular file at this absolute path.
    pub fn matches(&self, path: &Path) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(path)) && !self.is_excluded(path)
    }

    /// Whether it can matter that something at this absolute path, which is no folder, came
    /// or went.
    pub fn concern(&self, path: &Path) -> bool {
        self.patterns.iter().any(|pattern| pattern.concerns(path)) && !self.is_excluded(path)
    }

    /// The same of a folder.
    pub fn concern_folder(&self, path: &Path) -> bool {
        self.bases().any(|base| path.starts_with(base) || base.starts_with(path))
    }

    fn is_excluded(&self, path: &Path) -> bool {
        path.ancestors().any(|path| self.excludes.iter().any(|exclude| exclude.matches(path)))
    }
}

impl Found {
    /// The file at `path` as it is now; `None` when that is no regular file.
    ///
    /// # Errors
    /// What the system said when asked for its metadata.
    pub fn at(path: &Path) -> io::Result<Option<Self>> {
        fs::metadata(path).map(|metadata| Self::of(path, &metadata))
    }

    fn of(path: &Path, metadata: &Metadata) -> Option<Self> {
        metadata.is_file().then(|| Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }

    /// Whether its name says that it is compressed in a way that can be read.
    pub fn is_packed(&self) -> bool {
        siblings::is_packed(&self.path)
    }

    /// Its path without the ending that compressing it has given.
    pub fn unpacked_path(&self) -> PathBuf {
        siblings::unpacked(&self.path)
    }

    /// Whether its name says that it is compressed: it is not followed by itself.
    pub fn is_compressed(&self) -> bool {
        siblings::is_compressed(&self.path)
    }
}
