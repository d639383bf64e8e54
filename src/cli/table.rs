//! Rows of text under each other, for people and pipes.

/// How a column stands under its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// The rows under their heads, a line each; the last column is not filled up.
pub(super) fn table<const N: usize>(columns: [(&str, Align); N], rows: Vec<[String; N]>) -> String {
    let head = columns.map(|(name, _)| name.to_owned());
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).zip(columns).map(|((cell, &width), (_, align))| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A text that moves no cursor and ends no line, whatever is in it.
pub(super) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_no_line_ends_in_blanks() {
        let rows = vec![["a", "1", ""], ["längst", "1000", "x"]].into_iter();
        let rows = rows.map(|row| row.map(str::to_owned)).collect();
        let text = table([("NAME", Align::Left), ("N", Align::Right), ("END", Align::Left)], rows);
        assert_eq!(text, "NAME       N  END\na          1\nlängst  1000  x\n");
    }

    #[test]
    fn what_would_end_a_line_or_move_the_cursor_is_written_out() {
        assert_eq!(printable("a\nb\u{1b}[2Jä"), "a\\nb\\u{1b}[2Jä");
    }
}
