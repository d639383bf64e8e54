//! The files of one log, and what rotates, compresses and deletes them.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use tokio::time::sleep;

use crate::{
    action::{Plan, Style},
    history::History,
    writer::Writer,
};

/// The files of one log.
pub(crate) struct Log {
    pub(crate) index: usize,
    folder: PathBuf,
    path: PathBuf,
    style: Style,
    keeps_offset: bool,
    /// How many files a link has led to.
    runs: usize,
    pub(crate) current: Option<Writer>,
    /// The file that was rotated last, as its writer still has it open.
    renamed: Option<Writer>,
    /// Lines were lost when the file was emptied: its copy has less than was read.
    pub(crate) has_short_copy: bool,
    /// Newest first.
    pub(crate) rotated: VecDeque<Rotated>,
    /// The incarnation that has a second name.
    pub(crate) linked: Option<usize>,
}

/// What was rotated away.
pub(crate) struct Rotated {
    pub(crate) incarnation: usize,
    path: PathBuf,
}

impl Log {
    pub(crate) fn new(folder: &Path, index: usize, plan: &Plan) -> Self {
        for below in ["old", "runs"] {
            fs::create_dir_all(folder.join(below)).unwrap();
        }
        Self {
            index,
            folder: folder.to_owned(),
            path: folder.join(["app.log", "web.log"][index]),
            style: plan.style,
            keeps_offset: plan.keeps_offset,
            runs: 0,
            current: None,
            renamed: None,
            has_short_copy: false,
            rotated: VecDeque::new(),
            linked: None,
        }
    }

    /// The file at the path, made where there is none.
    fn open(&mut self, history: &mut History) -> &mut Writer {
        if self.current.is_none() {
            self.current = Some(match self.style {
                Style::Link => self.create_run(history),
                _ => Writer::create(&self.path, history, self.index, self.keeps_offset),
            });
        }
        self.current.as_mut().unwrap()
    }

    /// Makes a new file, and lets the link lead to it: in one step.
    fn create_run(&mut self, history: &mut History) -> Writer {
        self.runs += 1;
        let run = self.folder.join("runs").join(format!("{}.{}", self.name(), 100_000 + self.runs));
        let writer = Writer::create(&run, history, self.index, self.keeps_offset);
        let link = self.folder.join("runs").join("link");
        symlink(&run, &link).unwrap();
        fs::rename(&link, &self.path).unwrap();
        writer
    }

    /// Whether any file was ever made.
    pub(crate) fn has_begun(&self) -> bool {
        self.current.is_some() || !self.rotated.is_empty()
    }

    pub(crate) fn append(&mut self, history: &mut History, lines: u32, bytes: usize) {
        self.open(history).append(history, lines, bytes, false);
    }

    /// Writes the first half of a line.
    pub(crate) fn begin_line(&mut self, history: &mut History) {
        self.open(history).begin_line(history);
    }

    pub(crate) fn finish_line(&mut self, history: &mut History) {
        if let Some(writer) = &mut self.current {
            writer.finish_line(history);
        }
    }

    /// Rotates the file. An unfinished line is ended before: programs reopen their log
    /// between two lines.
    pub(crate) fn rotate(&mut self, history: &mut History, create: bool) {
        self.finish_line(history);
        let Some(writer) = self.current.take() else { return };
        let path = if self.style == Style::Link {
            fs::canonicalize(&self.path).unwrap()
        } else {
            let rotated = self.make_room();
            fs::rename(&self.path, &rotated).unwrap();
            rotated
        };
        self.rotated.push_front(Rotated { incarnation: writer.incarnation, path });
        self.renamed = Some(writer);
        if create {
            self.open(history);
        }
    }

    /// Appends to the file that was rotated last, as long as nothing is in the next one:
    /// a program writes to one of them at a time.
    pub(crate) fn append_late(&mut self, history: &mut History, lines: u32) {
        if self.current.as_ref().is_none_or(|current| current.is_empty(history))
            && let Some(writer) = &mut self.renamed
        {
            writer.append(history, lines, 60, true);
        }
    }

    /// Copies the file and empties it; lines written in between are lost with it.
    pub(crate) fn copy_truncate(&mut self, history: &mut History, between: u32) {
        self.finish_line(history);
        let Some(mut writer) = self.current.take() else { return };
        let copy = self.make_room();
        fs::copy(&self.path, &copy).unwrap();
        self.rotated.push_front(Rotated { incarnation: writer.incarnation, path: copy });
        writer.append(history, between, 60, false);
        history.excuse_last(self.index, writer.incarnation, between as usize);
        writer.is_emptied(history);
        self.current = Some(writer);
        self.renamed = None;
        self.has_short_copy = between > 0;
    }

    /// Compresses a rotated file as gzip does: the new one has the old one's time, and is
    /// complete when that is deleted.
    pub(crate) async fn gzip(&mut self, age: usize, takes: Duration) {
        let Some(rotated) = self.rotated.get_mut(age) else { return };
        let is_at_path = self.style == Style::Link && self.current.is_none() && age == 0;
        if rotated.is_compressed() || is_at_path {
            return;
        }
        if age == 0 {
            self.renamed = None;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&fs::read(&rotated.path).unwrap()).unwrap();
        let compressed = encoder.finish().unwrap();
        let path = with_ending(&rotated.path, ".gz");
        let mut file = File::create_new(&path).unwrap();
        let (first, rest) = compressed.split_at(compressed.len() / 2);
        file.write_all(first).unwrap();
        sleep(takes).await;
        file.write_all(rest).unwrap();
        file.set_modified(fs::metadata(&rotated.path).unwrap().modified().unwrap()).unwrap();
        fs::remove_file(&rotated.path).unwrap();
        rotated.path = path;
    }

    /// Deletes the file; its writer closes it.
    pub(crate) fn delete(&mut self, history: &mut History) -> Option<usize> {
        // Where a link led is told by the link alone.
        if self.style == Style::Link {
            return None;
        }
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
        let Some(oldest) = self.rotated.pop_back() else { return };
        fs::remove_file(&oldest.path).unwrap();
        if self.style == Style::Link && self.rotated.is_empty() && self.current.is_none() {
            fs::remove_file(&self.path).unwrap();
        }
    }

    /// Gives the file a second name.
    pub(crate) fn hard_link(&mut self, history: &mut History) {
        if let (Some(writer), None) = (&self.current, self.linked) {
            fs::hard_link(fs::canonicalize(&self.path).unwrap(), self.second_name()).unwrap();
            self.linked = Some(writer.incarnation);
            history.link(self.index);
        }
    }

    /// Removes the second name.
    pub(crate) fn unlink(&mut self) {
        if self.linked.take().is_some() {
            fs::remove_file(self.second_name()).unwrap();
        }
    }

    /// The place of the newest rotated file, with those that are there moved up.
    fn make_room(&mut self) -> PathBuf {
        for age in (0..self.rotated.len()).rev() {
            let ending = if self.rotated[age].is_compressed() { ".gz" } else { "" };
            let path = with_ending(&self.numbered(age + 2), ending);
            fs::rename(&self.rotated[age].path, &path).unwrap();
            self.rotated[age].path = path;
        }
        self.numbered(1)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let folder = if self.style == Style::Folder { self.folder.join("old") } else { self.folder.clone() };
        folder.join(format!("{}.{number}", self.name()))
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap().display().to_string()
    }

    fn second_name(&self) -> PathBuf {
        self.folder.join(format!("also-{}", self.name()))
    }
}

impl Rotated {
    fn is_compressed(&self) -> bool {
        self.path.extension().is_some_and(|ending| ending == "gz")
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(ending);
    path.into()
}
