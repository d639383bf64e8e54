//! One path or glob, matched name by name, so that a walk knows in every folder
//! whether anything below it can match. Pure, but for the current folder.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use globset::{Glob, GlobBuilder, GlobMatcher};

#[cfg(test)]
mod tests;

/// A path or glob that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {pattern:?} {why}")]
pub struct PatternError {
    pattern: String,
    why: String,
}

/// A folder, and what the names below it have to be.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    base: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// Exactly this name.
    Name(OsString),
    /// A name that matches; one with a dot in front only if `hidden`.
    Glob { names: GlobMatcher, hidden: bool },
    /// `**`: any number of folders, none of them hidden.
    Folders,
}

/// Which parts may come next, a bit each; the bit after the last part: it matches.
/// A set, because `**` can end at many folders at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct States(u64);

/// One bit of [`States`] is for "matches", and `**` at the end becomes two parts.
const MAX_PARTS: usize = 62;

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |why: String| PatternError { pattern: text.to_owned(), why };
        if text.is_empty() {
            return Err(error("is empty".to_owned()));
        }
        if text.contains('\0') {
            return Err(error("has a NUL byte in it".to_owned()));
        }
        if text.ends_with('/') {
            return Err(error(format!("is a folder: name the files in it, such as {text}*.log")));
        }
        let mut base = if text.starts_with('/') {
            PathBuf::from("/")
        } else {
            // Its names are no glob, whatever characters they have.
            std::env::current_dir()
                .map_err(|e| error(format!("is relative, but the current folder is unknown: {e}")))?
        };
        let mut parts = Vec::new();
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => parts.push(Part::parse(name, text).map_err(error)?),
                Component::ParentDir if parts.iter().all(Part::is_name) => {
                    parts.push(Part::Name("..".into()));
                }
                Component::ParentDir => return Err(error("has '..' after a wildcard".to_owned())),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        parts.dedup_by(|a, b| matches!((a, b), (Part::Folders, Part::Folders)));
        if matches!(parts.last(), Some(Part::Folders)) {
            parts.push(Part::parse(OsStr::new("*"), text).map_err(error)?);
        }
        let names_in_front = parts.iter().take_while(|part| part.is_name()).count();
        for part in parts.drain(..names_in_front.min(parts.len().saturating_sub(1))) {
            if let Part::Name(name) = part {
                base.push(name);
            }
        }
        if parts.len() > MAX_PARTS {
            return Err(error(format!("has more than {MAX_PARTS} parts from its first wildcard on")));
        }
        Ok(Self { text: text.to_owned(), base, parts })
    }

    /// As it was given, absolute or not.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The folder that everything it matches is in, or in a folder of.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Name(_)])
    }

    /// The path, if it has no wildcard.
    pub(super) fn plain_path(&self) -> Option<PathBuf> {
        match self.parts.as_slice() {
            [Part::Name(name)] => Some(self.base.join(name)),
            _ => None,
        }
    }

    pub(super) fn error_of_folder(&self) -> PatternError {
        let why = format!("is a directory; did you mean {}/*.log?", self.text);
        PatternError { pattern: self.text.clone(), why }
    }

    pub(super) fn matches(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.base) else { return false };
        let states = below.iter().fold(self.start(), |states, name| self.step(states, name));
        self.accepts(states)
    }

    /// Whether something at this path that is no folder can matter: as a file that matches,
    /// or a link to a folder that is walked.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        // What comes in the way of the base folder can be a link as well.
        let Ok(below) = folder.strip_prefix(&self.base) else { return self.base.starts_with(path) };
        let states = below.iter().fold(self.start(), |states, name| self.step(states, name));
        self.accepts(self.step(states, name)) || self.goes_on(self.step_through_link(states, name))
    }

    /// The states in the base folder.
    pub(super) fn start(&self) -> States {
        self.with_skipped(States(1))
    }

    /// The states after this name.
    pub(super) fn step(&self, states: States, name: &OsStr) -> States {
        let mut after = States(0);
        for (at, part) in self.at(states) {
            match part {
                Part::Folders if !is_hidden(name) => after.0 |= 1 << at,
                Part::Folders => {}
                part if part.matches(name) => after.0 |= 1 << (at + 1),
                Part::Name(_) | Part::Glob { .. } => {}
            }
        }
        self.with_skipped(after)
    }

    /// The states after the name of a link to a folder, through which `**` does not go.
    pub(super) fn step_through_link(&self, states: States, name: &OsStr) -> States {
        let folders = self.at(states).filter(|(_, part)| matches!(part, Part::Folders));
        let folders = folders.fold(0, |bits, (at, _)| bits | 1 << at);
        self.step(States(states.0 & !folders), name)
    }

    /// Whether what has brought us here matches.
    pub(super) fn accepts(&self, states: States) -> bool {
        states.0 & (1 << self.parts.len()) != 0
    }

    /// Whether anything below can match.
    pub(super) fn goes_on(&self, states: States) -> bool {
        states.0 & !(1 << self.parts.len()) != 0
    }

    /// The names that can come next, if they are known without looking.
    pub(super) fn next_names(&self, states: States) -> Option<Vec<&OsStr>> {
        let names = self.at(states).map(|(_, part)| match part {
            Part::Name(name) => Some(name.as_os_str()),
            Part::Glob { .. } | Part::Folders => None,
        });
        names.collect()
    }

    fn at(&self, states: States) -> impl Iterator<Item = (usize, &Part)> {
        self.parts.iter().enumerate().filter(move |(at, _)| states.0 & (1 << at) != 0)
    }

    /// `**` stands for no folder at all, too.
    fn with_skipped(&self, mut states: States) -> States {
        for (at, part) in self.parts.iter().enumerate() {
            if matches!(part, Part::Folders) && states.0 & (1 << at) != 0 {
                states.0 |= 1 << (at + 1);
            }
        }
        states
    }
}

impl Part {
    /// Parses what stands between two slashes of `whole`.
    fn parse(name: &OsStr, whole: &str) -> Result<Self, String> {
        let text = name.to_str().unwrap_or_default();
        if text == "**" {
            return Ok(Self::Folders);
        }
        if !text.contains(['*', '?', '[', '{', '\\']) {
            return Ok(Self::Name(name.to_owned()));
        }
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| {
            if Glob::new(whole).is_ok() {
                "has a '/' inside of {…} or […]: write a path for each".to_owned()
            } else {
                format!("is no glob: {}", error.kind())
            }
        })?;
        let hidden = text.starts_with('.') || text.starts_with("\\.");
        Ok(Self::Glob { names: glob.compile_matcher(), hidden })
    }

    fn is_name(&self) -> bool {
        matches!(self, Self::Name(_))
    }

    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Glob { names, hidden } => (*hidden || !is_hidden(name)) && names.is_match(name),
            Self::Folders => false,
        }
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().first() == Some(&b'.')
}
