//! Which lines make up a stack trace. Pure.

mod go;
mod java;
mod python;
mod rust;

use super::rule::Verdict;
use crate::tail::input::Preset;

/// How far a stack trace has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trace {
    Java(java::At),
    Python(python::At),
    Go(go::At),
    Rust(rust::At),
}

impl Trace {
    /// The stack trace that a line begins, if it does.
    pub(super) fn begin(preset: Preset, line: &[u8]) -> Option<Self> {
        match preset {
            Preset::Java => java::At::begin(line).map(Self::Java),
            Preset::Python => python::At::begin(line).map(Self::Python),
            Preset::Go => go::At::begin(line).map(Self::Go),
            Preset::Rust => rust::At::begin(line).map(Self::Rust),
        }
    }

    /// How the next line stands to it.
    pub(super) fn next(&mut self, line: &[u8]) -> Verdict {
        let next = match self {
            Self::Java(at) => at.next(line).map(|(verdict, at)| (verdict, Self::Java(at))),
            Self::Python(at) => at.next(line).map(|(verdict, at)| (verdict, Self::Python(at))),
            Self::Go(at) => at.next(line).map(|(verdict, at)| (verdict, Self::Go(at))),
            Self::Rust(at) => at.next(line).map(|(verdict, at)| (verdict, Self::Rust(at))),
        };
        let Some((verdict, trace)) = next else { return Verdict::Begins };
        *self = trace;
        verdict
    }
}

fn is_indented(line: &[u8]) -> bool {
    line.starts_with(b" ") || line.starts_with(b"\t")
}

fn contains(line: &[u8], text: &str) -> bool {
    memchr::memmem::find(line, text.as_bytes()).is_some()
}

/// Whether a line is `<before><digits><behind>…`.
fn is_numbered(line: &[u8], before: &str, behind: &str) -> bool {
    let Some(rest) = line.strip_prefix(before.as_bytes()) else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest[digits..].starts_with(behind.as_bytes())
}

#[cfg(test)]
mod tests;
