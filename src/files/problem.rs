//! What is wrong with a file of settings, and where.

use std::{
    fmt, io, iter,
    path::{Path, PathBuf},
};

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{what} {}: {error}", path.display())]
    Read {
        /// What it is given as, such as `--config`.
        what: &'static str,
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

impl FileError {
    /// That a file, which is given as `what`, cannot be read.
    pub(super) fn reading(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Read { what, path: path.to_owned(), error }
    }
}

fn one_per_line(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A text in which places are found without reading all before them.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    /// The first byte of each.
    begins: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Those of a text.
    pub fn of(text: &'a str) -> Self {
        let behind = text.match_indices('\n').map(|(newline, _)| newline + 1);
        Self { text, begins: iter::once(0).chain(behind).collect() }
    }

    /// The text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The line of a byte, from 1.
    pub fn line(&self, byte: usize) -> usize {
        self.begins.partition_point(|&begin| begin <= byte)
    }

    /// The bytes of the same line that stand before one.
    pub fn before(&self, byte: usize) -> &'a str {
        let begin = self.begins.get(self.line(byte) - 1).copied().unwrap_or_default();
        self.text.get(begin..byte).unwrap_or_default()
    }
}

impl Problem {
    /// What is wrong at a byte of a file's text.
    pub fn at(path: &Path, lines: &Lines<'_>, byte: usize, what: String) -> Self {
        let column = lines.before(byte).chars().count() + 1;
        Self { path: path.to_owned(), line: lines.line(byte), column, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_line_and_a_column_in_characters() {
        let lines = Lines::of("eins\nzwölf = 12\n\nlast");
        let place = |byte| {
            let problem = Problem::at(Path::new("file"), &lines, byte, String::new());
            (problem.line, problem.column)
        };
        assert_eq!(
            [0, 4, 5, 9, 17, 18, 22].map(place),
            [(1, 1), (1, 5), (2, 1), (2, 4), (3, 1), (4, 1), (4, 5)]
        );
        // What is no place of the text is the begin of a line.
        assert_eq!([8, 999].map(place), [(2, 1), (4, 1)]);
        assert_eq!(Lines::of("").line(0), 1);
    }
}
