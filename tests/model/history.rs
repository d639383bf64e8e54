//! Every line that was written, and what has to become of it. Pure.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::action::{Plan, Style};

/// Names a line: which log, which incarnation of its file, which line of that.
pub(crate) type Name = (usize, usize, usize);

/// A line that arrived: its name, and the hash of its content.
pub(crate) type Arrived = (Name, u64);

/// What every file begins with where it has a banner: more than the kilobyte by which
/// files are known.
pub(crate) const BANNER_BYTES: usize = 1100;

#[derive(Debug, Clone, Copy)]
struct Written {
    /// With its ending.
    bytes: usize,
    hash: u64,
    /// It has to arrive. If not, it may: the file was gone before it was surely read.
    must_arrive: bool,
    /// It was written after the file had been rotated.
    is_late: bool,
}

/// What was written to the files of all logs.
#[derive(Debug)]
pub(crate) struct History {
    has_banner: bool,
    has_groups: bool,
    /// Logs of which only each file is in order, as a file of them has two names, or one of
    /// its own, in the glob.
    unordered: HashSet<usize>,
    /// By log, incarnation and line.
    written: Vec<Vec<Vec<Written>>>,
}

impl History {
    pub(crate) fn new(logs: usize, plan: &Plan) -> Self {
        let Plan { has_banner, has_groups, .. } = *plan;
        let is_elsewhere = plan.inside && plan.style == Style::Folder;
        let unordered = (0..logs).filter(|_| is_elsewhere).collect();
        Self { has_banner, has_groups, unordered, written: vec![Vec::new(); logs] }
    }

    /// Begins a new incarnation of a log's file, and returns its number.
    pub(crate) fn begin(&mut self, log: usize) -> usize {
        self.written[log].push(Vec::new());
        self.written[log].len() - 1
    }

    /// A log's file was given a second name.
    pub(crate) fn link(&mut self, log: usize) {
        self.unordered.insert(log);
    }

    /// The next line of an incarnation, or group of lines, which no other equals; it counts when it is
    /// [`wrote`](Self::wrote).
    pub(crate) fn draft(&self, log: usize, incarnation: usize, bytes: usize) -> String {
        let mut line = format!("{log}:{incarnation}:{} ", self.lines_of(log, incarnation));
        loop {
            write!(line, "{:016x}", fastrand::u64(..)).unwrap();
            if line.len() >= bytes {
                break;
            }
        }
        for _ in 0..if self.has_groups { fastrand::u32(..4) } else { 0 } {
            write!(line, "\n  {:016x}", fastrand::u64(..)).unwrap();
        }
        line
    }

    /// What has to be written before the first line of an incarnation: a line that all of
    /// them have, with its ending. It counts as written.
    pub(crate) fn banner(&mut self, log: usize, incarnation: usize, is_late: bool) -> String {
        if !self.has_banner || self.lines_of(log, incarnation) > 0 {
            return String::new();
        }
        let banner = "=".repeat(BANNER_BYTES);
        self.wrote(log, incarnation, &banner, is_late);
        banner + "\n"
    }

    /// A line was written.
    pub(crate) fn wrote(&mut self, log: usize, incarnation: usize, line: &str, is_late: bool) {
        let written =
            Written { bytes: line.len() + 1, hash: hash_of(line.as_bytes()), must_arrive: true, is_late };
        self.written[log][incarnation].push(written);
    }

    /// The last `count` lines of an incarnation need not arrive.
    pub(crate) fn excuse_last(&mut self, log: usize, incarnation: usize, count: usize) {
        let lines = &mut self.written[log][incarnation];
        let from = lines.len() - count;
        lines[from..].iter_mut().for_each(|line| line.must_arrive = false);
    }

    /// No line of an incarnation has to arrive any more.
    pub(crate) fn excuse(&mut self, log: usize, incarnation: usize) {
        self.excuse_last(log, incarnation, self.written[log][incarnation].len());
    }

    /// The lines that have to arrive.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = Name> + '_ {
        self.written.iter().enumerate().flat_map(|(log, incarnations)| {
            incarnations.iter().enumerate().flat_map(move |(incarnation, lines)| {
                let due = lines.iter().enumerate().filter(|(_, line)| line.must_arrive);
                due.map(move |(index, _)| (log, incarnation, index))
            })
        })
    }

    /// Bytes of an incarnation up to its first line that has not arrived.
    pub(crate) fn bytes_arrived(&self, log: usize, incarnation: usize, has: impl Fn(Name) -> bool) -> usize {
        let lines = self.written[log][incarnation].iter().enumerate();
        lines.take_while(|(index, _)| has((log, incarnation, *index))).map(|(_, line)| line.bytes).sum()
    }

    /// Lines of an incarnation.
    pub(crate) fn lines_of(&self, log: usize, incarnation: usize) -> usize {
        self.written[log][incarnation].len()
    }

    /// Compares with what arrived, in its order.
    pub(crate) fn check(&self, arrived: &[Arrived]) -> Result<(), String> {
        let mut at = HashMap::new();
        for (offset, (name, _)) in arrived.iter().enumerate() {
            if let Some(first) = at.insert(*name, offset) {
                return Err(format!("{name:?} came at offset {first} and again at {offset}"));
            }
        }
        if let Some(lost) = self.awaited().find(|name| !at.contains_key(name)) {
            return Err(format!("{lost:?} is lost"));
        }
        self.check_order(arrived)
    }

    fn check_order(&self, arrived: &[Arrived]) -> Result<(), String> {
        let (mut of_file, mut of_log) = (HashMap::new(), HashMap::new());
        for (name @ (log, incarnation, index), hash) in arrived {
            let written = self.written.get(*log).and_then(|log| log.get(*incarnation)?.get(*index));
            let Some(line) = written.filter(|line| line.hash == *hash) else {
                return Err(format!("{name:?} was never written like this"));
            };
            if let Some(before) = of_file.insert((log, incarnation), index).filter(|before| *before > index) {
                return Err(format!("{name:?} came after line {before} of the same file"));
            }
            // The successor of a file begins when the file is read to its end, and that may
            // have been before the late lines.
            if line.is_late || self.unordered.contains(log) {
                continue;
            }
            if let Some(before) = of_log.insert(log, incarnation).filter(|before| *before > incarnation) {
                return Err(format!("{name:?} came after a line of incarnation {before}"));
            }
        }
        Ok(())
    }
}

/// The name at the beginning of a line; none for a banner, which is named by the line after it.
pub(crate) fn name_of(line: &[u8]) -> Result<Option<Name>, String> {
    if line.len() == BANNER_BYTES && line.iter().all(|byte| *byte == b'=') {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(line);
    let name = || {
        let mut parts = text.split(' ').next()?.split(':').map(|number| number.parse().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    };
    name().map(Some).ok_or_else(|| format!("{text:?} was never written"))
}

pub(crate) fn hash_of(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}
