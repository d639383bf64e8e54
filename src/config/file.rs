//! The configuration file: TOML, checked key by key, so that what is wrong is said with its place.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    settings::{General, Redis, Serve, Tail},
    value::Value as _,
};
use crate::record::Topic;

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
    lines: BTreeMap<String, usize>,
}

/// One of the `[[inputs]]`: files and their topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// Paths and globs; at least one.
    pub paths: Vec<String>,
    /// The topic of all of them; none: each file's name without extension.
    pub topic: Option<Topic>,
    /// What its sources are labelled with.
    pub labels: BTreeMap<String, String>,
    /// The line of the file on which it begins.
    pub line: usize,
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("configuration {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}", one_per_line(.0))]
    Wrong(Vec<Problem>),
}

/// What is wrong at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What it is.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.path.display(), self.line, self.column, self.what)
    }
}

fn one_per_line(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// [`FileError`], with everything that is wrong in it.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text =
            fs::read_to_string(path).map_err(|error| FileError::Read { path: path.to_owned(), error })?;
        Self::parse(path, &text)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`FileError::Wrong`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, FileError> {
        let mut reading = Reading { text, path, problems: Vec::new() };
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        match DeTable::parse(text) {
            Ok(table) => reading.top(&mut file, table.get_ref()),
            Err(error) => reading.problem(error.span().unwrap_or(0..0), error.message().to_owned()),
        }
        let mut problems = reading.problems;
        problems.sort_by_key(|problem| (problem.line, problem.column));
        if problems.is_empty() { Ok(file) } else { Err(FileError::Wrong(problems)) }
    }

    /// Where a setting stands in it, as `FILE:LINE`; the key with its section, as `tail.host`.
    pub fn place_of(&self, key: &str) -> Option<String> {
        self.lines.get(key).map(|&line| self.at(line))
    }

    /// A line of it, as `FILE:LINE`.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

struct Reading<'a> {
    text: &'a str,
    path: &'a Path,
    problems: Vec<Problem>,
}

type Key<'a> = Spanned<std::borrow::Cow<'a, str>>;

impl Reading<'_> {
    fn top(&mut self, file: &mut File, table: &DeTable<'_>) {
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("tail", DeValue::Table(section)) => {
                    let File { tail, lines, .. } = file;
                    self.section("tail.", Tail::KEYS, section, lines, |key, value| tail.set(key, value));
                }
                ("serve", DeValue::Table(section)) => {
                    let File { serve, lines, .. } = file;
                    self.section("serve.", Serve::KEYS, section, lines, |key, value| serve.set(key, value));
                }
                ("inputs", DeValue::Array(inputs)) => {
                    file.inputs = inputs.iter().filter_map(|input| self.input(input)).collect();
                }
                (name @ ("tail" | "serve"), _) => {
                    self.wrong(value, name, &format!("expected is a section, [{name}]"));
                }
                ("inputs", _) => self.wrong(value, "inputs", "expected are sections, [[inputs]]"),
                _ => {
                    let known = [General::KEYS, Redis::KEYS, &["tail", "serve", "inputs"]].concat();
                    let File { general, redis, lines, .. } = file;
                    self.setting("", &known, (key, value), lines, |key, value| {
                        general.set(key, value).or_else(|| redis.set(key, value))
                    });
                }
            }
        }
    }

    fn section(
        &mut self,
        section: &str,
        known: &[&str],
        table: &DeTable<'_>,
        lines: &mut BTreeMap<String, usize>,
        mut set: impl FnMut(&str, &DeValue<'_>) -> Option<Result<(), String>>,
    ) {
        for pair in table {
            self.setting(section, known, pair, lines, &mut set);
        }
    }

    fn setting(
        &mut self,
        section: &str,
        known: &[&str],
        (key, value): (&Key<'_>, &Spanned<DeValue<'_>>),
        lines: &mut BTreeMap<String, usize>,
        set: impl FnOnce(&str, &DeValue<'_>) -> Option<Result<(), String>>,
    ) {
        let name = format!("{section}{}", key.get_ref());
        match set(key.get_ref(), value.get_ref()) {
            None => self.problem(key.span(), unknown(section, key.get_ref(), known)),
            Some(Ok(())) => {
                lines.insert(name, self.place(key.span().start).0);
            }
            Some(Err(what)) => self.wrong(value, &name, &what),
        }
    }

    fn input(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Input> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong(value, "inputs", "expected are sections, [[inputs]]");
            return None;
        };
        let mut input = Input { line: self.place(value.span().start).0, ..Input::default() };
        let problems_before = self.problems.len();
        for (key, value) in table {
            let read = match key.get_ref().as_ref() {
                "paths" => texts(value.get_ref()).map(|paths| input.paths = paths),
                "topic" => Topic::from_toml(value.get_ref()).map(|topic| input.topic = Some(topic)),
                "labels" => labels(value.get_ref()).map(|labels| input.labels = labels),
                other => {
                    self.problem(key.span(), unknown("inputs.", other, &["paths", "topic", "labels"]));
                    Ok(())
                }
            };
            if let Err(what) = read {
                self.wrong(value, &format!("inputs.{}", key.get_ref()), &what);
            }
        }
        if input.paths.is_empty() && self.problems.len() == problems_before {
            self.problem(value.span(), "inputs: it has no paths".to_owned());
        }
        Some(input)
    }

    /// A value that is not what its key needs. The value is repeated, but for what may be a password.
    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, name: &str, what: &str) {
        let shown = match self.text.get(value.span()) {
            Some(text) if !name.starts_with("redis") => {
                let line = text.lines().next().unwrap_or_default();
                format!(" = {}", line.chars().take(60).collect::<String>())
            }
            _ => String::new(),
        };
        self.problem(value.span(), format!("{name}{shown}: {what}"));
    }

    fn problem(&mut self, span: Range<usize>, what: String) {
        let (line, column) = self.place(span.start);
        self.problems.push(Problem { path: self.path.to_owned(), line, column, what });
    }

    /// Line and column of a byte, from 1.
    fn place(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_begin..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }
}

fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let wrong = || "expected is a list of texts, [\"…\", …], and at least one".to_owned();
    let DeValue::Array(array) = value else { return Err(wrong()) };
    let texts: Option<Vec<_>> =
        array.iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect();
    texts.filter(|texts| !texts.is_empty()).ok_or_else(wrong)
}

fn labels(value: &DeValue<'_>) -> Result<BTreeMap<String, String>, String> {
    let wrong = || "expected are texts, { name = \"value\", … }".to_owned();
    let DeValue::Table(table) = value else { return Err(wrong()) };
    let pairs = table.iter().map(|(key, value)| {
        value.get_ref().as_str().map(|text| (key.get_ref().to_string(), text.to_owned()))
    });
    pairs.collect::<Option<_>>().ok_or_else(wrong)
}

/// Says that a key is unknown, and what was most likely meant.
fn unknown(section: &str, key: &str, known: &[&str]) -> String {
    let elsewhere = [("", General::KEYS), ("", Redis::KEYS), ("tail.", Tail::KEYS), ("serve.", Serve::KEYS)];
    if let Some((other, _)) = elsewhere.iter().find(|(_, keys)| keys.contains(&key)) {
        return match other.trim_end_matches('.') {
            "" => format!(
                "{section}{key} is not known; {key} belongs to the top of the file, before the sections"
            ),
            other => format!("{section}{key} is not known; {key} belongs to [{other}]"),
        };
    }
    let distance = |name: &&&str| strsim::damerau_levenshtein(key, name);
    match known.iter().min_by_key(distance) {
        Some(nearest) => format!("{section}{key} is not known; the nearest known one is {section}{nearest}"),
        None => format!("{section}{key} is not known"),
    }
}

#[cfg(test)]
mod tests;
