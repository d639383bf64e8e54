//! One input: what its keys mean together.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    keys::{InputKeys, Key, MultilineKeys},
    value::patterns::{ExcludeGlob, PathGlob},
};
use crate::tail::{
    self, Limits, LineOptions, TopicRule,
    discover::{PatternError, Patterns},
    input::{Encoding, Format, JoinRule, Multiline},
    template::{Template, TemplateError},
};

/// Files and how they are followed, checked.
#[derive(Debug, Clone)]
pub struct Input {
    /// What was written.
    pub keys: InputKeys,
    /// What was written of joined lines.
    pub multiline: Option<MultilineKeys>,
    meant: tail::Input,
}

/// Whose files an input is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This machine's.
    Ours,
    /// Those of a tailer that runs somewhere else: paths are absolute, and not looked at.
    Others,
}

/// Something that is wrong with the keys of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key, as `multiline.preset`.
    pub key: &'static str,
    /// Which of several values: the number of a path, the name of a label.
    pub element: Option<String>,
    /// The byte of the text at which it is wrong.
    pub offset: Option<usize>,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Mistake {
    fn of(key: &'static str, what: impl Into<String>) -> Self {
        Self { key, element: None, offset: None, what: what.into() }
    }

    fn of_template(key: &'static str, element: Option<String>, error: TemplateError) -> Self {
        Self { key, element, offset: Some(error.at), what: error.what }
    }
}

impl PartialEq for Input {
    fn eq(&self, other: &Self) -> bool {
        (&self.keys, &self.multiline) == (&other.keys, &other.multiline)
    }
}

impl Eq for Input {}

impl Input {
    /// What these keys mean.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn new(
        keys: InputKeys,
        multiline: Option<MultilineKeys>,
        whose: Whose,
    ) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let patterns = patterns(&keys, whose, &mut mistakes);
        let (topic, labels) = naming(&keys, &mut mistakes);
        let joined = multiline.as_ref().and_then(|multiline| join(multiline, &mut mistakes));
        wrapped(&keys, &mut mistakes);
        let (Some((patterns, rotated)), Some(topic), true) = (patterns, topic, mistakes.is_empty()) else {
            return Err(mistakes);
        };
        let lines = LineOptions {
            encoding: keys.encoding.unwrap_or_default(),
            format: keys.format.unwrap_or_default(),
            multiline: joined,
            publish_partial_ms: keys.publish_partial_ms,
            ..LineOptions::default()
        };
        let limits =
            Limits { lines_per_second: keys.lines_per_second, bytes_per_second: keys.bytes_per_second };
        let new = tail::Input::new(patterns, topic);
        let name = keys.name.as_ref().map(|name| name.as_str().into());
        let meant = tail::Input { name, rotated, labels, start: keys.start, lines, limits, ..new };
        Ok(Self { keys, multiline, meant })
    }

    /// The input as the tailer takes it; `max_line_bytes` is that of inputs that do not say.
    pub fn for_tailer(&self, max_line_bytes: usize) -> tail::Input {
        let mut input = self.meant.clone();
        input.lines.max_line_bytes = self.keys.max_line_bytes.unwrap_or(max_line_bytes);
        if let Some(multiline) = &mut input.lines.multiline {
            let given = self.multiline.as_ref().and_then(|keys| keys.max_bytes);
            multiline.max_bytes = given.unwrap_or(input.lines.max_line_bytes);
        }
        input
    }

    /// Its name, where it has one.
    pub fn name(&self) -> Option<&str> {
        self.keys.name.as_ref().map(super::keys::InputName::as_str)
    }

    /// Every key with its value as TOML has it, those of its sections as `multiline.preset`.
    pub fn written(&self) -> Vec<(String, &'static Key, Option<String>)> {
        let keys = self.keys.written().into_iter();
        let of_multiline = self.multiline.iter().flat_map(MultilineKeys::written);
        keys.map(|(key, value)| (key.name.to_owned(), key, value))
            .chain(of_multiline.map(|(key, value)| (format!("multiline.{}", key.name), key, value)))
            .collect()
    }

    /// It as one of the `[[inputs]]` of a file: the same text for the same input, however it
    /// was written.
    pub fn toml(&self) -> String {
        let lines = |keys: Vec<(&'static Key, Option<String>)>| {
            let set =
                keys.into_iter().filter_map(|(key, value)| Some(format!("{} = {}\n", key.name, value?)));
            set.collect::<String>()
        };
        let mut text = format!("[[inputs]]\n{}", lines(self.keys.written()));
        if let Some(multiline) = &self.multiline {
            text.push_str("[inputs.multiline]\n");
            text.push_str(&lines(multiline.written()));
        }
        text
    }
}

/// Which files, and where they are rotated to.
fn patterns(
    keys: &InputKeys,
    whose: Whose,
    mistakes: &mut Vec<Mistake>,
) -> Option<(Patterns, Option<Patterns>)> {
    let paths = texts(keys.paths.as_deref().unwrap_or_default(), PathGlob::as_str);
    let exclude = texts(keys.exclude.as_deref().unwrap_or_default(), ExcludeGlob::as_str);
    if paths.is_empty() {
        mistakes.push(Mistake::of(
            "paths",
            "it has no paths: expected is a list of files and globs, at least one",
        ));
        return None;
    }
    let rotated = texts(keys.rotated.as_deref().unwrap_or_default(), PathGlob::as_str);
    for (key, paths) in [("paths", &paths), ("exclude", &exclude), ("rotated", &rotated)] {
        for (index, path) in paths.iter().enumerate() {
            let wrong = match whose {
                _ if path == "-" => Some(
                    "- is standard input, which only a command line can follow; ./- is a file".to_owned(),
                ),
                Whose::Ours if key == "paths" => is_folder(path),
                Whose::Ours => None,
                Whose::Others => is_relative(path),
            };
            let element = Some(index.to_string());
            mistakes.extend(wrong.map(|what| Mistake { element, ..Mistake::of(key, what) }));
        }
    }
    let read = || {
        let rotated = if rotated.is_empty() { None } else { Some(Patterns::parse(&rotated)?) };
        Ok((Patterns::parse(&paths)?.excluding(&exclude)?, rotated))
    };
    read().map_err(|error: PatternError| mistakes.push(Mistake::of("paths", error.to_string()))).ok()
}

fn texts<G>(globs: &[G], text: fn(&G) -> &str) -> Vec<String> {
    globs.iter().map(|glob| text(glob).to_owned()).collect()
}

fn is_folder(path: &str) -> Option<String> {
    let patterns = Patterns::parse(&[path.to_owned()]).ok()?;
    patterns.check_plain().err().map(|error| error.to_string())
}

fn is_relative(path: &str) -> Option<String> {
    let is_absolute = path.starts_with('/');
    (!is_absolute).then(|| "expected is a path from / on: its tailer runs in another folder".to_owned())
}

/// The topic and the labels.
fn naming(keys: &InputKeys, mistakes: &mut Vec<Mistake>) -> (Option<TopicRule>, BTreeMap<String, Template>) {
    let pattern = keys.topic_pattern.as_ref().map(|pattern| Arc::clone(&pattern.0));
    let topic = match &keys.topic {
        None => Ok(TopicRule::FileStem),
        Some(text) => TopicRule::parse(text, pattern.as_ref()),
    };
    let topic = topic.map_err(|error| mistakes.push(Mistake::of_template("topic", None, error))).ok();
    let mut labels = BTreeMap::new();
    for (name, text) in keys.labels.iter().flat_map(|labels| &labels.0) {
        match Template::parse(text, pattern.as_ref()) {
            Ok(template) => drop(labels.insert(name.clone(), template)),
            Err(error) => mistakes.push(Mistake::of_template("labels", Some(name.clone()), error)),
        }
    }
    let is_used =
        topic.as_ref().is_some_and(TopicRule::uses_groups) || labels.values().any(Template::uses_groups);
    if pattern.is_some() && !is_used && mistakes.is_empty() {
        let what = "nothing uses it: name a group, (?P<app>…), and use {app} in topic or labels";
        mistakes.push(Mistake::of("topic_pattern", what));
    }
    (topic, labels)
}

/// How lines are joined; its greatest size is filled in later.
fn join(keys: &MultilineKeys, mistakes: &mut Vec<Mistake>) -> Option<Multiline> {
    let rules = [
        ("multiline.starts_with", keys.starts_with.clone().map(|regex| JoinRule::StartsWith(regex.0))),
        (
            "multiline.continues_with",
            keys.continues_with.clone().map(|regex| JoinRule::ContinuesWith(regex.0)),
        ),
        ("multiline.indented", keys.indented.filter(|&indented| indented).map(|_| JoinRule::Indented)),
        ("multiline.preset", keys.preset.map(JoinRule::Preset)),
    ];
    let mut given = rules.into_iter().filter_map(|(key, rule)| Some((key, rule?)));
    let Some((first, rule)) = given.next() else {
        let what = "expected is one of starts_with, continues_with, indented = true, preset";
        mistakes.push(Mistake::of("multiline", what));
        return None;
    };
    for (other, _) in given {
        let what = format!("there is {first} already: only one of the two can say what belongs together");
        mistakes.push(Mistake::of(other, what));
    }
    Some(Multiline {
        rule,
        max_lines: keys.max_lines.unwrap_or(500),
        max_bytes: 0,
        timeout_ms: keys.timeout_ms.unwrap_or(1_000),
    })
}

fn wrapped(keys: &InputKeys, mistakes: &mut Vec<Mistake>) {
    let is_wrapped = keys.format.is_some_and(|format| format != Format::Plain);
    if is_wrapped && keys.encoding.is_some_and(|encoding| encoding != Encoding::Raw) {
        mistakes.push(Mistake::of("encoding", "files of this format are UTF-8: expected is raw"));
    }
}

#[cfg(test)]
mod tests;
