//! What Redis says of a topic's past: which epochs there were, and where.

use std::fmt;

use super::{Cursor, Epoch, Offset, Topic};

/// The epochs of a topic with the offset at which each began, oldest first, and
/// the offsets between which there are lines. Has at least one epoch; epochs and
/// begins never decrease; `first <= next`, and the last epoch begins at or
/// before `next`.
#[derive(Clone, PartialEq, Eq)]
pub struct Timeline {
    epochs: Vec<(Epoch, Offset)>,
    first: Offset,
    next: Offset,
}

/// Why something read from Redis is no timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimelineError {
    /// There is no epoch in it.
    #[error("the topic's state has no epoch")]
    NoEpoch,
    /// The text of the epochs is not `epoch:offset,…`.
    #[error("the topic's state has bad epochs: {0:?}")]
    Epochs(String),
    /// Epochs or offsets are out of order.
    #[error("the topic's state is out of order: {0}")]
    Order(String),
}

impl Timeline {
    /// A timeline of these epochs and offsets.
    ///
    /// # Errors
    /// [`TimelineError`] where they break the order that the type promises.
    pub fn new(epochs: Vec<(Epoch, Offset)>, first: Offset, next: Offset) -> Result<Self, TimelineError> {
        let Some(&(_, last_begin)) = epochs.last() else {
            return Err(TimelineError::NoEpoch);
        };
        let sorted = epochs.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let timeline = Self { epochs, first, next };
        if !sorted || first > next || last_begin > next {
            return Err(TimelineError::Order(format!("{timeline:?}")));
        }
        Ok(timeline)
    }

    /// Reads the epochs as the scripts write them: `<epoch>:<begin>`, joined by commas.
    ///
    /// # Errors
    /// [`TimelineError`].
    pub fn parse(epochs: &str, first: Offset, next: Offset) -> Result<Self, TimelineError> {
        let bad = || TimelineError::Epochs(epochs.chars().take(100).collect());
        let parsed: Option<Vec<_>> = epochs
            .split(',')
            .map(|pair| {
                let (epoch, begin) = pair.split_once(':')?;
                Some((epoch.parse().ok()?, Offset::new(begin.parse().ok()?).ok()?))
            })
            .collect();
        Self::new(parsed.ok_or_else(bad)?, first, next)
    }

    /// The epoch that is written now.
    pub fn epoch(&self) -> Epoch {
        self.epochs[self.epochs.len() - 1].0
    }

    /// The epochs and where each began, oldest first.
    pub fn epochs(&self) -> &[(Epoch, Offset)] {
        &self.epochs
    }

    /// The first offset that can still be read (or the next, when there is none).
    pub fn first(&self) -> Offset {
        self.first
    }

    /// The offset of the next line to be appended.
    pub fn next(&self) -> Offset {
        self.next
    }

    /// The same timeline, known to reach up to `next` (never backwards).
    pub fn advance(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// The epoch in which the line of this offset was, or will be, written:
    /// the last one that began at or before it.
    pub fn epoch_of(&self, offset: Offset) -> Epoch {
        let after = self.epochs.partition_point(|&(_, begin)| begin <= offset);
        self.epochs[after.saturating_sub(1)].0
    }

    /// The cursor of a reader that wants `offset` next, in the epoch of the line
    /// before it.
    pub fn cursor_at(&self, topic: &Topic, offset: Offset) -> Cursor {
        Cursor { topic: topic.clone(), epoch: self.epoch_of(offset.minus(1)), offset }
    }

    /// Up to where a reader of `epoch` shares the lines of this timeline: the
    /// begin of the epoch after it, or none where it is the current one.
    /// `Err(())` when the epoch is not in the history.
    #[expect(clippy::result_unit_err, reason = "there is one way to fail, and the name says it")]
    pub fn common_with(&self, epoch: Epoch) -> Result<Option<Offset>, ()> {
        let at = self.epochs.iter().position(|&(known, _)| known == epoch).ok_or(())?;
        Ok(self.epochs[at + 1..].iter().map(|&(_, begin)| begin).min())
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}..{}", self.first, self.next)?;
        self.epochs.iter().try_for_each(|(epoch, begin)| write!(f, " {epoch}:{begin}"))?;
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Offset {
        Offset::new(number).unwrap()
    }

    #[test]
    fn a_cursor_at_the_tail_keeps_the_epoch_of_the_line_before_it() {
        let old = Epoch::new(1);
        let line = Timeline::new(vec![(old, at(0)), (Epoch::new(2), at(90))], at(0), at(90)).unwrap();
        let topic: Topic = "app".parse().unwrap();
        assert_eq!(line.cursor_at(&topic, at(90)).epoch, old);
        assert_eq!(line.cursor_at(&topic, at(91)).epoch, Epoch::new(2));
        assert_eq!(line.cursor_at(&topic, at(0)).epoch, old);
    }

    #[test]
    fn what_the_scripts_write_is_read_and_disorder_is_refused() {
        let text = "0000000000100001:0,0000000000200002:90";
        let line = Timeline::parse(text, at(5), at(100)).unwrap();
        assert_eq!(line.epoch_of(at(89)), line.epochs()[0].0);
        assert_eq!(line.epoch_of(at(90)), line.epoch());
        assert_eq!(line.common_with(line.epochs()[0].0), Ok(Some(at(90))));
        assert_eq!(line.common_with(line.epoch()), Ok(None));
        assert_eq!(line.common_with(Epoch::new(7)), Err(()));
        assert!(Timeline::parse("", at(0), at(0)).is_err());
        assert!(Timeline::parse("0000000000200002:9,0000000000100001:9", at(0), at(9)).is_err());
        assert!(Timeline::parse(text, at(5), at(89)).is_err());
    }
}
