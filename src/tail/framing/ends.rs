//! Where lines were ended by something else than what stands in the file: by time, by a
//! bound, by a restart. Pure.
//!
//! When Redis forgets lines they are read and sent again, and have to be cut at the same
//! places to bear the same numbers.

use std::{collections::BTreeMap, ops::Bound};

use super::container::Stream;

/// How many are remembered. Only those count where more came later that would have been
/// joined: a file has one of them rarely.
const MAX_ENDS: usize = 4096;

/// What ended at a position.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended {
    streams: [bool; Stream::ALL.len()],
    /// The unfinished last line of the file too.
    pub(super) cuts: bool,
}

impl Ended {
    pub(super) fn streams(self) -> impl Iterator<Item = Stream> {
        Stream::ALL.into_iter().filter(move |stream| self.streams[*stream as usize])
    }
}

/// The latest of them.
#[derive(Debug, Default)]
pub(super) struct Ends {
    by_position: BTreeMap<u64, Ended>,
}

impl Ends {
    /// What was open of a stream ended here.
    pub(super) fn add(&mut self, position: u64, stream: Stream) {
        self.at_mut(position).streams[stream as usize] = true;
        self.forget_excess();
    }

    /// Everything ended here, also in the middle of a line.
    pub(super) fn add_cut(&mut self, position: u64) {
        *self.at_mut(position) = Ended { streams: [true; Stream::ALL.len()], cuts: true };
        self.forget_excess();
    }

    /// What ended at a position.
    pub(super) fn at(&self, position: u64) -> Ended {
        self.by_position.get(&position).copied().unwrap_or_default()
    }

    /// The first position behind this one at which a line may be cut.
    pub(super) fn next_cut(&self, position: u64) -> Option<u64> {
        let mut behind = self.by_position.range((Bound::Excluded(position), Bound::Unbounded));
        behind.find(|(_, ended)| ended.cuts).map(|(&at, _)| at)
    }

    fn at_mut(&mut self, position: u64) -> &mut Ended {
        self.by_position.entry(position).or_default()
    }

    fn forget_excess(&mut self) {
        if self.by_position.len() > MAX_ENDS {
            self.by_position.pop_first();
        }
    }
}
