//! What is wanted now, and what that means for what is followed already.

use std::{path::Path, sync::Arc};

use super::member::Leave;
use crate::{
    record::Topic,
    tail::{Input, TopicRule, control::Fate, discover::Patterns},
};

#[derive(Debug)]
pub(super) struct Inputs(Vec<Arc<Input>>);

/// What a change of the inputs means for a source.
#[derive(Debug)]
pub(super) enum Change {
    /// It goes on untouched.
    None(Arc<Input>),
    /// It has to begin anew, or to end.
    Leave(Leave),
}

impl Inputs {
    pub(super) fn new(inputs: &[Input]) -> Self {
        Self(inputs.iter().cloned().map(Arc::new).collect())
    }

    pub(super) fn get(&self, index: usize) -> Option<&Arc<Input>> {
        self.0.get(index)
    }

    /// The first that a path belongs to.
    pub(super) fn of_path(&self, path: &Path) -> Option<&Arc<Input>> {
        self.0.iter().find(|input| input.patterns.matches(path))
    }

    /// Whether the lines of a path go to this topic.
    pub(super) fn cover(&self, path: &Path, topic: &Topic) -> bool {
        self.of_path(path).is_some_and(|input| input.topic.topic_of(path).as_ref() == Some(topic))
    }

    /// The topics that are named.
    pub(super) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.0.iter().filter_map(|input| match &input.topic {
            TopicRule::Fixed(topic) => Some(topic),
            TopicRule::FileStem | TopicRule::Made(_) => None,
        })
    }

    /// Where rotated files are put, for those inputs that say so.
    pub(super) fn rotated(&self) -> Vec<(Patterns, Patterns)> {
        let inputs = self.0.iter();
        inputs.filter_map(|input| Some((input.patterns.clone(), input.rotated.clone()?))).collect()
    }

    /// Whether topics are made of paths.
    pub(super) fn make_topics(&self) -> bool {
        self.0.iter().any(|input| !matches!(input.topic, TopicRule::Fixed(_)))
    }

    /// What becomes of a source of `topic`, followed as `input` says, now that its file was
    /// found by the input at index `found`, or by none. `path` is the one whose past it is
    /// part of.
    pub(super) fn change(
        &self,
        found: Option<usize>,
        path: &Path,
        topic: &Topic,
        fate: Fate,
        input: &Input,
    ) -> Change {
        let found = found.and_then(|index| self.get(index));
        let wanted = match fate {
            Fate::InPlace => found.or_else(|| self.of_path(path)),
            Fate::Moved | Fate::Away => self.of_path(path).or(found),
        };
        let Some(wanted) = wanted else { return Change::Leave(Leave::LetGo) };
        let is_same_topic = wanted.topic.topic_of(path).as_ref() == Some(topic);
        match (is_same_topic, wanted.reads_like(input)) {
            // What was rotated away is the past of a path, and ends where it began.
            (false, _) if fate == Fate::InPlace => Change::Leave(Leave::LetGo),
            (_, true) => Change::None(Arc::clone(wanted)),
            (_, false) => Change::Leave(Leave::Reopen(Arc::clone(wanted))),
        }
    }
}
