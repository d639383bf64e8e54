//! The paths and globs of an input, and what is left out of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::pattern::{Pattern, PatternError};

/// Paths and globs to be followed, valid and absolute, and those that are not.
#[derive(Debug, Clone)]
pub struct Patterns {
    pub(super) patterns: Vec<Pattern>,
    pub(super) excludes: Vec<Pattern>,
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
    pub(in crate::tail) fn are_those_of(&self, other: &Self) -> bool {
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
