//! `panic: …` or `fatal error: …` and the goroutines behind it.

use super::{Verdict, contains, is_indented, is_numbered};

/// How far a stack trace has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tail::framing) enum At {
    /// In what is said before the first goroutine.
    Message,
    Goroutine,
    /// At an empty line: another goroutine may follow.
    Between,
}

impl At {
    pub(super) fn begin(line: &[u8]) -> Option<Self> {
        if is_goroutine(line) {
            return Some(Self::Goroutine);
        }
        let words = ["panic: ", "fatal error: ", "SIGQUIT: ", "SIGSEGV: ", "SIGABRT: "];
        let is_panic = words.iter().any(|words| line.starts_with(words.as_bytes()));
        (is_panic || contains(line, "http: panic serving ")).then_some(Self::Message)
    }

    pub(super) fn next(self, line: &[u8]) -> Option<(Verdict, Self)> {
        if is_goroutine(line) {
            return Some((Verdict::Joins, Self::Goroutine));
        }
        if line.is_empty() {
            return (self != Self::Between).then_some((Verdict::MayJoin, Self::Between));
        }
        match self {
            Self::Message if is_message(line) => Some((Verdict::Joins, Self::Message)),
            Self::Message if Self::begin(line).is_none() => Some((Verdict::MayJoin, Self::Message)),
            Self::Goroutine if is_frame(line) => Some((Verdict::Joins, Self::Goroutine)),
            Self::Between if is_register(line) => Some((Verdict::Joins, Self::Goroutine)),
            _ => None,
        }
    }
}

fn is_goroutine(line: &[u8]) -> bool {
    is_numbered(line, "goroutine ", " ") || line == b"runtime stack:"
}

/// What stands between the panic and the first goroutine.
fn is_message(line: &[u8]) -> bool {
    let words = ["[signal ", "[recovered]", "fatal error: ", "panic: ", "runtime: ", "PC="];
    is_indented(line) || words.iter().any(|words| line.starts_with(words.as_bytes()))
}

fn is_frame(line: &[u8]) -> bool {
    line.starts_with(b"\t")
        || line.starts_with(b"created by ")
        || line.starts_with(b"...")
        || is_call(line)
        || is_register(line)
}

/// `main.(*Server).serve(0xc000012345, {0x1, 0x2})`
fn is_call(line: &[u8]) -> bool {
    let before = memchr::memchr(b'(', line).unwrap_or(0);
    before > 0 && line.ends_with(b")") && !line[..before].contains(&b' ')
}

/// `rax    0x0`
fn is_register(line: &[u8]) -> bool {
    let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
    let name = words.next().unwrap_or_default();
    let value = words.next().unwrap_or_default();
    (2..=6).contains(&name.len()) && value.starts_with(b"0x") && words.next().is_none()
}
