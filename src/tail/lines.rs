//! Cuts the bytes of a file into lines. Pure: it reads nothing itself.
//!
//! Blocks go in, lines are pulled out one by one as slices of the buffer, and the
//! caller may stop anywhere in between. Every byte is looked at once, also when a
//! line arrives in many small pieces.

use std::ops::Range;

use memchr::memchr;

#[cfg(test)]
mod tests;

/// One line, borrowed from the buffer it was cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its ending (`\n` or `\r\n`), cut to the greatest length.
    pub content: &'a [u8],
    /// Bytes of the line that the cut left out; its ending does not count.
    pub truncated_bytes: u64,
    /// The file position after the line and its ending.
    pub end: u64,
}

/// One line, by its place in the buffer it was cut from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    from: usize,
    to: usize,
    pub(super) truncated_bytes: u64,
    /// Whether a carriage return was taken for a part of the line's ending.
    pub(super) had_return: bool,
    /// The file positions before the line, and after it and its ending.
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Cut {
    pub(super) fn new(in_buffer: Range<usize>, truncated_bytes: u64, file: Range<u64>) -> Self {
        let Range { start: from, end: to } = in_buffer;
        Self { from, to, truncated_bytes, had_return: false, begin: file.start, end: file.end }
    }

    /// The line, where `buffer` is what it was cut from and has not changed since.
    pub(super) fn of<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        &buffer[self.from..self.to]
    }
}

/// The bytes of a file from some position on, cut into lines.
///
/// NUL bytes at the very beginning of a file are skipped: they are the hole that stays
/// when a file is truncated under a writer that goes on at its old place.
///
///
/// To keep memory within the longest line plus one block, take lines until there
/// are none before the next block goes in.
#[derive(Debug)]
pub struct Lines {
    /// `start..end` is held, `start..scanned` has no newline, the rest is spare room.
    buffer: Vec<u8>,
    start: usize,
    scanned: usize,
    end: usize,
    /// Bytes of the line at `start` that are in the file but not in the buffer: all
    /// behind the greatest length, except for the last one.
    dropped: u64,
    /// Whether all bytes of the file until now were NUL, and how many of those come
    /// before the line at `start`.
    in_hole: bool,
    hole: u64,
    max_line_bytes: usize,
    position: u64,
    read_position: u64,
}

impl Lines {
    /// Lines of a file from `position` (bytes) on, each cut to `max_line_bytes`.
    pub fn new(position: u64, max_line_bytes: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            end: 0,
            dropped: 0,
            in_hole: position == 0,
            hole: 0,
            max_line_bytes,
            position,
            read_position: position,
        }
    }

    /// Appends a block: the bytes of the file at [`read_position`](Self::read_position).
    pub fn extend(&mut self, block: &[u8]) {
        self.spare(block.len()).copy_from_slice(block);
        self.filled(block.len());
    }

    /// Room for `len` bytes to be read into; [`filled`](Self::filled) says how many
    /// have been. What is in it is unspecified.
    pub fn spare(&mut self, len: usize) -> &mut [u8] {
        if self.buffer.len() - self.end < len {
            self.make_room(len);
        }
        &mut self.buffer[self.end..self.end + len]
    }

    /// Takes over the first `len` bytes of what [`spare`](Self::spare) returned last.
    pub fn filled(&mut self, len: usize) {
        debug_assert!(len <= self.buffer.len() - self.end, "more bytes than there was room for");
        let len = len.min(self.buffer.len() - self.end);
        self.read_position += len as u64;
        let skipped = if self.in_hole { self.skip_hole(len) } else { 0 };
        self.end += len - skipped;
    }

    /// Whether all bytes of the file until now were NUL: then the NUL bytes that follow need
    /// not be read.
    pub fn is_in_hole(&self) -> bool {
        self.in_hole
    }

    /// Takes it that all bytes up to `position` are NUL, where
    /// [all before were](Self::is_in_hole).
    pub fn pass_hole(&mut self, position: u64) {
        let len = position.saturating_sub(self.read_position);
        self.hole += len;
        self.read_position += len;
    }

    /// Leaves out the NUL bytes among the `len` that were filled; how many they are.
    fn skip_hole(&mut self, len: usize) -> usize {
        let filled = &mut self.buffer[self.end..self.end + len];
        let skipped = filled.iter().position(|&byte| byte != 0).unwrap_or(len);
        filled.copy_within(skipped.., 0);
        self.hole += skipped as u64;
        self.in_hole = skipped == len;
        skipped
    }

    /// The next complete line; `None` when more bytes are needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        let cut = self.next_cut()?;
        Some(self.line(&cut))
    }

    /// Like [`next_line`](Self::next_line) for what has come to its end: after the
    /// complete lines it returns the unfinished last one. A `\r` at its end is content.
    pub fn finish(&mut self) -> Option<Line<'_>> {
        let cut = self.finish_cut()?;
        Some(self.line(&cut))
    }

    /// [`next_line`](Self::next_line), whose content is still to be looked up.
    pub(super) fn next_cut(&mut self) -> Option<Cut> {
        let newline = self.find_newline()?;
        Some(self.take(newline, 1))
    }

    /// [`finish`](Self::finish), whose content is still to be looked up.
    pub(super) fn finish_cut(&mut self) -> Option<Cut> {
        match self.find_newline() {
            Some(newline) => Some(self.take(newline, 1)),
            None if self.held_back() == 0 => None,
            None => Some(self.take(self.end, 0)),
        }
    }

    /// The content of the line that was cut last.
    pub(super) fn content(&self, cut: &Cut) -> &[u8] {
        cut.of(&self.buffer)
    }

    fn line(&self, cut: &Cut) -> Line<'_> {
        Line { content: self.content(cut), truncated_bytes: cut.truncated_bytes, end: cut.end }
    }

    /// The file position after the last line that was taken.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The file position that the next block has to come from.
    pub fn read_position(&self) -> u64 {
        self.read_position
    }

    /// Bytes in memory that were not taken: once [`next_line`](Self::next_line) has
    /// returned `None`, those of an unfinished line (at most the greatest length and one).
    pub fn held_back(&self) -> usize {
        self.end - self.start
    }

    /// Forgets what is held and goes on from `position`.
    pub fn seek(&mut self, position: u64) {
        (self.start, self.scanned, self.end, self.dropped) = (0, 0, 0, 0);
        (self.position, self.read_position) = (position, position);
        (self.in_hole, self.hole) = (position == 0, 0);
    }

    /// Gives back all memory but that of the bytes that are held.
    pub fn shrink(&mut self) {
        self.compact();
        self.buffer.truncate(self.end);
        self.buffer.shrink_to_fit();
    }

    fn find_newline(&mut self) -> Option<usize> {
        if let Some(at) = memchr(b'\n', &self.buffer[self.scanned..self.end]) {
            return Some(self.scanned + at);
        }
        self.drop_excess();
        self.scanned = self.end;
        None
    }

    /// Takes the line at `start..line_end` and the `ending` bytes (0 or 1) behind it.
    fn take(&mut self, line_end: usize, ending: usize) -> Cut {
        let start = self.start;
        let in_buffer = line_end - start;
        let is_crlf = ending == 1 && in_buffer > 0 && self.buffer[line_end - 1] == b'\r';
        let kept = (in_buffer - usize::from(is_crlf)).min(self.max_line_bytes);
        let truncated_bytes = self.dropped + (in_buffer - usize::from(is_crlf) - kept) as u64;

        let begin = self.position;
        self.position += self.hole + self.dropped + (in_buffer + ending) as u64;
        (self.hole, self.dropped) = (0, 0);
        self.start = line_end + ending;
        self.scanned = self.start;
        if self.start == self.end {
            (self.start, self.scanned, self.end) = (0, 0, 0);
        }
        let cut = Cut::new(start..start + kept, truncated_bytes, begin..self.position);
        Cut { had_return: is_crlf, ..cut }
    }

    /// Cuts an unfinished line that is too long already. Its last byte stays: it may
    /// turn out to be the `\r` of the line's ending.
    fn drop_excess(&mut self) {
        let excess = self.held_back().saturating_sub(self.max_line_bytes.saturating_add(1));
        if excess > 0 {
            let last = self.start + self.max_line_bytes;
            self.buffer[last] = self.buffer[self.end - 1];
            self.end = last + 1;
            self.dropped += excess as u64;
        }
    }

    fn make_room(&mut self, len: usize) {
        // An unfinished line is moved once at most, as it is at the front afterwards.
        // Lines that were not taken are moved only into as much free room again.
        let all_scanned = self.scanned == self.end;
        if self.start > 0 && (all_scanned || self.start >= self.held_back()) {
            self.compact();
        }
        // A long line doubles its buffer, up to the longest line and one block.
        let needed = self.end + len;
        let most = self.max_line_bytes.saturating_add(1).saturating_add(len);
        let wanted = needed.max((self.end * 2).min(most));
        if wanted > self.buffer.len() {
            self.buffer.reserve_exact(wanted - self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
    }

    fn compact(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.scanned -= self.start;
        self.start = 0;
    }
}
