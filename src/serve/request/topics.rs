//! The fields `topics` and `cursors` of a `SubscribeRequest`.

use std::collections::{BTreeMap, HashSet};

use super::Check;
use crate::{
    hub::Start,
    record::{Cursor, Topic, TopicGlob},
};

/// The topics that a request names, each where it begins, and its patterns of others.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) topics: Vec<(Topic, Start)>,
    pub(super) globs: Vec<TopicGlob>,
}

impl Asked {
    /// Reads both fields; what has no cursor begins at `start`. A cursor names its topic as much
    /// as `topics` does: it may have been deleted, and is not waited for by a pattern.
    pub(super) fn read(check: &mut Check, patterns: &[String], cursors: &[String], start: Start) -> Self {
        let patterns = patterns_of(check, patterns);
        let mut cursors = cursors_of(check, cursors, &patterns);
        let mut asked = Self::default();
        for pattern in patterns {
            let Some(topic) = pattern.as_topic() else {
                asked.globs.push(pattern);
                continue;
            };
            let start = cursors.remove(&topic).map_or(start, |cursor| start_at(&cursor));
            asked.topics.push((topic, start));
        }
        asked.topics.extend(cursors.into_iter().map(|(topic, cursor)| (topic, start_at(&cursor))));
        asked
    }
}

fn start_at(cursor: &Cursor) -> Start {
    Start::Cursor(cursor.epoch, cursor.offset)
}

fn patterns_of(check: &mut Check, texts: &[String]) -> Vec<TopicGlob> {
    if texts.is_empty() {
        check.wrong("topics", "BAD_TOPIC", "name at least one topic, or a pattern such as web.*");
    }
    let (mut patterns, mut seen) = (Vec::with_capacity(texts.len()), HashSet::new());
    for (index, text) in texts.iter().enumerate() {
        let why = match text.parse::<TopicGlob>() {
            Ok(pattern) if seen.insert(pattern.clone()) => {
                patterns.push(pattern);
                continue;
            }
            Ok(pattern) => format!("{pattern} is named twice"),
            Err(error) if text.contains(['?', '[', '{']) => format!("{error}; `*` is the only wildcard"),
            Err(error) => error.to_string(),
        };
        check.wrong(format!("topics[{index}]"), "BAD_TOPIC", why);
    }
    patterns
}

fn cursors_of(check: &mut Check, texts: &[String], patterns: &[TopicGlob]) -> BTreeMap<Topic, Cursor> {
    let names: HashSet<_> = patterns.iter().filter_map(TopicGlob::as_topic).collect();
    let globs: Vec<_> = patterns.iter().filter(|pattern| pattern.as_topic().is_none()).collect();
    let is_asked = |topic: &Topic| names.contains(topic) || globs.iter().any(|glob| glob.matches(topic));
    let mut cursors = BTreeMap::new();
    for (index, text) in texts.iter().enumerate() {
        let field = format!("cursors[{index}]");
        match text.parse::<Cursor>() {
            Err(error) => check.wrong(field, "BAD_CURSOR", error.to_string()),
            Ok(cursor) if !is_asked(&cursor.topic) => {
                let why = format!("cursor {cursor} is of a topic that is not in topics");
                check.wrong(field, "BAD_CURSOR", why);
            }
            Ok(cursor) if cursors.contains_key(&cursor.topic) => {
                let why = format!("topic {} has two cursors: give the one to go on from", cursor.topic);
                check.wrong(field, "BAD_CURSOR", why);
            }
            Ok(cursor) => {
                cursors.insert(cursor.topic.clone(), cursor);
            }
        }
    }
    cursors
}
