//! Which line goes on with the lines before it. Pure.

use regex::bytes::Regex;

use super::traces::Trace;
use crate::tail::input::{JoinRule, Multiline, Preset};

/// How a line stands to the group before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Joins,
    /// It joins if a later line does.
    MayJoin,
    Begins,
}

/// Tells where groups of lines begin. What it says depends on the lines of the group
/// alone, so that a group is the same from wherever a file is read.
#[derive(Debug)]
pub(super) enum Rule {
    /// Every line is a group of its own.
    Single,
    StartsWith(Regex),
    ContinuesWith(Regex),
    Indented,
    Preset(Preset),
}

/// What has to be known of the lines of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Any,
    Trace(Trace),
}

impl Rule {
    pub(super) fn new(multiline: Option<&Multiline>) -> Self {
        match multiline.map(|multiline| &multiline.rule) {
            None => Self::Single,
            Some(JoinRule::StartsWith(pattern)) => Self::StartsWith(pattern.clone()),
            Some(JoinRule::ContinuesWith(pattern)) => Self::ContinuesWith(pattern.clone()),
            Some(JoinRule::Indented) => Self::Indented,
            Some(JoinRule::Preset(preset)) => Self::Preset(*preset),
        }
    }

    /// The group that a line begins; none when nothing can follow it.
    pub(super) fn begin(&self, line: &[u8]) -> Option<State> {
        match self {
            Self::Single => None,
            Self::StartsWith(_) | Self::ContinuesWith(_) | Self::Indented => Some(State::Any),
            Self::Preset(preset) => Trace::begin(*preset, line).map(State::Trace),
        }
    }

    /// How the next line stands to a group, which then has another state.
    pub(super) fn next(&self, state: &mut State, line: &[u8]) -> Verdict {
        let joins = match self {
            Self::Single => false,
            Self::StartsWith(pattern) => !pattern.is_match(line),
            Self::ContinuesWith(pattern) => pattern.is_match(line),
            Self::Indented => line.starts_with(b" ") || line.starts_with(b"\t"),
            Self::Preset(_) => match state {
                State::Trace(trace) => return trace.next(line),
                State::Any => false,
            },
        };
        if joins { Verdict::Joins } else { Verdict::Begins }
    }
}
