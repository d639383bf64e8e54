//! What sources are doing, as far as their records tell. Not here: what only a running
//! tailer knows.

use std::{collections::HashMap, fmt};

use super::{Record, SourceKey, SourceState};

/// The path of what was read from standard input: many programs' one name.
const STDIN: &str = "-";

/// Where one source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStatus {
    /// The source.
    pub key: SourceKey,
    /// What it is doing.
    pub activity: Activity,
    /// What Redis keeps of it.
    pub record: Record,
}

/// What a source is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// It may have more lines.
    Active,
    /// Another file has its path: what is left in it is read, then no more comes.
    Rotated,
    /// It was read to its end and is not there any more.
    Gone,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Active => "active",
            Self::Rotated => "rotated",
            Self::Gone => "gone",
        })
    }
}

impl SourceStatus {
    /// What the records of a topic tell; those that may have more lines come first, then by
    /// host, path and age.
    pub fn of(records: Vec<(SourceKey, Record)>) -> Vec<Self> {
        let mut newest = HashMap::new();
        for (key, record) in &records {
            let newest = newest.entry((key.host(), record.details.path.as_str())).or_insert_with(|| age(key));
            *newest = age(key).max(*newest);
        }
        let activity = |(key, record): &(SourceKey, Record)| match record.details.state {
            SourceState::Gone => Activity::Gone,
            SourceState::Active if record.details.path == STDIN => Activity::Active,
            SourceState::Active if newest[&(key.host(), record.details.path.as_str())] > age(key) => {
                Activity::Rotated
            }
            SourceState::Active => Activity::Active,
        };
        let activities: Vec<_> = records.iter().map(activity).collect();
        let found = records.into_iter().zip(activities);
        let mut all: Vec<_> = found.map(|((key, record), activity)| Self { key, activity, record }).collect();
        all.sort_by(|a, b| a.order().cmp(&b.order()));
        all
    }

    /// Size of its file in bytes when it was read last; none where that is not known.
    pub fn size(&self) -> Option<u64> {
        self.record.details.size.map(|size| size.max(self.record.position))
    }

    /// Bytes of its file that were not appended then; none where that is not known.
    pub fn lag(&self) -> Option<u64> {
        Some(self.size()? - self.record.position)
    }

    fn order(&self) -> (bool, &str, &str, (&str, u64)) {
        let is_gone = self.activity == Activity::Gone;
        (is_gone, self.key.host(), &self.record.details.path, age(&self.key))
    }
}

/// The ids of a topic are `<epoch>-<number>`: later ones are greater.
fn age(key: &SourceKey) -> (&str, u64) {
    let id = key.as_str().split_once('/').map_or("", |(_, id)| id);
    let (epoch, number) = id.split_once('-').unwrap_or((id, ""));
    (epoch, number.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Details, Token};

    fn record(key: &str, path: &str, state: SourceState) -> (SourceKey, Record) {
        let details = Details { path: path.to_owned(), state, ..Details::default() };
        (key.parse().unwrap(), Record { token: Token::random(), position: 7, details })
    }

    #[test]
    fn the_newest_source_of_a_path_is_active_and_older_ones_are_rotated_or_gone() {
        let found = SourceStatus::of(vec![
            record("b/0a-10", "/app.log", SourceState::Active),
            record("b/0a-9", "/app.log", SourceState::Active),
            record("b/0a-2", "/app.log", SourceState::Gone),
            record("a/0a-3", "/app.log", SourceState::Active),
            record("a/0a-4", "-", SourceState::Active),
            record("a/0a-5", "-", SourceState::Active),
        ]);
        let told: Vec<_> =
            found.iter().map(|found| (found.key.to_string(), found.activity.to_string())).collect();
        let expected = [
            ("a/0a-4", "active"),
            ("a/0a-5", "active"),
            ("a/0a-3", "active"),
            ("b/0a-9", "rotated"),
            ("b/0a-10", "active"),
            ("b/0a-2", "gone"),
        ];
        assert_eq!(told, expected.map(|(key, activity)| (key.to_owned(), activity.to_owned())));
    }

    #[test]
    fn the_lag_is_what_is_left_of_the_size_and_unknown_without_one() {
        let lag = |size| {
            let (key, mut record) = record("a/1", "/x", SourceState::Active);
            record.details.size = size;
            SourceStatus { key, activity: Activity::Active, record }.lag()
        };
        assert_eq!((lag(None), lag(Some(10)), lag(Some(7)), lag(Some(3))), (None, Some(3), Some(0), Some(0)));
    }
}
