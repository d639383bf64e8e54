//! The files of one log, and the program that writes them.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::history::History;

/// The files of one log.
pub(crate) struct Log {
    pub(crate) index: usize,
    path: PathBuf,
    pub(crate) current: Option<Writer>,
    /// The file that was rotated last, as its writer still has it open.
    renamed: Option<Writer>,
    /// Lines were lost when the file was emptied: its copy has less than was read.
    pub(crate) has_short_copy: bool,
    /// The incarnations that were rotated, newest first: `.1`, `.2`, …
    pub(crate) rotated: VecDeque<usize>,
}

/// A file that is written.
pub(crate) struct Writer {
    file: File,
    pub(crate) incarnation: usize,
    /// A line that has begun, and how much of it is in the file.
    unfinished: Option<(String, usize)>,
}

impl Log {
    pub(crate) fn new(folder: &Path, index: usize) -> Self {
        let path = folder.join(["app.log", "web.log"][index]);
        let rotated = VecDeque::new();
        Self { index, path, current: None, renamed: None, has_short_copy: false, rotated }
    }

    /// The file at the path, made where there is none.
    fn open(&mut self, history: &mut History) -> &mut Writer {
        let (path, index) = (&self.path, self.index);
        self.current.get_or_insert_with(|| Writer {
            file: File::options().append(true).create(true).open(path).unwrap(),
            incarnation: history.begin(index),
            unfinished: None,
        })
    }

    /// Whether any file was ever made.
    pub(crate) fn has_begun(&self) -> bool {
        self.current.is_some() || !self.rotated.is_empty()
    }

    pub(crate) fn append(&mut self, history: &mut History, lines: u32, bytes: usize) {
        let index = self.index;
        self.open(history).append(history, index, lines, bytes, false);
    }

    /// Writes the first half of a line.
    pub(crate) fn begin_line(&mut self, history: &mut History) {
        let index = self.index;
        let writer = self.open(history);
        if writer.unfinished.is_none() {
            let line = history.draft(index, writer.incarnation, 60);
            let half = line.len() / 2;
            writer.file.write_all(&line.as_bytes()[..half]).unwrap();
            writer.unfinished = Some((line, half));
        }
    }

    pub(crate) fn finish_line(&mut self, history: &mut History) {
        let index = self.index;
        if let Some(writer) = self.current.as_mut().filter(|writer| writer.unfinished.is_some()) {
            writer.append(history, index, 0, 0, false);
        }
    }

    /// Renames the file. An unfinished line is ended before: programs reopen their log
    /// between two lines.
    pub(crate) fn rotate(&mut self, history: &mut History, create: bool) {
        self.finish_line(history);
        let Some(writer) = self.current.take() else { return };
        self.shift();
        fs::rename(&self.path, self.numbered(1)).unwrap();
        self.rotated.push_front(writer.incarnation);
        self.renamed = Some(writer);
        if create {
            self.open(history);
        }
    }

    /// Appends to the file that was renamed last, as long as nothing is in the next one:
    /// a program writes to one of them at a time.
    pub(crate) fn append_late(&mut self, history: &mut History, lines: u32) {
        let index = self.index;
        let is_empty =
            |writer: &Writer| writer.unfinished.is_none() && history.lines_of(index, writer.incarnation) == 0;
        if self.current.as_ref().is_none_or(is_empty)
            && let Some(writer) = &mut self.renamed
        {
            writer.append(history, index, lines, 60, true);
        }
    }

    /// Copies the file and empties it; lines written in between are lost with it.
    pub(crate) fn copy_truncate(&mut self, history: &mut History, between: u32) {
        self.finish_line(history);
        let index = self.index;
        let Some(mut writer) = self.current.take() else { return };
        self.shift();
        fs::copy(&self.path, self.numbered(1)).unwrap();
        self.rotated.push_front(writer.incarnation);
        writer.append(history, index, between, 60, false);
        history.excuse_last(index, writer.incarnation, between as usize);
        writer.file.set_len(0).unwrap();
        writer.incarnation = history.begin(index);
        self.current = Some(writer);
        self.renamed = None;
        self.has_short_copy = between > 0;
    }

    /// Deletes the file; its writer closes it.
    pub(crate) fn delete(&mut self, history: &mut History) -> Option<usize> {
        self.finish_line(history);
        let writer = self.current.take()?;
        fs::remove_file(&self.path).unwrap();
        Some(writer.incarnation)
    }

    /// Deletes the oldest of the rotated files.
    pub(crate) fn delete_oldest(&mut self) {
        if self.rotated.len() == 1 {
            self.renamed = None;
        }
        fs::remove_file(self.numbered(self.rotated.len())).unwrap();
        self.rotated.pop_back();
    }

    fn shift(&self) {
        for number in (1..=self.rotated.len()).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1)).unwrap();
        }
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Writer {
    fn append(&mut self, history: &mut History, log: usize, lines: u32, bytes: usize, is_late: bool) {
        let mut text = String::new();
        if let Some((line, written)) = self.unfinished.take() {
            text = format!("{}\n", line.split_at(written).1);
            history.wrote(log, self.incarnation, line.len() + 1, is_late);
        }
        for _ in 0..lines {
            let line = history.draft(log, self.incarnation, bytes) + "\n";
            history.wrote(log, self.incarnation, line.len(), is_late);
            text.push_str(&line);
        }
        self.file.write_all(text.as_bytes()).unwrap();
    }
}
