//! How much of the file system is kept in mind, and what is said where that is too little.

use std::{io, mem, path::Path};

use super::{folder::Folder, found::Problem};

/// How many files are found at most.
pub const MAX_FILES: usize = 100_000;

/// How many folders are walked at most.
pub const MAX_FOLDERS: usize = 100_000;

/// How much may be kept, and how much is.
#[derive(Debug)]
pub(super) struct Room {
    max_files: usize,
    max_folders: usize,
    pub(super) files: usize,
    pub(super) folders: usize,
    said_files: bool,
    said_folders: bool,
}

impl Room {
    pub(super) fn new(max_files: usize, max_folders: usize) -> Self {
        let (files, folders, said_files, said_folders) = (0, 0, false, false);
        Self { max_files, max_folders, files, folders, said_files, said_folders }
    }

    /// One of the same size, with nothing in it.
    pub(super) fn same(&self) -> Self {
        Self::new(self.max_files, self.max_folders)
    }

    pub(super) fn files_left(&self) -> usize {
        self.max_files.saturating_sub(self.files)
    }

    /// Why files are left out: said the first time.
    pub(super) fn say_files(&mut self, path: &Path) -> Option<Problem> {
        let why = format!("left out, like others: max_files ({}) are matched already", self.max_files);
        say_once(&mut self.said_files, path, why)
    }

    /// Why a folder is left out, if it has to be.
    pub(super) fn folder_left_out(&mut self, path: &Path) -> Result<(), Option<Problem>> {
        if self.folders < self.max_folders {
            return Ok(());
        }
        let why = format!("left out, like others: max_folders ({}) are walked already", self.max_folders);
        Err(say_once(&mut self.said_folders, path, why))
    }

    pub(super) fn give_back(&mut self, folder: &Folder) {
        self.files -= folder.files.len();
        self.folders -= 1;
    }
}

fn say_once(said: &mut bool, path: &Path, why: String) -> Option<Problem> {
    let is_said = mem::replace(said, true);
    (!is_said).then(|| Problem { path: path.to_owned(), error: io::Error::other(why) })
}
