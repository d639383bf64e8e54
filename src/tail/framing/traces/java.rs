//! `java.lang.IllegalStateException: …`, its frames and its causes.

use super::{Verdict, is_indented, is_numbered};

/// How far a stack trace has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tail::framing) enum At {
    /// At a throwable, whose message may go on in the next line.
    Throwable,
    Frames,
}

impl At {
    pub(super) fn begin(line: &[u8]) -> Option<Self> {
        Self::of(line).or_else(|| names_throwable(line).then_some(Self::Throwable))
    }

    pub(super) fn next(self, line: &[u8]) -> Option<(Verdict, Self)> {
        match Self::of(line) {
            Some(at) => Some((Verdict::Joins, at)),
            None if self == Self::Throwable && !names_throwable(line) => Some((Verdict::MayJoin, self)),
            None => None,
        }
    }

    /// Where a line stands that can be in no other place than within a stack trace.
    fn of(line: &[u8]) -> Option<Self> {
        let text = line.trim_ascii_start();
        let is_cause = ["Caused by: ", "Suppressed: ", "Wrapped by: "]
            .iter()
            .any(|word| text.starts_with(word.as_bytes()));
        if is_cause {
            return Some(Self::Throwable);
        }
        let is_frame = is_indented(line)
            && (text.starts_with(b"at ")
                || text.starts_with(b"[CIRCULAR REFERENCE:")
                || is_numbered(text, "... ", " "));
        is_frame.then_some(Self::Frames)
    }
}

/// Whether a line has the name of a throwable, before a colon or at its end.
fn names_throwable(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ').peekable();
    while let Some(word) = words.next() {
        let name = match word.strip_suffix(b":") {
            Some(name) => name,
            None if words.peek().is_none() => word,
            None => continue,
        };
        let is_name = name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"._$/@-".contains(&byte));
        if is_name && is_throwable(name) {
            return true;
        }
    }
    false
}

/// Any class can be thrown; one without a package has to say in its name that it is.
fn is_throwable(name: &[u8]) -> bool {
    let says_so = ["Exception", "Error", "Throwable"].iter().any(|end| name.ends_with(end.as_bytes()));
    let mut parts = name.rsplit(|&byte| byte == b'.');
    let class = parts.next().unwrap_or_default();
    let mut packages = parts.peekable();
    let is_qualified = packages.peek().is_some() && packages.all(|package| !package.is_empty());
    says_so || (is_qualified && class.first().is_some_and(u8::is_ascii_uppercase))
}
