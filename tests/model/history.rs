//! Every line that was written, and what has to become of it. Pure.

use std::{collections::HashMap, fmt::Write as _};

/// Names a line: which log, which incarnation of its file, which line of that.
pub(crate) type Name = (usize, usize, usize);

#[derive(Debug, Clone, Copy)]
struct Written {
    bytes: usize,
    /// It has to arrive. If not, it may: the file was gone before it was surely read.
    must_arrive: bool,
    /// It was written after the file had been rotated.
    is_late: bool,
}

/// What was written to the files of all logs.
#[derive(Debug)]
pub(crate) struct History {
    /// By log, incarnation and line.
    written: Vec<Vec<Vec<Written>>>,
}

impl History {
    pub(crate) fn new(logs: usize) -> Self {
        Self { written: vec![Vec::new(); logs] }
    }

    /// Begins a new incarnation of a log's file, and returns its number.
    pub(crate) fn begin(&mut self, log: usize) -> usize {
        self.written[log].push(Vec::new());
        self.written[log].len() - 1
    }

    /// The next line of an incarnation, which no other line equals; it counts when it is
    /// [`wrote`](Self::wrote).
    pub(crate) fn draft(&self, log: usize, incarnation: usize, bytes: usize) -> String {
        let mut line = format!("{log}:{incarnation}:{} ", self.lines_of(log, incarnation));
        loop {
            write!(line, "{:016x}", fastrand::u64(..)).unwrap();
            if line.len() >= bytes {
                return line;
            }
        }
    }

    /// A line was written, of so many bytes with its ending.
    pub(crate) fn wrote(&mut self, log: usize, incarnation: usize, bytes: usize, is_late: bool) {
        self.written[log][incarnation].push(Written { bytes, must_arrive: true, is_late });
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
    pub(crate) fn check(&self, arrived: &[Name]) -> Result<(), String> {
        let mut at = HashMap::new();
        for (offset, name) in arrived.iter().enumerate() {
            if let Some(first) = at.insert(*name, offset) {
                return Err(format!("{name:?} came at offset {first} and again at {offset}"));
            }
        }
        if let Some(lost) = self.awaited().find(|name| !at.contains_key(name)) {
            return Err(format!("{lost:?} is lost"));
        }
        let (mut of_file, mut of_log) = (HashMap::new(), HashMap::new());
        for name @ (log, incarnation, index) in arrived {
            let Some(line) = self.written.get(*log).and_then(|log| log.get(*incarnation)?.get(*index)) else {
                return Err(format!("{name:?} was never written"));
            };
            if let Some(before) = of_file.insert((log, incarnation), index).filter(|before| *before > index) {
                return Err(format!("{name:?} came after line {before} of the same file"));
            }
            // The successor of a file begins when the file is read to its end, and that may
            // have been before the late lines.
            if line.is_late {
                continue;
            }
            if let Some(before) = of_log.insert(log, incarnation).filter(|before| *before > incarnation) {
                return Err(format!("{name:?} came after a line of incarnation {before}"));
            }
        }
        Ok(())
    }
}

/// The name at the beginning of a line.
pub(crate) fn name_of(line: &str) -> Option<Name> {
    let mut parts = line.split(' ').next()?.split(':').map(|number| number.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}
