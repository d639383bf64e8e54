//! One file of a log, and the program that writes it.

use std::{fs::File, io::Write as _, os::unix::fs::FileExt as _, path::Path};

use crate::history::History;

/// A file that is written.
pub(crate) struct Writer {
    file: File,
    pub(crate) log: usize,
    pub(crate) incarnation: usize,
    /// Where the next bytes go; none: to the end, wherever that is.
    offset: Option<u64>,
    was_emptied: bool,
    /// A line that has begun, and how much of it is in the file.
    unfinished: Option<(String, usize)>,
}

impl Writer {
    /// Makes the file. A writer that keeps its offset does not ask where the file ends.
    pub(crate) fn create(path: &Path, history: &mut History, log: usize, keeps_offset: bool) -> Self {
        let file = File::options().write(true).append(!keeps_offset).create_new(true).open(path).unwrap();
        let offset = keeps_offset.then_some(0);
        Self { file, log, incarnation: history.begin(log), offset, was_emptied: false, unfinished: None }
    }

    /// Whether nothing was written.
    pub(crate) fn is_empty(&self, history: &History) -> bool {
        self.unfinished.is_none() && history.lines_of(self.log, self.incarnation) == 0
    }

    /// Ends the line that has begun, and writes more of about so many bytes.
    pub(crate) fn append(&mut self, history: &mut History, lines: u32, bytes: usize, is_late: bool) {
        let mut text = String::new();
        if let Some((line, written)) = self.unfinished.take() {
            text = format!("{}\n", line.split_at(written).1);
            history.wrote(self.log, self.incarnation, &line, is_late);
        }
        for _ in 0..lines {
            text += &history.banner(self.log, self.incarnation, is_late);
            let line = history.draft(self.log, self.incarnation, bytes);
            history.wrote(self.log, self.incarnation, &line, is_late);
            text += &line;
            text.push('\n');
        }
        self.write(&text);
    }

    /// Writes the first half of a line.
    pub(crate) fn begin_line(&mut self, history: &mut History) {
        if self.unfinished.is_none() {
            let banner = history.banner(self.log, self.incarnation, false);
            let line = history.draft(self.log, self.incarnation, 60);
            // A group that has begun may be ended by time.
            let half = line.find('\n').unwrap_or(line.len()) / 2;
            self.write(&(banner + line.split_at(half).0));
            self.unfinished = Some((line, half));
        }
    }

    pub(crate) fn finish_line(&mut self, history: &mut History) {
        if self.unfinished.is_some() {
            self.append(history, 0, 0, false);
        }
    }

    /// Somebody else has copied the file, and empties it now.
    pub(crate) fn is_emptied(&mut self, history: &mut History) {
        self.file.set_len(0).unwrap();
        self.incarnation = history.begin(self.log);
        self.was_emptied = true;
    }

    /// Whether the file begins, or will begin, with zero bytes: it was emptied under a writer
    /// that keeps its offset.
    pub(crate) fn has_hole(&self) -> bool {
        self.was_emptied && self.offset.is_some_and(|offset| offset > 0)
    }

    fn write(&mut self, text: &str) {
        match &mut self.offset {
            Some(offset) => {
                self.file.write_all_at(text.as_bytes(), *offset).unwrap();
                *offset += text.len() as u64;
            }
            None => self.file.write_all(text.as_bytes()).unwrap(),
        }
    }
}
