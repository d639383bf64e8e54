//! Reads TOML key by key, and notes everything that is wrong with its place.

use std::{collections::BTreeMap, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    keys::{InputKeys, MultilineKeys},
    settings::{General, Redis, Serve, Tail},
    value::Wrong,
};
use crate::files::{Lines, Problem};

/// A text that is being read.
pub(super) struct Reading<'a> {
    lines: Lines<'a>,
    path: &'a Path,
    /// What was wrong so far.
    pub(super) problems: Vec<Problem>,
}

/// Where the value of every key stands, and of lists and tables each element.
pub(super) type Places = BTreeMap<String, Range<usize>>;

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl<'a> Reading<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { lines: Lines::of(text), path, problems: Vec::new() }
    }

    /// Reads a whole section by `set`, which knows `known`.
    pub(super) fn section(
        &mut self,
        section: &str,
        known: &[&str],
        table: &DeTable<'_>,
        places: &mut Places,
        mut set: impl FnMut(&str, &DeValue<'_>) -> Option<Result<(), Wrong>>,
    ) {
        for pair in table {
            self.setting(section, known, pair, places, &mut set);
        }
    }

    /// Reads one key and its value.
    pub(super) fn setting(
        &mut self,
        section: &str,
        known: &[&str],
        (key, value): (&Key<'_>, &Spanned<DeValue<'_>>),
        places: &mut Places,
        set: impl FnOnce(&str, &DeValue<'_>) -> Option<Result<(), Wrong>>,
    ) {
        let name = format!("{section}{}", key.get_ref());
        match set(key.get_ref(), value.get_ref()) {
            None => self.problem(key.span().start, unknown(section, key.get_ref(), known)),
            Some(Ok(())) => {
                for (element, span) in elements(value.get_ref()) {
                    places.insert(format!("{name}.{element}"), span);
                }
                places.insert(name, value.span());
            }
            Some(Err(Wrong { what, offset, element })) => {
                self.wrong(element.unwrap_or(value.span()), offset, &name, &what);
            }
        }
    }

    /// A value that is not what its key needs. The value is repeated, but for what may be a password.
    pub(super) fn wrong(&mut self, value: Range<usize>, offset: Option<usize>, name: &str, what: &str) {
        let text = self.lines.text().get(value.clone()).unwrap_or_default();
        let shown = if name.starts_with("redis") {
            String::new()
        } else {
            let line = text.lines().next().unwrap_or_default();
            format!(" = {}", line.chars().take(60).collect::<String>())
        };
        match offset {
            // What was written is what was read, behind one quote.
            Some(offset) if is_verbatim(text) => {
                self.problem(value.start + 1 + offset, format!("{name}{shown}: {what}"));
            }
            Some(offset) => {
                self.problem(value.start, format!("{name}{shown}: {what} (at byte {offset} of the text)"));
            }
            None => self.problem(value.start, format!("{name}{shown}: {what}")),
        }
    }

    /// Notes what is wrong at a byte of the text.
    pub(super) fn problem(&mut self, byte: usize, what: String) {
        self.problems.push(Problem::at(self.path, &self.lines, byte, what));
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, byte: usize) -> usize {
        self.lines.line(byte)
    }
}

fn is_verbatim(text: &str) -> bool {
    let is_literal = text.starts_with('\'') && !text.starts_with("'''");
    let is_plain = text.starts_with('"') && !text.starts_with("\"\"\"") && !text.contains('\\');
    is_literal || is_plain
}

fn elements(value: &DeValue<'_>) -> Vec<(String, Range<usize>)> {
    match value {
        DeValue::Array(array) => {
            array.iter().enumerate().map(|(index, one)| (index.to_string(), one.span())).collect()
        }
        DeValue::Table(table) => {
            table.iter().map(|(name, one)| (name.get_ref().to_string(), one.span())).collect()
        }
        _ => Vec::new(),
    }
}

/// Says that a key is unknown, and what was most likely meant.
fn unknown(section: &str, key: &str, known: &[&str]) -> String {
    let elsewhere = [
        ("", General::KEYS),
        ("", Redis::KEYS),
        ("[tail]", Tail::KEYS),
        ("[serve]", Serve::KEYS),
        ("[[inputs]]", InputKeys::NAMES),
        ("[inputs.multiline]", MultilineKeys::NAMES),
    ];
    if let Some((other, _)) = elsewhere.iter().find(|(_, keys)| keys.contains(&key)) {
        return match *other {
            "" => format!(
                "{section}{key} is not known; {key} belongs to the top of the file, before the sections"
            ),
            other => format!("{section}{key} is not known; {key} belongs to {other}"),
        };
    }
    let distance = |name: &&&str| strsim::damerau_levenshtein(key, name);
    match known.iter().min_by_key(distance) {
        Some(nearest) => format!("{section}{key} is not known; the nearest known one is {section}{nearest}"),
        None => format!("{section}{key} is not known"),
    }
}
