//! What a subscription has to know to go on where it was.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Marks;
use crate::record::{Cursor, Offset, Topic, TopicGlob};

/// The place in each topic, the patterns that were opened, and the marks of the sources. Saved as JSON or the like,
/// and given back in [`Options`](super::Options), it resumes without hole or repeat.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    places: BTreeMap<Topic, Place>,
    /// Patterns whose topics were opened: one that has no place was born since, and every line
    /// of it is wanted.
    globs: BTreeSet<TopicGlob>,
    marks: Marks,
}

/// Where a reader is in a topic that it has opened.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The topic did not exist when it was opened: every line of it is wanted.
    Awaited,
    /// The next line wanted.
    At(Cursor),
}

impl State {
    /// A state with these places and no marks; of several cursors of a topic the last counts.
    pub fn from_cursors(cursors: impl IntoIterator<Item = Cursor>) -> Self {
        let mut state = Self::default();
        cursors.into_iter().for_each(|cursor| state.move_to(cursor));
        state
    }

    /// The places, patterns and marks of both; where both have a place in a topic, that of `other`.
    #[must_use]
    pub fn overridden_by(mut self, other: Self) -> Self {
        self.places.extend(other.places);
        self.globs.extend(other.globs);
        other.marks.iter().for_each(|(topic, key, next)| self.marks.raise(topic, key, next));
        self
    }

    /// The same state, remembering at most `sources` sources.
    #[must_use]
    pub fn with_capacity(mut self, sources: usize) -> Self {
        let mut marks = Marks::new(sources);
        self.marks.iter().for_each(|(topic, key, next)| marks.raise(topic, key, next));
        self.marks = marks;
        self
    }

    /// The next line wanted of a topic; none while it is not opened or does not exist.
    pub fn cursor(&self, topic: &Topic) -> Option<&Cursor> {
        match self.places.get(topic) {
            Some(Place::At(cursor)) => Some(cursor),
            Some(Place::Awaited) | None => None,
        }
    }

    /// The topics in which it has a place (also those that do not exist yet).
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.places.keys()
    }

    /// The patterns that were opened.
    pub fn globs(&self) -> impl Iterator<Item = &TopicGlob> {
        self.globs.iter()
    }

    /// The marks of the sources.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn marks_mut(&mut self) -> &mut Marks {
        &mut self.marks
    }

    /// The cursors of the topics in which it has read.
    pub(super) fn cursors(&self) -> impl Iterator<Item = &Cursor> {
        self.places.values().filter_map(|place| match place {
            Place::At(cursor) => Some(cursor),
            Place::Awaited => None,
        })
    }

    /// Whether the topic was never opened, nor a pattern of it, so that it begins at the start
    /// that was asked for.
    pub(super) fn is_fresh(&self, topic: &Topic) -> bool {
        !self.places.contains_key(topic) && !self.globs.iter().any(|glob| glob.matches(topic))
    }

    /// Whether every line of the topic is wanted, from the first one on: it did not exist when it, or
    /// a pattern of it, was opened.
    pub(super) fn wants_all(&self, topic: &Topic) -> bool {
        self.cursor(topic).is_none() && !self.is_fresh(topic)
    }

    /// Whether the topic was opened before it existed.
    pub(super) fn is_awaited(&self, topic: &Topic) -> bool {
        self.places.get(topic) == Some(&Place::Awaited)
    }

    /// Whether the pattern was opened.
    pub(super) fn has_opened(&self, glob: &TopicGlob) -> bool {
        self.globs.contains(glob)
    }

    /// The relay opened a topic, at `cursor` or (none) as one that does not exist yet. A place
    /// that is known already stays: what happened since then is said by an event of its own.
    pub(super) fn open(&mut self, topic: &Topic, cursor: Option<Cursor>) {
        match (self.places.get(topic), cursor) {
            (Some(Place::At(_)), _) => {}
            (_, Some(cursor)) => self.move_to(cursor),
            (_, None) => {
                self.places.insert(topic.clone(), Place::Awaited);
            }
        }
    }

    /// The relay opened all topics of a pattern.
    pub(super) fn open_glob(&mut self, glob: TopicGlob) {
        self.globs.insert(glob);
    }

    /// A batch, a gap, rewound or reset brought the reader here.
    pub(super) fn move_to(&mut self, cursor: Cursor) {
        self.places.insert(cursor.topic.clone(), Place::At(cursor));
    }

    /// The relay says where it stands, without having sent anything. That never moves
    /// the reader over lines: only the epoch, or the first cursor of a new topic, is news.
    pub(super) fn observe(&mut self, cursor: Cursor) {
        if self.next_offset(&cursor.topic).is_none_or(|known| known == cursor.offset) {
            self.move_to(cursor);
        }
    }

    /// The offset of the next line of a topic, where that is known.
    pub(super) fn next_offset(&self, topic: &Topic) -> Option<Offset> {
        self.cursor(topic).map(|cursor| cursor.offset)
    }
}

/// How a state is written: a topic's name, its cursor (null: it did not exist yet) and
/// the next line of each of its sources; or a pattern that was opened, with nothing of these.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved<K> {
    cursor: Option<String>,
    #[serde(default = "BTreeMap::new")]
    #[serde(bound(deserialize = "K: Deserialize<'de> + Ord", serialize = "K: Serialize + Ord"))]
    next_lines: BTreeMap<K, u64>,
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let places = self.places.iter().map(|(topic, place)| {
            let cursor = match place {
                Place::Awaited => None,
                Place::At(cursor) => Some(cursor.to_string()),
            };
            (topic.as_str(), Saved { cursor, next_lines: self.marks.of(topic) })
        });
        let globs = self
            .globs
            .iter()
            .map(|glob| (glob.as_str(), Saved { cursor: None, next_lines: BTreeMap::new() }));
        serializer.collect_map(places.chain(globs))
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = BTreeMap::<String, Saved<String>>::deserialize(deserializer)?;
        let mut state = Self::default();
        for (name, Saved { cursor, next_lines }) in saved {
            let pattern: TopicGlob = name.parse().map_err(D::Error::custom)?;
            let cursor = cursor.map(|text| text.parse::<Cursor>()).transpose().map_err(D::Error::custom)?;
            let Some(topic) = pattern.as_topic() else {
                if cursor.is_some() || !next_lines.is_empty() {
                    return Err(D::Error::custom(format!("the pattern {pattern} has a place of its own")));
                }
                state.open_glob(pattern);
                continue;
            };
            if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.topic != topic) {
                return Err(D::Error::custom(format!("cursor {cursor} stands under topic {topic}")));
            }
            for (key, next) in next_lines {
                state.marks.raise(&topic, &key, next);
            }
            state.open(&topic, cursor);
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor(text: &str) -> Cursor {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_state_is_read_back_as_it_was_written(
            places in proptest::collection::btree_map("[a-z]{1,5}", proptest::option::of(0_u64..1_000), 0..5),
            globs in proptest::collection::btree_set("[a-z]{0,3}[*][a-z]{0,3}", 0..3),
            marks in proptest::collection::btree_map("[a-z]/[0-9a-f]{1,4}", any::<u64>(), 0..5),
        ) {
            let mut state = State::default();
            for glob in &globs {
                state.open_glob(glob.parse().unwrap());
            }
            for (name, offset) in &places {
                let topic: Topic = name.parse().unwrap();
                state.open(&topic, offset.map(|o| cursor(&format!("{name}@00000000000000aa:{o}"))));
                for (key, &next) in &marks {
                    state.marks_mut().raise(&topic, key, next);
                }
            }
            let text = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }
    }

    #[test]
    fn a_place_that_is_known_is_not_moved_by_what_a_relay_only_says() {
        let mut state = State::from_cursors([cursor("a@00000000000000aa:7")]);
        let topic: Topic = "a".parse().unwrap();
        state.open(&topic, Some(cursor("a@00000000000000bb:9")));
        state.observe(cursor("a@00000000000000bb:9"));
        assert_eq!(state.cursor(&topic), Some(&cursor("a@00000000000000aa:7")));
        state.observe(cursor("a@00000000000000bb:7"));
        assert_eq!(state.cursor(&topic), Some(&cursor("a@00000000000000bb:7")));
    }

    #[test]
    fn a_topic_that_did_not_exist_is_wanted_from_its_first_line() {
        let (mut state, topic) = (State::default(), "a".parse::<Topic>().unwrap());
        assert!(state.is_fresh(&topic));
        state.open(&topic, None);
        assert!(state.is_awaited(&topic) && !state.is_fresh(&topic));
        state.observe(cursor("a@00000000000000bb:0"));
        assert!(!state.is_awaited(&topic));
    }

    #[test]
    fn a_topic_of_a_pattern_that_was_opened_is_not_fresh() {
        let mut state = State::default();
        state.open_glob("web.*".parse().unwrap());
        assert!(!state.is_fresh(&"web.1".parse().unwrap()) && state.is_fresh(&"db".parse().unwrap()));
    }

    #[test]
    fn what_no_state_says_is_refused() {
        let error = |text| serde_json::from_str::<State>(text).unwrap_err().to_string();
        assert!(error(r#"{"a":{"cursor":"b@00000000000000aa:1"}}"#).contains("under topic a"));
        assert!(error(r#"{"a*":{"cursor":"a@00000000000000aa:1"}}"#).contains("a* has a place"));
        assert!(error(r#"{"a*":{"cursor":null,"next_lines":{"h/1":2}}}"#).contains("a* has a place"));
        assert!(error(r#"{"a/b":{"cursor":null}}"#).contains("'/'"));
    }
}
