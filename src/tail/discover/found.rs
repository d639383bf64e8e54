//! A file that a look has found, and what its name says of it.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Device and inode: which file it is, as long as somebody holds it open.
pub(in crate::tail) type FileId = (u64, u64);

/// Endings that compressing programs give.
const COMPRESSED: [&str; 7] = ["gz", "zst", "xz", "bz2", "lz4", "lzma", "zip"];

/// Those of them that are read.
const PACKED: [&str; 2] = ["gz", "zst"];

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

/// Something that a scan could not look at, or had to leave out.
#[derive(Debug, thiserror::Error)]
#[error("{path:?}: {error}")]
pub struct Problem {
    /// A file, a folder or, when there is too much of it, the first that was left out.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
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
        is_packed(&self.path)
    }

    /// Its path without the ending that compressing it has given.
    pub fn unpacked_path(&self) -> PathBuf {
        unpacked(&self.path)
    }

    /// Whether its name says that it is compressed: it is not followed by itself.
    pub fn is_compressed(&self) -> bool {
        is_compressed(&self.path)
    }
}

pub(in crate::tail) fn id_of(found: &Found) -> FileId {
    (found.device, found.inode)
}

/// Whether the name is that of a compressed file that can be read.
pub(super) fn is_packed(path: &Path) -> bool {
    has_ending(path, &PACKED)
}

/// The path of what was packed: without the ending that this has given.
pub(super) fn unpacked(path: &Path) -> PathBuf {
    if is_packed(path) { path.with_extension("") } else { path.to_owned() }
}

pub(super) fn is_compressed(path: &Path) -> bool {
    has_ending(path, &COMPRESSED)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('?')
}

/// A path as records and messages write it: bytes that are not UTF-8 as `\xNN`.
pub(in crate::tail) fn displayed(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.extend(['\\', 'x', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    text
}
