//! Makes lines to be published out of the bytes of a file. Pure: it reads nothing itself
//! and asks no clock.
//!
//! Bytes are cut into lines (`cutter`: raw bytes or `utf16`). Where nothing else is asked
//! for, these are published as slices of what was read. Else an `assembly` unwraps them
//! (`container`), puts partial ones together and joins those that belong together
//! (`joiner`, by a `rule`, which may know the `traces` of a language).
//!
//! A position at which a batch may end is one before which every line is published and
//! behind which none is. What was ended there by time or by a bound, and not by what
//! stands in the file, is remembered (`ends`): read again, it ends there again.

mod assembly;
mod container;
mod cutter;
mod draft;
mod ends;
mod joiner;
mod rule;
mod traces;
mod utf16;

use std::time::{Duration, Instant};

use self::{assembly::Assembly, cutter::Cutter, ends::Ends};
use super::{
    input::{Format, LineOptions},
    lines::Cut,
};
use crate::record::NewLine;

/// How much longer than its content a line of a container format may be.
const WRAPPING_BYTES: usize = 64 * 1024;
/// Into how many bytes JSON may turn one.
const ESCAPED_BYTES: usize = 6;

/// The bytes of a file from some position on, made into lines.
///
/// To keep memory within its bounds, take lines until there are none before the next
/// block goes in.
#[derive(Debug)]
pub struct Framer {
    cutter: Cutter,
    /// None: lines are published as they are cut.
    assembly: Option<Box<Assembly>>,
    ends: Ends,
    partial_timeout: Option<Duration>,
    /// When the last block was read.
    grown_at: Option<Instant>,
    last_line: LastLine,
}

/// What becomes of a last line that has no ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastLine {
    Waits,
    /// It has waited for long enough.
    IsCut,
    /// The file has come to its end.
    IsWhole,
}

impl Framer {
    /// Lines of a file from `position` (bytes) on. `head` are the first bytes of the file,
    /// none past the position: they tell the byte order of UTF-16.
    pub fn new(options: &LineOptions, position: u64, head: &[u8]) -> Self {
        let is_plain = options.format == Format::Plain;
        let max_cut_bytes = if is_plain {
            options.max_line_bytes
        } else {
            options.max_line_bytes.saturating_mul(ESCAPED_BYTES).saturating_add(WRAPPING_BYTES)
        };
        let mut ends = Ends::default();
        ends.add_cut(position);
        Self {
            cutter: Cutter::new(options.encoding, max_cut_bytes, position, head),
            assembly: Assembly::new(options, position).map(Box::new),
            ends,
            // What a runtime has not written to its end is of no use.
            partial_timeout: options.publish_partial_ms.filter(|_| is_plain).map(Duration::from_millis),
            grown_at: None,
            last_line: LastLine::Waits,
        }
    }

    /// Forgets what is held and goes on from `position`.
    pub fn seek(&mut self, position: u64, head: &[u8]) {
        if let Some(assembly) = &mut self.assembly {
            assembly.seek(position, &mut self.ends);
        }
        self.cutter.seek(position, head);
        self.ends.add_cut(position);
        self.last_line = LastLine::Waits;
    }

    /// How many bytes to read next, at most: `most`, or up to where a line was cut before.
    pub fn most_bytes(&self, most: usize) -> usize {
        let position = self.read_position();
        let room = self.ends.next_cut(position).map_or(u64::MAX, |cut| cut - position);
        most.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Appends a block: at most [`most_bytes`](Self::most_bytes) of the file, from
    /// [`read_position`](Self::read_position) on, read at `now`.
    pub fn extend(&mut self, block: &[u8], now: Instant) {
        self.cutter.extend(block);
        self.grown_at = Some(now);
        self.last_line = LastLine::Waits;
    }

    /// Whether nothing but NUL bytes at the beginning of the file was read yet: more of them
    /// may be [passed](Self::pass_hole).
    pub fn is_in_hole(&self) -> bool {
        self.cutter.is_in_hole()
    }

    /// Goes on from `position`, without the NUL bytes before it, where nothing else
    /// [was read](Self::is_in_hole).
    pub fn pass_hole(&mut self, position: u64) {
        self.cutter.pass_hole(position);
    }

    /// The next line to be published; `None` when more bytes, or more time, are needed.
    pub fn next_line(&mut self) -> Option<NewLine<'_>> {
        let Some(assembly) = &mut self.assembly else {
            let cut = next_cut(&mut self.cutter, &mut self.last_line, &mut self.ends)?;
            let (content, truncated_bytes) = (self.cutter.content(&cut), cut.truncated_bytes);
            return Some(NewLine { content, truncated_bytes, time_unix_nano: 0, labels: None });
        };
        while !assembly.has_ready() {
            let last_line = self.last_line;
            let Some(cut) = next_cut(&mut self.cutter, &mut self.last_line, &mut self.ends) else {
                if last_line == LastLine::IsWhole {
                    assembly.end_all(self.cutter.position(), &mut self.ends);
                }
                break;
            };
            let now = self.grown_at?;
            assembly.accept(self.cutter.content(&cut), &cut, now, &mut self.ends);
        }
        assembly.take()
    }
}

/// The next line as it stands in the file.
fn next_cut(cutter: &mut Cutter, last_line: &mut LastLine, ends: &mut Ends) -> Option<Cut> {
    if let Some(cut) = cutter.next_cut() {
        return Some(cut);
    }
    let cut = match last_line {
        LastLine::IsWhole => cutter.finish_cut()?,
        // Cut here before: what looks like half of a character was known to be all of it.
        _ if ends.at(cutter.read_position()).cuts => {
            *last_line = LastLine::Waits;
            cutter.finish_cut()?
        }
        LastLine::Waits => return None,
        LastLine::IsCut => {
            *last_line = LastLine::Waits;
            cutter.partial_cut()?
        }
    };
    ends.add_cut(cut.end);
    Some(cut)
}

impl Framer {
    /// When something that is held will have waited for long enough; see
    /// [`expire`](Self::expire).
    pub fn deadline(&self) -> Option<Instant> {
        let partial = self.partial_timeout.filter(|_| self.cutter.holds_partial());
        let partial = partial.and_then(|timeout| Some(self.grown_at? + timeout));
        let assembled = self.assembly.as_ref().and_then(|assembly| assembly.deadline());
        partial.into_iter().chain(assembled).min()
    }

    /// Ends what has waited for long enough by `now`, when there is nothing more in the
    /// file and no line is left to be taken.
    pub fn expire(&mut self, now: Instant) {
        let partial = self.partial_timeout.filter(|_| self.cutter.holds_partial());
        if partial.is_some_and(|timeout| self.grown_at.is_some_and(|at| at + timeout <= now)) {
            self.last_line = LastLine::IsCut;
        }
        if let Some(assembly) = &mut self.assembly {
            assembly.expire(now, self.cutter.position(), &mut self.ends);
        }
    }

    /// Ends what waits for lines that will not come; an unfinished last line still waits.
    pub fn end_groups(&mut self) {
        if let Some(assembly) = &mut self.assembly {
            assembly.end_all(self.cutter.position(), &mut self.ends);
        }
    }

    /// Says that the file has come to its end: what is held is all there is of it.
    pub fn finish(&mut self) {
        self.last_line = LastLine::IsWhole;
    }

    /// The file position up to which all lines were taken.
    pub fn position(&self) -> u64 {
        self.assembly.as_ref().map_or_else(|| self.cutter.position(), |assembly| assembly.position())
    }

    /// Whether the lines that were taken last are one with the next ones: only both
    /// together have a position behind them.
    pub fn is_within_unit(&self) -> bool {
        self.assembly.as_ref().is_some_and(|assembly| assembly.is_within_unit())
    }

    /// The file position that the next block has to come from.
    pub fn read_position(&self) -> u64 {
        self.cutter.read_position()
    }

    /// Every position, as far as the file was read, at which a later line may end.
    pub fn possible_ends(&self) -> Vec<u64> {
        let mut ends = vec![self.position(), self.cutter.position()];
        if let Some(assembly) = &self.assembly {
            assembly.possible_ends(&mut ends);
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Where a line stands that is not of its format, and is published as it is; only the
    /// first one is told.
    pub fn take_malformed(&mut self) -> Option<u64> {
        self.assembly.as_mut()?.take_malformed()
    }

    /// Gives back all memory but that of what is held.
    pub fn shrink(&mut self) {
        self.cutter.shrink();
        if let Some(assembly) = &mut self.assembly {
            assembly.shrink();
        }
    }
}

#[cfg(test)]
mod tests;
