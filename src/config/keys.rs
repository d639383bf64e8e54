//! Every key of an input: its name, its type, its default, and what it means. What
//! several of them mean together is checked in `input`.

use std::num::NonZeroU32;

use toml::de::DeValue;

use super::value::{
    Value, Wrong,
    lists::Labels,
    patterns::{ExcludeGlob, LinePattern, PathGlob, PathPattern},
    within,
};
use crate::tail::{
    StartAt,
    input::{Encoding, Format, Preset},
};

/// A key as the reference has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What holds where it is not given.
    pub default: &'static str,
    /// What it is for.
    pub what: &'static str,
}

/// Declares the keys of a section: `name: Type = "what holds without it"`, where its values are
/// bounded `in bounds`.
macro_rules! keys {
    ($(#[$about:meta])* $name:ident {
        $(#[doc = $doc:literal] $key:ident: $type:ty = $default:literal $(in $bounds:expr)?,)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = $doc] pub $key: Option<$type>,)*
        }

        impl $name {
            /// The names of its keys.
            pub const NAMES: &[&str] = &[$(stringify!($key)),*];

            /// Its keys.
            pub const KEYS: &[Key] = &[
                $(Key { name: stringify!($key), default: $default, what: $doc.trim_ascii() },)*
            ];

            /// Sets one of them to a value of the file; none where there is no such name.
            pub(super) fn set(&mut self, key: &str, value: &DeValue<'_>) -> Option<Result<(), Wrong>> {
                match key {
                    $(stringify!($key) => {
                        let value = <$type>::from_toml(value)$(.and_then(|value| within(value, $bounds)))?;
                        Some(value.map(|value| self.$key = Some(value)))
                    })*
                    _ => None,
                }
            }

            /// What is set, as TOML has it, beside each key.
            pub(super) fn written(&self) -> Vec<(&'static Key, Option<String>)> {
                let values = [$(self.$key.as_ref().map(Value::written)),*];
                Self::KEYS.iter().zip(values).collect()
            }
        }
    };
}

/// Greatest length of a line: what readers can be sent in one message.
const MAX_LINE_BYTES: usize = 3 * 1024 * 1024;
const HOUR_MS: u64 = 3_600_000;

keys! {
    /// What stands in one of the `[[inputs]]`.
    InputKeys {
        /// By which logs and `logrelay inputs` call it; no other input has it
        name: InputName = "none",
        /// Files and globs to follow
        paths: Vec<PathGlob> = "needed",
        /// Files and globs that are left out
        exclude: Vec<ExcludeGlob> = "none",
        /// Files and globs to which its files are rotated, where that is neither beside them nor in a folder beside or below
        rotated: Vec<PathGlob> = "none",
        /// The topic, or a template of it: `{file_stem}`, `{file_name}`, `{dir}`, groups of `topic_pattern`
        topic: String = "`{file_stem}`",
        /// A regular expression that is matched with the whole path; its named groups, `(?P<app>…)`, are names for templates
        topic_pattern: PathPattern = "none",
        /// What its lines are labelled with; the values may be templates, too
        labels: Labels = "none",
        /// Where a file begins whose path was never seen on this host: beginning or end
        start: StartAt = "`tail.start`",
        /// What the bytes of the files mean: raw, utf-16, utf-16le or utf-16be; all but raw are published as UTF-8
        encoding: Encoding = "`raw`",
        /// What each line is wrapped in: plain (nothing), docker (json-file) or cri (Kubernetes)
        format: Format = "`plain`",
        /// Longest line in bytes; the rest is cut off and counted
        max_line_bytes: usize = "`tail.max_line_bytes`" in 1..=MAX_LINE_BYTES,
        /// After how long without growth an unfinished last line is published as it is, in milliseconds
        publish_partial_ms: u64 = "never" in 10..=24 * HOUR_MS,
        /// Most lines a second of all its files together; over it the tailer waits and drops nothing
        lines_per_second: NonZeroU32 = "no limit",
        /// Most bytes of lines a second of all its files together; over it the tailer waits and drops nothing
        bytes_per_second: NonZeroU32 = "no limit",
    }
}

keys! {
    /// What stands in `[inputs.multiline]`: lines that are published as one.
    MultilineKeys {
        /// A regular expression: a line that it matches begins a group
        starts_with: LinePattern = "none",
        /// A regular expression: a line that it matches goes on with the group before it
        continues_with: LinePattern = "none",
        /// A line that begins with a space or a tab goes on with the group before it
        indented: bool = "`false`",
        /// The stack traces of a language are groups: java, python, go or rust
        preset: Preset = "none",
        /// Most lines of a group
        max_lines: u32 = "`500`" in 2..=100_000,
        /// Greatest size of a group in bytes
        max_bytes: usize = "`max_line_bytes`" in 1..=MAX_LINE_BYTES,
        /// How long more lines of a group are waited for, in milliseconds
        timeout_ms: u64 = "`1000`" in 10..=HOUR_MS,
    }
}

/// The name of an input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputName(String);

impl InputName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for InputName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if (1..=200).contains(&text.len()) && text.chars().all(is_allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err("a name has 1 to 200 characters out of A-Z, a-z, 0-9, '.', '_' and '-'".to_owned())
    }
}

impl std::fmt::Display for InputName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
