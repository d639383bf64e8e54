//! What is known of one topic when new files are found.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    record::{Record, SourceKey, SourceState},
    tail::{
        control::Read,
        discover::{FileId, Found, Patterns, above, bases},
        packed::Shelf,
        reader::Reader,
    },
};

/// A source that is followed now.
#[derive(Debug, Clone)]
pub(in crate::tail) struct Followed {
    pub(in crate::tail) id: FileId,
    /// The path that it was found under, and whether it is still there.
    pub(in crate::tail) path: PathBuf,
    pub(in crate::tail) in_place: bool,
    /// Where it is now.
    pub(in crate::tail) place: PathBuf,
    pub(in crate::tail) reader: Reader,
    pub(in crate::tail) read: Read,
}

/// What is known of one topic when new files are found.
#[derive(Debug)]
pub(in crate::tail) struct Known {
    /// Files to be followed that nobody follows.
    pub(in crate::tail) newcomers: Vec<Found>,
    /// Sources that nobody follows.
    pub(in crate::tail) records: Vec<(SourceKey, Record)>,
    /// Those that are away and closed, and how much of them was read: they are of interest
    /// when they have more.
    pub(in crate::tail) at_rest: HashMap<SourceKey, u64>,
    pub(in crate::tail) followed: Vec<Followed>,
    /// Paths without a newcomer whose past has to be searched all the same.
    pub(in crate::tail) deserted: HashSet<PathBuf>,
    /// Other paths of newcomers and followed files, each with the path that the file goes by.
    pub(in crate::tail) also: HashMap<PathBuf, PathBuf>,
    pub(in crate::tail) shelf: Arc<Shelf>,
    /// What inputs match, and where rotated files of that go.
    pub(in crate::tail) rotated: Vec<(Patterns, Patterns)>,
}

impl Known {
    /// The paths of which a file could be a rotated version, by its name.
    pub(in crate::tail) fn bases(&self, path: &Path) -> Vec<PathBuf> {
        let mut bases = bases(path);
        // Rotated files can be followed where they are, in a folder below that of the log.
        bases.extend(bases.clone().iter().filter_map(|base| above(base)));
        // A file is rotated under any of its names.
        bases.extend(bases.clone().iter().filter_map(|base| self.also.get(base).cloned()));
        bases
    }
}

pub(super) fn is_active(record: &Record) -> bool {
    record.details.state == SourceState::Active
}
