//! What must hold of problems that are found in a text: each has a place in it.

use logrelay::files::Problem;

/// All of them, as they are said.
pub(crate) fn said(problems: &[Problem], text: &str) -> String {
    assert!(!problems.is_empty());
    for problem in problems {
        assert!((1..=text.matches('\n').count() + 1).contains(&problem.line), "{problem}");
        let line = text.split('\n').nth(problem.line - 1).unwrap_or_default();
        assert!((1..=line.chars().count() + 1).contains(&problem.column), "{problem}");
    }
    problems.iter().map(ToString::to_string).collect()
}
