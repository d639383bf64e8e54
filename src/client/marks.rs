//! Which lines were seen: a high-water mark for every source.
//!
//! Lines of one source come in the order of their numbers, so the next number
//! wanted says all. A line that comes again, because Redis forgot it and the
//! tailer sent it once more, has a number below the mark.

use std::collections::{BTreeMap, HashMap};

use crate::record::Topic;

/// The next line wanted from each (topic, source key). When there are more sources
/// than `capacity`, those that were quiet longest are forgotten: their lines can then
/// come twice after a loss in Redis, but none is ever missed.
#[derive(Debug, Clone)]
pub struct Marks {
    topics: HashMap<Topic, HashMap<Box<str>, Mark>>,
    capacity: usize,
    len: usize,
    clock: u64,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    next_line: u64,
    used: u64,
}

impl Default for Marks {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

impl PartialEq for Marks {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(topic, key, next)| other.next_line(topic, key) == next)
    }
}

impl Marks {
    /// How many sources are remembered where nothing else is said.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// No marks yet, and never more than `capacity` sources (at least one).
    pub fn new(capacity: usize) -> Self {
        Self { topics: HashMap::new(), capacity: capacity.max(1), len: 0, clock: 0 }
    }

    /// The number of the next line wanted from the source; 0 when it is not known.
    pub fn next_line(&self, topic: &Topic, source: &str) -> u64 {
        self.topics.get(topic).and_then(|sources| sources.get(source)).map_or(0, |mark| mark.next_line)
    }

    /// Notes that the lines of the source below `next_line` were seen.
    pub fn raise(&mut self, topic: &Topic, source: &str, next_line: u64) {
        self.clock += 1;
        let used = self.clock;
        if let Some(mark) = self.topics.get_mut(topic).and_then(|sources| sources.get_mut(source)) {
            mark.next_line = mark.next_line.max(next_line);
            mark.used = used;
            return;
        }
        if self.len >= self.capacity {
            self.forget_the_quietest();
        }
        self.topics.entry(topic.clone()).or_default().insert(source.into(), Mark { next_line, used });
        self.len += 1;
    }

    /// Makes room for an eighth of the capacity at once, so that the search is paid rarely.
    fn forget_the_quietest(&mut self) {
        let mut used: Vec<u64> =
            self.topics.values().flat_map(HashMap::values).map(|mark| mark.used).collect();
        let excess = (self.len + 1).saturating_sub(self.capacity).max(self.capacity / 8).min(used.len());
        let Some(last) = excess.checked_sub(1) else { return };
        let (_, &mut oldest_kept_after, _) = used.select_nth_unstable(last);
        for sources in self.topics.values_mut() {
            sources.retain(|_, mark| mark.used > oldest_kept_after);
        }
        self.topics.retain(|_, sources| !sources.is_empty());
        self.len = self.topics.values().map(HashMap::len).sum();
    }

    /// Every (topic, source key, next line), in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Topic, &str, u64)> {
        self.topics.iter().flat_map(|(topic, sources)| {
            sources.iter().map(move |(key, mark)| (topic, &**key, mark.next_line))
        })
    }

    /// The sources of one topic by name.
    pub(super) fn of(&self, topic: &Topic) -> BTreeMap<&str, u64> {
        let sources = self.topics.get(topic).into_iter().flatten();
        sources.map(|(key, mark)| (&**key, mark.next_line)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn topic(name: u8) -> Topic {
        format!("t{name}").parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_mark_is_the_greatest_that_was_raised_or_forgotten_and_the_bound_holds(
            capacity in 1_usize..12,
            raises in proptest::collection::vec((0_u8..3, 0_u8..6, 0_u64..50), 0..200),
        ) {
            let mut marks = Marks::new(capacity);
            let mut model: BTreeMap<(u8, u8), u64> = BTreeMap::new();
            for (topic_name, source, next) in raises {
                let key = format!("h/{source}");
                marks.raise(&topic(topic_name), &key, next);
                let greatest = model.entry((topic_name, source)).or_default();
                *greatest = (*greatest).max(next);
                let known = marks.iter().count();
                prop_assert_eq!(known, marks.len);
                prop_assert!(known <= capacity);
                // The source that spoke last is never the one forgotten.
                prop_assert!(marks.next_line(&topic(topic_name), &key) >= next);
                for (&(topic_name, source), &greatest) in &model {
                    let mark = marks.next_line(&topic(topic_name), &format!("h/{source}"));
                    prop_assert!(mark <= greatest, "a line that was never seen would be dropped");
                    prop_assert!(capacity < model.len() || mark == greatest);
                }
            }
        }
    }

    #[test]
    fn the_sources_that_were_quiet_longest_are_forgotten_first() {
        let mut marks = Marks::new(16);
        for source in 0..16 {
            marks.raise(&topic(0), &format!("h/{source}"), 1);
        }
        marks.raise(&topic(0), "h/0", 2);
        marks.raise(&topic(1), "h/new", 1);
        let left: BTreeSet<_> = marks.iter().map(|(_, key, _)| key.to_owned()).collect();
        assert!(left.contains("h/0") && left.contains("h/new") && left.contains("h/15"));
        assert!(!left.contains("h/1") && !left.contains("h/2"));
    }
}
