//! The newest entries of a topic, without a hole, in a bounded number of bytes.
//! Pure: what is read, and when, is decided elsewhere.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    record::{Offset, Timeline},
    store::{Entry, Item},
};

/// What an entry costs beside its stored bytes: its place in lists, its decoded head.
const ENTRY_OVERHEAD_BYTES: usize = 512;

/// What is found at an offset.
#[derive(Debug, Clone)]
pub(super) enum Slot {
    /// The entry that holds the line.
    Lines(Arc<Entry>),
    /// Lines that cannot be read, up to `next`.
    Lost { next: Offset, why: Arc<str> },
}

/// What an item from Redis is to somebody who wants `offset` next.
#[derive(Debug)]
pub(super) enum Found {
    /// What stands there.
    Slot(Slot),
    /// It does not belong there: the timeline may be another one. If it is not, the
    /// lines up to its end, or up to its begin, are lost.
    Misfit(Slot),
    /// It is of a format that this version does not know.
    Newer(String),
}

impl Found {
    /// Looks at an item that was read for `offset`.
    pub(super) fn at(offset: Offset, item: Item, timeline: &Timeline) -> Self {
        let lost = |next: Offset, why: String| Slot::Lost { next: next.max(offset.plus(1)), why: why.into() };
        match item {
            Item::Newer { format } => Self::Newer(format),
            Item::Bad { last, why } if last >= offset => Self::Slot(lost(last.plus(1), why)),
            Item::Bad { last, why } => Self::Misfit(lost(last.plus(1), why)),
            Item::Entry(entry) if entry.first > offset => {
                let why = format!("no entry in Redis holds the lines before offset {}", entry.first);
                Self::Misfit(lost(entry.first, why))
            }
            // Lines before the oldest epoch that is known are taken as they are.
            Item::Entry(entry)
                if entry.next() > offset
                    && (entry.first < timeline.epochs()[0].1
                        || entry.epoch == timeline.epoch_of(entry.first)) =>
            {
                Self::Slot(Slot::Lines(Arc::new(entry)))
            }
            Item::Entry(entry) => {
                let why = format!("the entry is of epoch {}, which has no such offset", entry.epoch);
                Self::Misfit(lost(entry.next(), why))
            }
        }
    }
}

impl Slot {
    /// The offset after it.
    pub(super) fn next(&self) -> Offset {
        match self {
            Self::Lines(entry) => entry.next(),
            Self::Lost { next, .. } => *next,
        }
    }

    fn bytes(&self) -> usize {
        let own = match self {
            Self::Lines(entry) => entry.bytes() + entry.batch.lines() as usize * size_of::<u32>(),
            Self::Lost { why, .. } => why.len(),
        };
        own + ENTRY_OVERHEAD_BYTES
    }
}

/// The slots from one offset up to another.
#[derive(Debug)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    begin: Offset,
    bytes: usize,
}

/// Where an offset lies relative to a window.
#[derive(Debug)]
pub(super) enum Place {
    /// Its slot is there.
    At(Slot),
    /// It is older.
    Behind,
    /// Nothing is there yet.
    Tail,
}

impl Window {
    /// An empty window whose next line is `begin`.
    pub(super) fn new(begin: Offset) -> Self {
        Self { slots: VecDeque::new(), begin, bytes: 0 }
    }

    /// The offset of its first line.
    pub(super) fn begin(&self) -> Offset {
        self.begin
    }

    /// The offset after the last slot: the next one to be read.
    pub(super) fn next(&self) -> Offset {
        self.slots.back().map_or(self.begin, Slot::next)
    }

    /// Its size in bytes, nearly.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is at an offset.
    pub(super) fn find(&self, offset: Offset) -> Place {
        if offset >= self.next() {
            return Place::Tail;
        }
        if offset < self.begin {
            return Place::Behind;
        }
        let index = self.slots.partition_point(|slot| slot.next() <= offset);
        self.slots.get(index).cloned().map_or(Place::Tail, Place::At)
    }

    /// Adds what was read at [`next`](Self::next), and drops from the old end what
    /// is more than `bound_bytes`.
    pub(super) fn push(&mut self, slot: Slot, bound_bytes: usize) {
        self.bytes += slot.bytes();
        self.slots.push_back(slot);
        self.shrink_to(bound_bytes);
    }

    /// Drops old slots until at most `bound_bytes` are left.
    pub(super) fn shrink_to(&mut self, bound_bytes: usize) {
        while self.bytes > bound_bytes
            && let Some(slot) = self.slots.pop_front()
        {
            self.bytes -= slot.bytes();
            self.begin = slot.next();
        }
    }

    /// Drops the slots that reach past `to`, and goes on from there.
    pub(super) fn rewind(&mut self, to: Offset) {
        while self.next() > to
            && let Some(slot) = self.slots.pop_back()
        {
            self.bytes -= slot.bytes();
        }
        if self.next() != to {
            *self = Self::new(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        proto,
        record::{BatchBuilder, Epoch, StoredBatch},
    };

    fn at(number: u64) -> Offset {
        Offset::new(number).unwrap()
    }

    fn entry(first: u64, lines: u32, epoch: u64) -> Entry {
        let mut builder = BatchBuilder::new(&proto::Source::default(), 0, 0);
        (0..lines).for_each(|_| builder.push(b"a line", 0));
        let batch = StoredBatch::parse(builder.seal(0).unwrap().stored, lines).unwrap();
        Entry::new(at(first), Epoch::new(epoch), 0, batch)
    }

    fn filled(lines: &[u32]) -> Window {
        let mut window = Window::new(at(10));
        for &lines in lines {
            let slot = Slot::Lines(Arc::new(entry(window.next().get(), lines, 1)));
            window.push(slot, usize::MAX);
        }
        window
    }

    proptest! {
        #[test]
        fn every_offset_between_the_ends_is_found_and_no_other(
            lines in prop::collection::vec(1..5_u32, 0..12), bound in 0..9000_usize, cut in 0..60_u64,
        ) {
            let mut window = filled(&lines);
            window.shrink_to(bound);
            prop_assert!(window.bytes() <= bound);
            let boundary = cut <= 10 || window.slots.iter().any(|slot| slot.next() == at(cut));
            if boundary && cut < window.next().get() {
                window.rewind(at(cut));
                prop_assert_eq!(window.next(), at(cut));
            }
            for offset in 0..80 {
                match window.find(at(offset)) {
                    Place::Behind => prop_assert!(at(offset) < window.begin),
                    Place::Tail => prop_assert!(at(offset) >= window.next()),
                    Place::At(Slot::Lines(entry)) => {
                        prop_assert!((entry.first..entry.next()).contains(&at(offset)));
                    }
                    Place::At(Slot::Lost { .. }) => prop_assert!(false),
                }
            }
            let bytes: usize = window.slots.iter().map(Slot::bytes).sum();
            prop_assert_eq!(window.bytes(), bytes);
        }
    }

    #[test]
    fn an_entry_of_another_epoch_or_offset_is_a_misfit() {
        let epochs = vec![(Epoch::new(1), at(5)), (Epoch::new(2), at(8))];
        let timeline = Timeline::new(epochs, at(0), at(20)).unwrap();
        let look = |offset, entry: Entry| Found::at(at(offset), Item::Entry(entry), &timeline);
        assert!(matches!(look(5, entry(5, 3, 1)), Found::Slot(_)));
        assert!(matches!(look(6, entry(5, 3, 1)), Found::Slot(_)));
        assert!(matches!(look(8, entry(8, 3, 2)), Found::Slot(_)));
        // Older than every epoch that is known.
        assert!(matches!(look(0, entry(0, 3, 77)), Found::Slot(_)));
        let misfit = |found, to| matches!(found, Found::Misfit(slot) if slot.next() == at(to));
        assert!(misfit(look(8, entry(8, 3, 1)), 11));
        assert!(misfit(look(6, entry(8, 3, 2)), 8));
    }

    #[test]
    fn an_unreadable_entry_loses_its_lines_and_a_newer_one_none() {
        let timeline = Timeline::new(vec![(Epoch::new(1), at(0))], at(0), at(20)).unwrap();
        let bad = Item::Bad { last: at(7), why: "torn".to_owned() };
        assert!(matches!(Found::at(at(5), bad, &timeline), Found::Slot(slot) if slot.next() == at(8)));
        let newer = Item::Newer { format: "2".to_owned() };
        assert!(matches!(Found::at(at(5), newer, &timeline), Found::Newer(_)));
    }
}
