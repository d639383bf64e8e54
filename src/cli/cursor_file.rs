//! The file in which `subscribe` keeps where it is.
//!
//! It is replaced as a whole by a rename, so that a reader killed at any instant leaves
//! the old one or the new one. A second file, `<name>.lock`, is locked while it is in use.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::client::State;

const VERSION: u32 = 1;

/// A cursor file that no other process can use.
#[derive(Debug)]
pub(super) struct CursorFile {
    path: PathBuf,
    /// Locked until it is closed.
    _lock: File,
}

/// Why a cursor file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CursorFileError {
    #[error("cursor file {}: {doing}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: io::Error },
    #[error("cursor file {} is not a regular file", .0.display())]
    NoFile(PathBuf),
    #[error("cursor file {} is in use by another process", .0.display())]
    InUse(PathBuf),
    #[error("{} is not a cursor file, or it is damaged: {why} (it was left as it is)", path.display())]
    Foreign { path: PathBuf, why: String },
    #[error(
        "cursor file {} has version {found}, this logrelay reads version {VERSION} (it was left as it is)",
        path.display()
    )]
    Version { path: PathBuf, found: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<S> {
    logrelay_cursor_file: u32,
    topics: S,
}

impl CursorFile {
    /// Locks the file and reads it; the state is none where the file does not exist.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<State>), CursorFileError> {
        // A link stays a link: what it leads to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let io =
            |doing| move |(path, source): (PathBuf, io::Error)| CursorFileError::Io { path, doing, source };
        // What is no file may have no end, and is not to be replaced.
        if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
            return Err(CursorFileError::NoFile(path));
        }
        let lock_path = with_suffix(&path, ".lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|source| io("its lock cannot be opened")((lock_path, source)))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(CursorFileError::InUse(path)),
            Err(errno) => return Err(io("it cannot be locked")((path, errno.into()))),
        }
        let state = match fs::read(&path) {
            Ok(bytes) => Some(parse(&path, &bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(io("it cannot be read")((path, error))),
        };
        Ok((Self { path, _lock: lock }, state))
    }

    /// Replaces the file's content, safely on disk when this returns.
    pub(super) fn save(&self, state: &State) -> Result<(), CursorFileError> {
        self.replace(state).map_err(|source| CursorFileError::Io {
            path: self.path.clone(),
            doing: "it cannot be written",
            source,
        })
    }

    fn replace(&self, state: &State) -> io::Result<()> {
        let content = Content { logrelay_cursor_file: VERSION, topics: state };
        let mut text = serde_json::to_vec(&content)?;
        text.push(b'\n');
        let next_path = with_suffix(&self.path, ".new");
        let mut next = File::create(&next_path)?;
        next.write_all(&text)?;
        next.sync_data()?;
        fs::rename(&next_path, &self.path)
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<State, CursorFileError> {
    let foreign = |why: String| CursorFileError::Foreign { path: path.to_owned(), why };
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| foreign(error.to_string()))?;
    match value.get("logrelay_cursor_file").and_then(serde_json::Value::as_u64) {
        Some(found) if found == u64::from(VERSION) => {}
        Some(found) => return Err(CursorFileError::Version { path: path.to_owned(), found }),
        None => return Err(foreign("it has no version".to_owned())),
    }
    let content: Content<State> =
        serde_json::from_value(value).map_err(|error| foreign(error.to_string()))?;
    Ok(content.topics)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> State {
        State::from_cursors(["app@00000000000000aa:7".parse().unwrap()])
    }

    #[test]
    fn what_is_saved_is_found_by_the_next_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors");
        let (file, found) = CursorFile::open(&path).unwrap();
        assert_eq!(found, None);
        file.save(&State::default()).unwrap();
        file.save(&state()).unwrap();
        drop(file);
        assert_eq!(CursorFile::open(&path).unwrap().1, Some(state()));
    }

    #[test]
    fn a_half_written_next_file_of_a_killed_run_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors");
        CursorFile::open(&path).unwrap().0.save(&state()).unwrap();
        fs::write(with_suffix(&path, ".new"), "{\"logrelay_cur").unwrap();
        let (file, found) = CursorFile::open(&path).unwrap();
        assert_eq!(found, Some(state()));
        file.save(&state()).unwrap();
    }

    #[test]
    fn two_processes_cannot_share_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cursors");
        let held = CursorFile::open(&path).unwrap();
        let error = CursorFile::open(&path).unwrap_err().to_string();
        assert!(error.contains("in use") && error.contains("cursors"), "{error}");
        drop(held);
        CursorFile::open(&path).unwrap();
    }

    #[test]
    fn what_is_no_cursor_file_is_named_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        for content in ["", "my notes", "{}", r#"{"logrelay_cursor_file":1}"#, "[1]"] {
            fs::write(&path, content).unwrap();
            let error = CursorFile::open(&path).unwrap_err().to_string();
            assert!(error.contains("notes.txt is not a cursor file"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::write(&path, r#"{"logrelay_cursor_file":2,"new":true}"#).unwrap();
        assert!(CursorFile::open(&path).unwrap_err().to_string().contains("version 2"));
        assert!(CursorFile::open(dir.path()).unwrap_err().to_string().contains("not a regular file"));
    }

    proptest! {
        #[test]
        fn a_file_cut_anywhere_is_refused_and_never_read_as_something_else(cut in 0_usize..70) {
            let content = Content { logrelay_cursor_file: VERSION, topics: state() };
            let text = serde_json::to_vec(&content).unwrap();
            prop_assume!(cut < text.len());
            prop_assert!(parse(Path::new("f"), &text[..cut]).is_err());
        }
    }
}
