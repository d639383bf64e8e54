//! A condition on the content of a line, and how all lines of a batch are searched at once.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;

use crate::record::StoredBatch;

/// Greatest size of a compiled expression, and of what it may use while it runs, in bytes.
const MAX_REGEX_BYTES: usize = 1024 * 1024;

/// A condition. A text is a regular expression, too: the library finds what is literal in it.
#[derive(Debug)]
pub(super) struct Matcher {
    regex: Regex,
    /// Whether it must match, or must not.
    wanted: bool,
    /// Whether what matches does so whatever stands around it, and is not empty.
    is_free: bool,
}

impl Matcher {
    /// # Errors
    /// What the library says of the expression.
    pub(super) fn new(pattern: &str, ignore_case: bool, wanted: bool) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(ignore_case)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_REGEX_BYTES)
            .build()?;
        let parsed = ParserBuilder::new().utf8(false).case_insensitive(ignore_case).build().parse(pattern);
        let is_free = parsed.is_ok_and(|parsed| {
            let properties = parsed.properties();
            properties.look_set().is_empty() && properties.minimum_len().is_some_and(|len| len > 0)
        });
        Ok(Self { regex, wanted, is_free })
    }

    /// Whether a line is wanted.
    pub(super) fn wants(&self, content: &[u8]) -> bool {
        self.regex.is_match(content) == self.wanted
    }

    /// Whether [`lines`](Self::lines) can be asked for.
    pub(super) fn can_search(&self) -> bool {
        self.is_free && self.wanted
    }

    /// All lines that it wants, and perhaps others: ascending, each once.
    ///
    /// The stored bytes are searched as a whole, which is several times faster than line by line.
    /// What is found may stand across lines, or in what is stored between them: its line is still
    /// to be looked at. No line is passed over: each search finds what begins first, and the next one
    /// goes on with the line behind that.
    pub(super) fn lines<'a>(&'a self, batch: &'a StoredBatch) -> impl Iterator<Item = u32> + 'a {
        let (mut next, mut one_by_one) = (0, false);
        std::iter::from_fn(move || {
            let begin = batch.begin_of(next).filter(|_| next < batch.lines())?;
            let mut line = next;
            if !one_by_one {
                let found = self.regex.find_at(batch.stored(), begin)?;
                line = batch.line_with(found.start());
                // Across lines: searches from each line on would look at the same bytes over and over.
                one_by_one = batch.begin_of(line + 1).is_some_and(|end| found.end() > end);
            }
            next = line + 1;
            Some(line)
        })
    }
}
