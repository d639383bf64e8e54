//! Lines that are more than what stands between two newlines: unwrapped, put together
//! from parts, joined. Pure.

use std::time::{Duration, Instant};

use super::{
    container::{Stream, unwrap},
    draft::Draft,
    ends::Ends,
    joiner::{Joiner, Torn},
    rule::Verdict,
};
use crate::{
    record::NewLine,
    tail::{
        input::{Format, LineOptions},
        lines::Cut,
    },
};

/// How long the next part of a line is waited for.
const PARTS_TIMEOUT: Duration = Duration::from_secs(2);
/// Of how many parts a line may be put together.
const MAX_PARTS: u32 = 4096;

/// Where a stream was ended by force, until its next line shows whether that has torn
/// anything apart.
#[derive(Debug)]
struct Tear {
    position: u64,
    /// None: it has, whatever comes next.
    torn: Option<Torn>,
}

/// Puts lines together.
#[derive(Debug)]
pub(super) struct Assembly {
    format: Format,
    max_line_bytes: usize,
    /// For each stream the line whose last part has not come.
    parts: [Option<Draft>; Stream::ALL.len()],
    tears: [Option<Tear>; Stream::ALL.len()],
    joiner: Joiner,
    /// Where the first line stands that was not of the format, and whether that was told.
    malformed_at: Option<u64>,
    is_told: bool,
}

impl Assembly {
    /// An assembly for a file that stands at `position`; none where the lines of the file
    /// are published as they are.
    pub(super) fn new(options: &LineOptions, position: u64) -> Option<Self> {
        if options.format == Format::Plain && options.multiline.is_none() {
            return None;
        }
        Some(Self {
            format: options.format,
            max_line_bytes: options.max_line_bytes,
            parts: Default::default(),
            tears: Default::default(),
            joiner: Joiner::new(options.multiline.as_ref(), options.max_line_bytes, position),
            malformed_at: None,
            is_told: false,
        })
    }

    /// Forgets what is held and goes on from `position`.
    pub(super) fn seek(&mut self, position: u64, ends: &mut Ends) {
        for stream in Stream::ALL {
            self.parts[stream as usize] = None;
            // What comes next may show a tear that was not seen.
            if let Some(tear) = self.tears[stream as usize].take() {
                ends.add(tear.position, stream);
            }
        }
        self.joiner.seek(position);
    }

    /// Takes the next line of the file, which was read at `now`.
    pub(super) fn accept(&mut self, line: &[u8], cut: &Cut, now: Instant, ends: &mut Ends) {
        let mut draft = self.joiner.blank(now);
        (draft.begin, draft.end, draft.truncated_bytes) = (cut.begin, cut.end, cut.truncated_bytes);
        let is_whole = cut.truncated_bytes == 0 || self.format == Format::Plain;
        let piece = if is_whole { unwrap(self.format, line) } else { None };
        let mut is_partial = false;
        if let Some(piece) = piece {
            (draft.stream, draft.time_unix_nano, draft.labels) =
                (piece.stream, piece.time_unix_nano, piece.labels);
            self.fill(&mut draft, &piece.content);
            is_partial = piece.is_partial;
            // The line does not end here: what was taken for its ending is content.
            if is_partial && self.format == Format::Cri && cut.had_return {
                self.fill(&mut draft, b"\r");
            }
        } else {
            self.malformed_at.get_or_insert(cut.begin);
            draft.joins = false;
            self.fill(&mut draft, line);
        }
        self.put_together(draft, is_partial, ends);
        self.release();
        self.end_overdone(ends);
        for stream in ends.at(cut.end).streams() {
            self.end(stream, cut.end, ends);
        }
        self.release();
    }

    fn fill(&self, draft: &mut Draft, content: &[u8]) {
        let kept = content.len().min(self.max_line_bytes.saturating_sub(draft.content.len()));
        draft.content.extend_from_slice(&content[..kept]);
        draft.truncated_bytes += (content.len() - kept) as u64;
    }

    fn put_together(&mut self, draft: Draft, is_partial: bool, ends: &mut Ends) {
        let stream = draft.stream;
        let whole = match self.parts[stream as usize].take() {
            None => draft,
            Some(mut parts) => {
                parts.go_on(&draft, self.max_line_bytes);
                self.joiner.recycle(draft);
                parts
            }
        };
        if is_partial && whole.lines < MAX_PARTS {
            self.parts[stream as usize] = Some(whole);
        } else {
            self.feed(whole, ends);
        }
    }

    fn feed(&mut self, mut line: Draft, ends: &mut Ends) {
        line.lines = 1;
        if let Some(tear) = self.tears[line.stream as usize].take() {
            let is_torn = tear.torn.is_none_or(|torn| {
                let mut state = torn.state;
                torn.was_undecided || self.joiner.rule.next(&mut state, &line.content) != Verdict::Begins
            });
            if is_torn {
                ends.add(tear.position, line.stream);
            }
        }
        self.joiner.feed(line);
    }

    /// Ends what is open of a stream, at `position`: up to there the file was taken.
    fn end(&mut self, stream: Stream, position: u64, ends: &mut Ends) {
        let parts = self.parts[stream as usize].take();
        let was_in_parts = parts.is_some();
        if let Some(parts) = parts {
            self.feed(parts, ends);
        }
        let torn = self.joiner.end(stream);
        if was_in_parts || torn.is_some() {
            let torn = torn.filter(|_| !was_in_parts);
            self.tears[stream as usize] = Some(Tear { position, torn });
        }
    }

    /// Ends what keeps too much waiting. That depends on nothing but what stands in the
    /// file from there on, so it needs not be remembered, but for where it left out a line.
    fn end_overdone(&mut self, ends: &mut Ends) {
        while self.joiner.is_overdone() {
            let parts = self.parts.iter_mut().filter(|parts| parts.is_some());
            let first = parts.min_by_key(|parts| parts.as_ref().map(|parts| parts.begin));
            let group = self.joiner.first_open();
            match first
                .and_then(|parts| parts.take_if(|parts| group.is_none_or(|(begin, _)| parts.begin < begin)))
            {
                Some(parts) => self.feed(parts, ends),
                None => group.into_iter().for_each(|(_, stream)| self.end_group(stream, ends)),
            }
            self.release();
        }
    }

    /// Ends the group of a stream. A line of which only parts have come will not be in it; where all
    /// is ended at a position, it would.
    fn end_group(&mut self, stream: Stream, ends: &mut Ends) {
        if let Some(parts) = &self.parts[stream as usize] {
            ends.add(parts.begin, stream);
        }
        self.joiner.end(stream);
    }

    /// Ends all that is open.
    pub(super) fn end_all(&mut self, position: u64, ends: &mut Ends) {
        for stream in Stream::ALL {
            self.end(stream, position, ends);
        }
        self.release();
    }

    /// Ends what has waited for long enough, when nothing more is in the file.
    pub(super) fn expire(&mut self, now: Instant, position: u64, ends: &mut Ends) {
        for stream in Stream::ALL {
            if self.due(stream).is_some_and(|due| due <= now) {
                self.end(stream, position, ends);
            }
        }
        self.release();
    }

    /// When the first stream has waited for long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        Stream::ALL.into_iter().filter_map(|stream| self.due(stream)).min()
    }

    fn due(&self, stream: Stream) -> Option<Instant> {
        match &self.parts[stream as usize] {
            Some(parts) => Some(parts.grown_at + PARTS_TIMEOUT),
            None => self.joiner.due(stream),
        }
    }

    fn release(&mut self) {
        let limit = self.parts.iter().flatten().map(|parts| parts.begin).min();
        self.joiner.release(limit.unwrap_or(u64::MAX));
    }

    /// The next line that is ready to be published.
    pub(super) fn take(&mut self) -> Option<NewLine<'_>> {
        self.joiner.take()
    }

    pub(super) fn has_ready(&self) -> bool {
        self.joiner.has_ready()
    }

    /// The file position up to which all lines were taken.
    pub(super) fn position(&self) -> u64 {
        self.joiner.position()
    }

    /// Whether the lines that were taken last are one with the next ones.
    pub(super) fn is_within_unit(&self) -> bool {
        self.joiner.is_within_unit()
    }

    /// Adds every position to `ends` at which what is held may end.
    pub(super) fn possible_ends(&self, ends: &mut Vec<u64>) {
        self.joiner.possible_ends(ends);
        ends.extend(self.parts.iter().flatten().flat_map(|parts| [parts.begin, parts.end]));
    }

    /// Where the first line stands that was not of the format; says it once.
    pub(super) fn take_malformed(&mut self) -> Option<u64> {
        let at = self.malformed_at.filter(|_| !self.is_told)?;
        self.is_told = true;
        Some(at)
    }

    pub(super) fn shrink(&mut self) {
        self.joiner.shrink();
    }
}
