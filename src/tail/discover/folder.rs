//! What a look has seen in one folder.

use std::{
    ffi::OsString,
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    found::{FileId, Found},
    pattern::States,
};

/// What is in a folder, by name.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) id: FileId,
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

pub(super) fn id_of(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

impl Kept {
    pub(super) fn found(&self, folder: &Path) -> Found {
        let Self { device, inode, len, modified, .. } = *self;
        Found { path: folder.join(&self.name), device, inode, len, modified }
    }
}
