//! What is to be followed: files, how they are read as lines, and where those go.

use std::{collections::BTreeMap, num::NonZeroU32, path::Path, sync::Arc};

use regex::bytes::Regex;

use super::{discover::Patterns, template::Template, topic_rule::TopicRule};

/// Files to follow, and where their lines go.
#[derive(Debug, Clone)]
pub struct Input {
    /// What messages call it; none: nothing.
    pub name: Option<Arc<str>>,
    /// Which files.
    pub patterns: Patterns,
    /// Where rotated files go, if that is neither beside the log nor in a folder in or beside
    /// its own.
    pub rotated: Option<Patterns>,
    /// Which topic.
    pub topic: TopicRule,
    /// Labels that every line's source carries, made of its path.
    pub labels: BTreeMap<String, Template>,
    /// Where its new files begin; none: as [`Options::start`](super::Options::start) says.
    pub start: Option<StartAt>,
    /// How its files are read as lines.
    pub lines: LineOptions,
    /// How fast its files are read, all together.
    pub limits: Limits,
}

impl Input {
    /// An input with nothing special about it.
    pub fn new(patterns: Patterns, topic: TopicRule) -> Self {
        Self {
            name: None,
            patterns,
            rotated: None,
            topic,
            labels: BTreeMap::new(),
            start: None,
            lines: LineOptions::default(),
            limits: Limits::default(),
        }
    }

    /// Whether a file that is followed is read alike by both, wherever it begins.
    pub(super) fn reads_like(&self, other: &Self) -> bool {
        self.labels == other.labels && self.lines == other.lines
    }

    /// The labels of the file at a path, without those that cannot be made of it.
    pub(super) fn labels_of(&self, path: &Path) -> BTreeMap<String, String> {
        let labels = self.labels.iter();
        labels.filter_map(|(name, template)| Some((name.clone(), template.text_for(path)?))).collect()
    }
}

/// Where a file that was never seen is read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StartAt {
    /// Its first line.
    #[default]
    Beginning,
    /// The lines that come after the tailer has started.
    End,
}

/// How the bytes of a file become lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineOptions {
    /// Greatest length of a line in bytes; the rest is cut off and counted.
    pub max_line_bytes: usize,
    /// What the bytes mean.
    pub encoding: Encoding,
    /// What each line is wrapped in.
    pub format: Format,
    /// Which lines belong together.
    pub multiline: Option<Multiline>,
    /// After how many milliseconds without growth an unfinished last line is published as it
    /// is; none: it waits for its end.
    pub publish_partial_ms: Option<u64>,
}

impl Default for LineOptions {
    fn default() -> Self {
        Self {
            max_line_bytes: 1024 * 1024,
            encoding: Encoding::default(),
            format: Format::default(),
            multiline: None,
            publish_partial_ms: None,
        }
    }
}

/// What the bytes of a file mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Nothing in particular: they are published as they are.
    #[default]
    Raw,
    /// UTF-16, little-endian where no byte order mark says otherwise; published as UTF-8.
    Utf16,
    /// UTF-16, little-endian; published as UTF-8.
    Utf16Le,
    /// UTF-16, big-endian; published as UTF-8.
    Utf16Be,
}

/// What each line is wrapped in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Nothing.
    #[default]
    Plain,
    /// The objects of Docker's json-file driver.
    Docker,
    /// The container runtime interface of Kubernetes: `<time> <stream> <P|F> <content>`.
    Cri,
}

/// Which lines are published as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multiline {
    /// Where one ends and the next one begins.
    pub rule: JoinRule,
    /// Greatest number of lines that are joined.
    pub max_lines: u32,
    /// Greatest size of the joined lines in bytes.
    pub max_bytes: usize,
    /// How long more lines are waited for, in milliseconds.
    pub timeout_ms: u64,
}

impl Multiline {
    /// Greatest number of lines, where nothing else is said.
    pub const MAX_LINES: u32 = 500;
    /// Greatest size in bytes, where nothing else is said.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// How long more lines are waited for in milliseconds, where nothing else is said.
    pub const TIMEOUT_MS: u64 = 1000;

    /// A rule with the default bounds.
    pub fn new(rule: JoinRule) -> Self {
        let (max_lines, max_bytes, timeout_ms) = (Self::MAX_LINES, Self::MAX_BYTES, Self::TIMEOUT_MS);
        Self { rule, max_lines, max_bytes, timeout_ms }
    }
}

/// Where one group of lines ends and the next one begins.
#[derive(Debug, Clone)]
pub enum JoinRule {
    /// A group begins with a line that matches.
    StartsWith(Regex),
    /// A line that matches goes on with the group before it.
    ContinuesWith(Regex),
    /// A line that begins with a space or a tab goes on with the group before it.
    Indented,
    /// The stack traces of a language.
    Preset(Preset),
}

impl PartialEq for JoinRule {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::StartsWith(one), Self::StartsWith(two))
            | (Self::ContinuesWith(one), Self::ContinuesWith(two)) => one.as_str() == two.as_str(),
            (Self::Preset(one), Self::Preset(two)) => one == two,
            (Self::Indented, Self::Indented) => true,
            _ => false,
        }
    }
}

impl Eq for JoinRule {}

/// A language whose stack traces are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Java, and what runs beside it: Kotlin, Scala.
    Java,
    /// Python.
    Python,
    /// Go.
    Go,
    /// Rust.
    Rust,
}

/// How fast may be read; over it the tailer waits, and never drops. After a pause up to one
/// second's worth comes at once; a line larger than the limit passes, and is paid off afterwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Lines a second; none: as fast as it goes.
    pub lines_per_second: Option<NonZeroU32>,
    /// Bytes of lines a second; none: as fast as it goes.
    pub bytes_per_second: Option<NonZeroU32>,
}
