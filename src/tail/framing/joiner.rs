//! Lines that wait for what comes next, and are published in the order in which they
//! began. Pure.
//!
//! The lines of two streams may alternate in a file. A position says that everything
//! before it is published and nothing behind it, so what is entangled is handed out as
//! one unit: when all of it is complete.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{
    container::Stream,
    draft::Draft,
    rule::{Rule, State, Verdict},
};
use crate::{record::NewLine, tail::input::Multiline};

/// How many lines are kept that may or may not belong to a group.
const MAX_MAYBE: usize = 16;
/// How many lines a unit may have, before what is open is ended.
const MAX_UNIT_DRAFTS: usize = 1000;
/// How many buffers of published lines are used again, and how large they may be.
const MAX_SPARE: usize = 4;
const MAX_SPARE_BYTES: usize = 16 * 1024;

/// A line that is published, or will be.
#[derive(Debug)]
struct Group {
    draft: Draft,
    /// None when it is complete.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    state: State,
    /// Lines behind it that belong to it if a later one does.
    maybe: Vec<Draft>,
}

/// What was open when it was ended by force.
#[derive(Debug)]
pub(super) struct Torn {
    pub(super) state: State,
    /// Whether lines were waiting for what the next one says of them.
    pub(super) was_undecided: bool,
}

/// Joins lines, and hands out complete units.
#[derive(Debug)]
pub(super) struct Joiner {
    pub(super) rule: Rule,
    max_lines: u32,
    max_bytes: usize,
    max_unit_bytes: usize,
    timeout: Duration,
    /// In the order in which they begin in the file; without a gap, and one behind the
    /// other but for what is entangled.
    queue: VecDeque<Group>,
    /// How many at the front are of complete units.
    ready: usize,
    /// The end of what was handed out, and that of the last unit of it.
    reach: u64,
    position: u64,
    taken: Option<Draft>,
    spare: Vec<Draft>,
}

impl Joiner {
    pub(super) fn new(multiline: Option<&Multiline>, max_line_bytes: usize, position: u64) -> Self {
        let max_bytes = multiline.map_or(0, |multiline| multiline.max_bytes);
        Self {
            rule: Rule::new(multiline),
            max_lines: multiline.map_or(1, |multiline| multiline.max_lines),
            max_bytes,
            max_unit_bytes: max_bytes.max(max_line_bytes).saturating_mul(2),
            timeout: Duration::from_millis(multiline.map_or(0, |multiline| multiline.timeout_ms)),
            queue: VecDeque::new(),
            ready: 0,
            reach: position,
            position,
            taken: None,
            spare: Vec::new(),
        }
    }

    /// Forgets what is held and goes on from `position`.
    pub(super) fn seek(&mut self, position: u64) {
        self.queue.clear();
        (self.ready, self.reach, self.position) = (0, position, position);
    }

    /// An empty draft, whose buffer may have been used before.
    pub(super) fn blank(&mut self, now: Instant) -> Draft {
        let mut content = self.spare.pop().map(|draft| draft.content).unwrap_or_default();
        content.clear();
        Draft {
            stream: Stream::None,
            joins: true,
            content,
            truncated_bytes: 0,
            time_unix_nano: 0,
            labels: None,
            begin: 0,
            end: 0,
            lines: 1,
            grown_at: now,
        }
    }

    pub(super) fn recycle(&mut self, draft: Draft) {
        if self.spare.len() < MAX_SPARE && draft.content.capacity() <= MAX_SPARE_BYTES {
            self.spare.push(draft);
        }
    }

    /// Takes the next line of a stream.
    pub(super) fn feed(&mut self, line: Draft) {
        // Those that come next; there are more only where some were undecided.
        let mut todo = Vec::new();
        let mut next = Some(line);
        while let Some(line) = next.or_else(|| todo.pop()) {
            next = None;
            let Some(at) = self.open_of(line.stream).filter(|_| line.joins) else {
                self.begin(line);
                continue;
            };
            match self.verdict(at, &line) {
                Verdict::Joins => self.join(at, line),
                Verdict::MayJoin => {
                    if let Some(open) = &mut self.queue[at].open {
                        open.maybe.push(line);
                    }
                }
                Verdict::Begins => {
                    let undecided = self.queue[at].open.take().map(|open| open.maybe).unwrap_or_default();
                    if undecided.is_empty() {
                        self.begin(line);
                    } else {
                        todo.push(line);
                        todo.extend(undecided.into_iter().rev());
                    }
                }
            }
        }
    }

    fn join(&mut self, at: usize, line: Draft) {
        let group = &mut self.queue[at];
        let maybe = group.open.as_mut().map(|open| std::mem::take(&mut open.maybe)).unwrap_or_default();
        for line in maybe.into_iter().chain([line]) {
            self.queue[at].draft.join(&line);
            self.recycle(line);
        }
    }

    /// Ends what is open of a stream.
    pub(super) fn end(&mut self, stream: Stream) -> Option<Torn> {
        let mut torn: Option<Torn> = None;
        while let Some(at) = self.open_of(stream) {
            let open = self.queue[at].open.take()?;
            let was_undecided = !open.maybe.is_empty() || torn.is_some();
            torn = Some(Torn { state: open.state, was_undecided });
            open.maybe.into_iter().for_each(|line| self.feed(line));
        }
        torn
    }

    /// When the open group of a stream has waited for long enough.
    pub(super) fn due(&self, stream: Stream) -> Option<Instant> {
        let group = &self.queue[self.open_of(stream)?];
        let last = group.open.as_ref()?.maybe.last().unwrap_or(&group.draft);
        Some(last.grown_at + self.timeout)
    }

    /// Finds out what is complete; nothing from `limit` on is.
    pub(super) fn release(&mut self, limit: u64) {
        let mut reach = self.reach;
        for at in 0..self.queue.len() {
            let group = &self.queue[at];
            reach = reach.max(group.draft.end);
            if group.open.is_some() || reach > limit {
                return;
            }
            if at >= self.ready && self.queue.get(at + 1).is_none_or(|next| next.draft.begin >= reach) {
                self.ready = at + 1;
            }
        }
    }

    /// The first group that is not complete: where it begins, and its stream.
    pub(super) fn first_open(&self) -> Option<(u64, Stream)> {
        let open = self.queue.iter().find(|group| group.open.is_some())?;
        Some((open.draft.begin, open.draft.stream))
    }

    /// Whether so much waits that what it waits for has to be ended.
    pub(super) fn is_overdone(&self) -> bool {
        let waiting = self.queue.len() - self.ready;
        let mut drafts = self.queue.iter().skip(self.ready).map(|group| group.draft.content.len());
        waiting > MAX_UNIT_DRAFTS
            || (waiting > 1 && drafts.try_fold(self.max_unit_bytes, usize::checked_sub).is_none())
    }

    /// The next line of a complete unit.
    pub(super) fn take(&mut self) -> Option<NewLine<'_>> {
        if self.ready == 0 {
            return None;
        }
        let Group { draft, .. } = self.queue.pop_front()?;
        self.ready -= 1;
        self.reach = self.reach.max(draft.end);
        if self.queue.front().is_none_or(|next| next.draft.begin >= self.reach) {
            self.position = self.reach;
        }
        if let Some(before) = self.taken.replace(draft) {
            self.recycle(before);
        }
        self.taken.as_ref().map(Draft::line)
    }

    /// The file position after the last unit that was handed out.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether a unit is handed out in part.
    pub(super) fn is_within_unit(&self) -> bool {
        self.position != self.reach
    }

    pub(super) fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// Every position at which a unit that is not handed out yet may end, as far as the
    /// file was read.
    pub(super) fn possible_ends(&self, ends: &mut Vec<u64>) {
        for group in &self.queue {
            let maybe = group.open.iter().flat_map(|open| &open.maybe);
            ends.extend(maybe.chain([&group.draft]).flat_map(|draft| [draft.begin, draft.end]));
        }
    }

    /// Gives back the memory that is not needed.
    pub(super) fn shrink(&mut self) {
        (self.taken, self.spare) = (None, Vec::new());
        self.queue.shrink_to_fit();
    }

    fn begin(&mut self, line: Draft) {
        let state = if line.joins { self.rule.begin(&line.content) } else { None };
        let open = state.map(|state| Open { state, maybe: Vec::new() });
        // Lines that were undecided may stand before others by now.
        let at = self.queue.partition_point(|group| group.draft.begin < line.begin);
        self.queue.insert(at, Group { draft: line, open });
    }

    fn open_of(&self, stream: Stream) -> Option<usize> {
        self.queue.iter().rposition(|group| group.open.is_some() && group.draft.stream == stream)
    }

    fn verdict(&mut self, at: usize, line: &Draft) -> Verdict {
        let group = &mut self.queue[at];
        let Some(open) = &mut group.open else { return Verdict::Begins };
        let with_ending = |draft: &Draft| draft.content.len() + 1;
        let maybe_bytes: usize = open.maybe.iter().map(with_ending).sum();
        let bytes = group.draft.content.len() + maybe_bytes + with_ending(line);
        let lines = group.draft.lines as usize + open.maybe.len() + 1;
        if lines > self.max_lines as usize || bytes > self.max_bytes {
            return Verdict::Begins;
        }
        match self.rule.next(&mut open.state, &line.content) {
            Verdict::MayJoin if open.maybe.len() >= MAX_MAYBE => Verdict::Begins,
            verdict => verdict,
        }
    }
}
