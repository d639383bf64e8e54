//! The configuration file: TOML, checked key by key, so that what is wrong is said with its place.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    input::{Input, Whose},
    keys::{InputKeys, MultilineKeys},
    reading::{Places, Reading},
    settings::{General, Redis, Serve, Tail},
};
use crate::files::{self, FileError};

/// What a file says; nothing of it is filled in.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// Top level.
    pub general: General,
    /// Top level.
    pub redis: Redis,
    /// `[tail]`.
    pub tail: Tail,
    /// `[serve]`.
    pub serve: Serve,
    /// `[[inputs]]`.
    pub inputs: Vec<Input>,
    path: PathBuf,
    text: String,
    /// The line of every setting; those of the first input as `inputs.0.paths`.
    lines: BTreeMap<String, usize>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`], with everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        Self::parse(path, &files::read_text("--config", path)?, Whose::Ours)
    }

    /// Reads the text of a file, whose inputs are for this machine or for others.
    ///
    /// # Errors
    /// [`FileError::Wrong`].
    pub fn parse(path: &Path, text: &str, whose: Whose) -> Result<Self, FileError> {
        let mut reading = Reading::new(path, text);
        let mut file = Self { path: path.to_owned(), text: text.to_owned(), ..Self::default() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            reading.problem(error.span().unwrap_or(0..0).start, error.message().to_owned());
        }
        // What is left of broken TOML would be misread.
        if errors.is_empty() {
            file.top(&mut reading, table.get_ref(), whose);
        }
        let mut problems = reading.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if problems.is_empty() { Ok(file) } else { Err(FileError::Wrong(problems)) }
    }

    /// Where a setting stands in it, as `FILE:LINE`; the key with its section, as `tail.host`,
    /// or `inputs.0` for the first input and `inputs.0.paths` for a key of it.
    pub fn place_of(&self, key: &str) -> Option<String> {
        self.lines.get(key).map(|line| format!("{}:{line}", self.path.display()))
    }

    /// What was read.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The settings that it has, without inputs; with their sections, as `tail.host`.
    pub fn settings(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str).filter(|key| !key.starts_with("inputs."))
    }

    fn top(&mut self, reading: &mut Reading<'_>, table: &DeTable<'_>, whose: Whose) {
        let mut places = Places::new();
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("tail", DeValue::Table(section)) => {
                    let set = |key: &str, value: &DeValue<'_>| self.tail.set(key, value);
                    reading.section("tail.", Tail::KEYS, section, &mut places, set);
                }
                ("serve", DeValue::Table(section)) => {
                    let set = |key: &str, value: &DeValue<'_>| self.serve.set(key, value);
                    reading.section("serve.", Serve::KEYS, section, &mut places, set);
                }
                ("inputs", DeValue::Array(inputs)) => self.read_inputs(reading, inputs, whose),
                (name @ ("tail" | "serve"), _) => {
                    reading.wrong(value.span(), None, name, &format!("expected is a section, [{name}]"));
                }
                ("inputs", _) => {
                    reading.wrong(value.span(), None, "inputs", "expected are sections, [[inputs]]");
                }
                _ => {
                    let known = [General::KEYS, Redis::KEYS, &["tail", "serve", "inputs"]].concat();
                    let Self { general, redis, .. } = self;
                    reading.setting("", &known, (key, value), &mut places, |key, value| {
                        general.set(key, value).or_else(|| redis.set(key, value))
                    });
                }
            }
        }
        self.lines.extend(places.into_iter().map(|(key, span)| (key, reading.line(span.start))));
    }

    fn read_inputs(&mut self, reading: &mut Reading<'_>, inputs: &[Spanned<DeValue<'_>>], whose: Whose) {
        let mut names = HashMap::new();
        for (index, value) in inputs.iter().enumerate() {
            let DeValue::Table(table) = value.get_ref() else {
                reading.wrong(value.span(), None, "inputs", "expected are sections, [[inputs]]");
                continue;
            };
            let mut places = Places::new();
            let Some(input) = read_input(reading, value.span(), table, &mut places, whose) else { continue };
            let line = reading.line(value.span().start);
            if let Some(name) = &input.keys.name
                && let Some(other) = names.insert(name.clone(), line)
                && let Some(span) = places.get("inputs.name")
            {
                let what = format!("the input of line {other} has this name already");
                reading.wrong(span.clone(), None, "inputs.name", &what);
            }
            self.lines.insert(format!("inputs.{index}"), line);
            let lines = places.into_iter().filter_map(|(key, span)| {
                Some((format!("inputs.{index}.{}", key.strip_prefix("inputs.")?), reading.line(span.start)))
            });
            self.lines.extend(lines);
            self.inputs.push(input);
        }
    }
}

fn read_input(
    reading: &mut Reading<'_>,
    header: Range<usize>,
    table: &DeTable<'_>,
    places: &mut Places,
    whose: Whose,
) -> Option<Input> {
    let before = reading.problems.len();
    let mut keys = InputKeys::default();
    let mut multiline = None;
    let known = [InputKeys::NAMES, &["multiline"]].concat();
    for (key, value) in table {
        match (key.get_ref().as_ref(), value.get_ref()) {
            ("multiline", DeValue::Table(section)) => {
                let joined = multiline.insert(MultilineKeys::default());
                let set = |key: &str, value: &DeValue<'_>| joined.set(key, value);
                reading.section("inputs.multiline.", MultilineKeys::NAMES, section, places, set);
                places.insert("inputs.multiline".to_owned(), key.span());
            }
            ("multiline", _) => {
                let what = "expected is a section, [inputs.multiline]";
                reading.wrong(value.span(), None, "inputs.multiline", what);
            }
            _ => {
                let set = |key: &str, value: &DeValue<'_>| keys.set(key, value);
                reading.setting("inputs.", &known, (key, value), places, set);
            }
        }
    }
    let is_complete = reading.problems.len() == before;
    let lacks_pattern = table.contains_key("topic_pattern") && keys.topic_pattern.is_none();
    let mistakes = match Input::new(keys, multiline, whose) {
        Ok(input) => return is_complete.then_some(input),
        Err(mistakes) => mistakes,
    };
    for mistake in mistakes {
        let name = format!("inputs.{}", mistake.key);
        let element = mistake.element.map(|element| format!("{name}.{element}"));
        let place = element.and_then(|element| places.get(&element)).or_else(|| places.get(&name));
        // What could not be read is not missing as well.
        let follows = place.is_none() || mistake.key == "multiline";
        let needs_pattern = matches!(mistake.key, "topic" | "labels");
        if (follows && !is_complete) || (needs_pattern && lacks_pattern) {
            continue;
        }
        match place {
            Some(value) if mistake.key != "multiline" => {
                reading.wrong(value.clone(), mistake.offset, &name, &mistake.what);
            }
            place => {
                let at = place.map_or(header.start, |place| place.start);
                reading.problem(at, format!("{name}: {}", mistake.what));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
