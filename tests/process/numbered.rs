//! Lines that tell their number: written as programs write, and checked by readers.
#![allow(dead_code, reason = "the fault suite has a check of its own")]

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

/// The content of a line.
pub(crate) fn line(number: u64) -> String {
    format!("{number:08} a line of a log")
}

/// Expects line after line, each one once.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    next: u64,
}

impl Expected {
    /// Lines from this one on.
    pub(crate) fn from(next: u64) -> Self {
        Self { next }
    }

    /// Takes a line, which has to be the next one.
    pub(crate) fn take(&mut self, content: &[u8]) {
        let expected = line(self.next);
        assert!(
            expected.as_bytes() == content,
            "{expected:?} is expected, and {:?} came",
            String::from_utf8_lossy(content)
        );
        self.next += 1;
    }

    /// How many came.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

/// A log file with numbered lines, written in pieces that end anywhere in a line.
pub(crate) struct Log {
    path: PathBuf,
    /// What each line begins with.
    prefix: String,
    file: File,
    next: u64,
    /// What is still to be written of the last line.
    rest: String,
    rotations: u32,
}

impl Log {
    pub(crate) fn create(path: PathBuf) -> Self {
        Self::with_prefix(path, String::new())
    }

    /// The same, where each line begins with this.
    pub(crate) fn with_prefix(path: PathBuf, prefix: String) -> Self {
        let file = File::create(&path).unwrap();
        Self { path, prefix, file, next: 0, rest: String::new(), rotations: 0 }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How many lines were written, the one that may lack its end among them.
    pub(crate) fn written(&self) -> u64 {
        self.next
    }

    /// How many whole lines there are.
    pub(crate) fn lines(&self) -> u64 {
        self.next - u64::from(!self.rest.is_empty())
    }

    /// Writes so many lines more, all but the end of the last one.
    pub(crate) fn write(&mut self, lines: u64) {
        let mut text = std::mem::take(&mut self.rest);
        (self.next..self.next + lines)
            .for_each(|number| text += &(self.prefix.clone() + &line(number) + "\n"));
        self.next += lines;
        let torn = fastrand::usize(0..line(0).len());
        self.rest = text.split_off(text.len() - torn);
        self.file.write_all(text.as_bytes()).unwrap();
    }

    /// Writes the end of the last line.
    pub(crate) fn finish(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        self.file.write_all(rest.as_bytes()).unwrap();
    }

    /// Renames the file away and begins another one in its place, as log rotation does. The old one gets the end of
    /// its last line when it is not in its place any more.
    pub(crate) fn rotate(&mut self) {
        self.rotations += 1;
        fs::rename(&self.path, format!("{}.{}", self.path.display(), self.rotations)).unwrap();
        self.finish();
        self.file = File::create(&self.path).unwrap();
    }
}
