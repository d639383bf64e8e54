//! Cuts a file in UTF-16 into lines of UTF-8. Pure.
//!
//! Positions stay bytes of the file: a code unit is always at an even one.

use crate::tail::lines::Cut;

const LINE_FEED: u16 = 0x0a;
const CARRIAGE_RETURN: u16 = 0x0d;

/// Which byte of a code unit comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// What the first bytes of a file say.
    fn of_mark(head: &[u8]) -> Option<Self> {
        match head {
            [0xff, 0xfe, ..] => Some(Self::Little),
            [0xfe, 0xff, ..] => Some(Self::Big),
            _ => None,
        }
    }

    fn unit(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }
}

/// Where in a file the next code unit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At its first byte: a byte order mark may come.
    Beginning,
    /// Behind nothing but NUL, the hole that a truncation leaves.
    Hole,
    Text,
}

/// The bytes of a file from some position on, cut into lines.
#[derive(Debug)]
pub(super) struct Utf16Lines {
    /// The order where no byte order mark says another.
    declared: ByteOrder,
    order: ByteOrder,
    place: Place,
    /// What was read last; `at..` is not decoded yet.
    block: Vec<u8>,
    at: usize,
    /// The line that is being decoded, or was taken last.
    line: Vec<u8>,
    is_taken: bool,
    truncated_bytes: u64,
    /// The last code unit, where the next one tells what it is: a carriage return or the
    /// first half of a surrogate pair.
    pending: Option<u16>,
    max_line_bytes: usize,
    /// Where the line begins in the file.
    begin: u64,
    read_position: u64,
}

impl Utf16Lines {
    /// Lines of a file from `position` on, each cut to `max_line_bytes` of UTF-8. `head`
    /// are the first bytes of the file, none past the position.
    pub(super) fn new(declared: ByteOrder, position: u64, head: &[u8], max_line_bytes: usize) -> Self {
        let order = declared;
        let mut lines = Self {
            declared,
            order,
            place: Place::Beginning,
            block: Vec::new(),
            at: 0,
            line: Vec::new(),
            is_taken: false,
            truncated_bytes: 0,
            pending: None,
            max_line_bytes,
            begin: 0,
            read_position: 0,
        };
        lines.seek(position, head);
        lines
    }

    /// Forgets what is held and goes on from `position`.
    pub(super) fn seek(&mut self, position: u64, head: &[u8]) {
        self.order = ByteOrder::of_mark(head).unwrap_or(self.declared);
        self.place = if position == 0 { Place::Beginning } else { Place::Text };
        self.block.clear();
        self.line.clear();
        (self.at, self.is_taken, self.truncated_bytes, self.pending) = (0, false, 0, None);
        (self.begin, self.read_position) = (position, position);
    }

    /// Appends a block: the bytes of the file at the end of the one before.
    pub(super) fn extend(&mut self, block: &[u8]) {
        self.block.drain(..self.at);
        self.at = 0;
        self.block.extend_from_slice(block);
        self.read_position += block.len() as u64;
    }

    /// The next complete line; `None` when more bytes are needed.
    pub(super) fn next_cut(&mut self) -> Option<Cut> {
        self.give_back_taken();
        while let Some(unit) = self.next_unit() {
            if unit == LINE_FEED {
                // A carriage return before it is part of the ending.
                let had_return = self.pending.take_if(|pending| *pending == CARRIAGE_RETURN).is_some();
                self.push_pending();
                let mut cut = self.take(self.position_of_next_unit());
                cut.had_return = had_return;
                return Some(cut);
            }
            self.push_unit(unit);
        }
        None
    }

    /// After all complete lines: the unfinished last one, as far as it can be read. Half of
    /// a surrogate pair waits for the other half.
    pub(super) fn partial_cut(&mut self) -> Option<Cut> {
        let half = self.pending.take_if(|pending| *pending != CARRIAGE_RETURN);
        self.push_pending();
        if !self.holds_text() {
            self.pending = half;
            return None;
        }
        let cut = self.take(self.position_of_next_unit() - if half.is_some() { 2 } else { 0 });
        self.pending = half;
        Some(cut)
    }

    /// The same for a file that has come to its end: what is left of it is all there is.
    pub(super) fn finish_cut(&mut self) -> Option<Cut> {
        let next = self.next_cut();
        if next.is_some() {
            return next;
        }
        self.push_pending();
        if self.at < self.block.len() {
            self.at = self.block.len();
            self.push(char::REPLACEMENT_CHARACTER);
        }
        self.holds_text().then(|| self.take(self.read_position))
    }

    /// The content of the line that was cut last.
    pub(super) fn content(&self, cut: &Cut) -> &[u8] {
        cut.of(&self.line)
    }

    /// Whether [`partial_cut`](Self::partial_cut) has something.
    pub(super) fn holds_partial(&self) -> bool {
        self.holds_text() || self.pending == Some(CARRIAGE_RETURN)
    }

    /// The file position after the last line that was taken.
    pub(super) fn position(&self) -> u64 {
        self.begin
    }

    /// The file position that the next block has to come from.
    pub(super) fn read_position(&self) -> u64 {
        self.read_position
    }

    /// Gives back all memory but that of what is held.
    pub(super) fn shrink(&mut self) {
        self.give_back_taken();
        self.extend(&[]);
        self.block.shrink_to_fit();
        self.line.shrink_to_fit();
    }

    fn position_of_next_unit(&self) -> u64 {
        self.read_position - (self.block.len() - self.at) as u64
    }

    fn next_unit(&mut self) -> Option<u16> {
        loop {
            if self.position_of_next_unit() % 2 == 1 && self.at < self.block.len() {
                // The rest of a code unit whose first byte was read as something else.
                self.at += 1;
            }
            let bytes = [*self.block.get(self.at)?, *self.block.get(self.at + 1)?];
            self.at += 2;
            if self.place == Place::Beginning {
                self.place = Place::Hole;
                if let Some(order) = ByteOrder::of_mark(&bytes) {
                    (self.order, self.place) = (order, Place::Text);
                    continue;
                }
            }
            if self.place == Place::Hole && bytes == [0, 0] {
                continue;
            }
            self.place = Place::Text;
            return Some(self.order.unit(bytes));
        }
    }

    fn push_unit(&mut self, unit: u16) {
        if let Some(pending) = self.pending {
            if let Some(Ok(whole)) = char::decode_utf16([pending, unit]).next()
                && pending != CARRIAGE_RETURN
            {
                self.pending = None;
                return self.push(whole);
            }
            self.push_pending();
        }
        match unit {
            CARRIAGE_RETURN | 0xd800..0xdc00 => self.pending = Some(unit),
            _ => self.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn push_pending(&mut self) {
        match self.pending.take() {
            Some(CARRIAGE_RETURN) => self.push('\r'),
            Some(_) => self.push(char::REPLACEMENT_CHARACTER),
            None => {}
        }
    }

    /// What does not fit is cut off with all that follows.
    fn push(&mut self, character: char) {
        let len = character.len_utf8();
        if self.truncated_bytes > 0 || self.line.len() + len > self.max_line_bytes {
            self.truncated_bytes += len as u64;
        } else {
            self.line.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn holds_text(&self) -> bool {
        !self.is_taken && (!self.line.is_empty() || self.truncated_bytes > 0)
    }

    fn take(&mut self, end: u64) -> Cut {
        let cut = Cut::new(0..self.line.len(), self.truncated_bytes, self.begin..end);
        (self.begin, self.is_taken) = (end, true);
        cut
    }

    fn give_back_taken(&mut self) {
        if std::mem::take(&mut self.is_taken) {
            self.line.clear();
            self.truncated_bytes = 0;
        }
    }
}
