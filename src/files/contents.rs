//! Several files that are read together, and whether they have changed since.

use std::{
    io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

use super::{FileError, read};

/// What was read of some files. Their content is compared, and not their times or their inodes:
/// editors, certificate managers and Kubernetes put other files and links in their place.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    paths: Vec<PathBuf>,
    digest: u64,
}

impl Contents {
    /// Reads one more file, which is given as `what`.
    ///
    /// # Errors
    /// [`FileError::Read`]; that it could not be read counts as its content.
    pub fn read(&mut self, what: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
        self.take(path).map_err(FileError::reading(what, path))
    }

    fn take(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = read(path);
        let mut hasher = Xxh3::new();
        hasher.update(&self.digest.to_le_bytes());
        match &read {
            Ok(bytes) => hasher.update(bytes),
            Err(error) => hasher.update(error.to_string().as_bytes()),
        }
        self.digest = hasher.digest();
        self.paths.push(path.to_owned());
        read
    }

    /// The same files as they are now.
    #[must_use]
    pub fn again(&self) -> Self {
        let mut now = Self::default();
        for path in &self.paths {
            // What cannot be read is other content, too.
            drop(now.take(path));
        }
        now
    }
}

impl PartialEq for Contents {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn other_content_is_a_change_and_another_file_with_the_same_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").unwrap();
        fs::write(path("b"), "2").unwrap();
        let mut contents = Contents::default();
        contents.read("", &path("a")).unwrap();
        contents.read("", &path("b")).unwrap();
        assert_eq!(contents.again(), contents);
        fs::write(path("c"), "1").unwrap();
        fs::rename(path("c"), path("a")).unwrap();
        assert_eq!(contents.again(), contents);
        fs::write(path("b"), "3").unwrap();
        let changed = contents.again();
        assert_ne!(changed, contents);
        fs::remove_file(path("b")).unwrap();
        assert_ne!(contents.again(), changed);
        assert_ne!(contents.again(), contents);
    }
}
