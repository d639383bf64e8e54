//! `Traceback (most recent call last):`, its frames, the exception, and those chained to it.

use super::{Verdict, contains, is_indented};

const TRACEBACK: &str = "Traceback (most recent call last):";
const CHAINS: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];

/// How far a stack trace has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tail::framing) enum At {
    Frames,
    /// At the line of the exception.
    Exception,
    /// At the empty line behind it.
    AfterException,
    /// At the line that says that another one follows.
    Chain,
    /// At the empty line behind that.
    AfterChain,
    /// Within the tree of an exception group.
    Tree,
}

impl At {
    pub(super) fn begin(line: &[u8]) -> Option<Self> {
        if contains(line, "Exception Group Traceback (most recent call last):") {
            Some(Self::Tree)
        } else if contains(line, TRACEBACK) || line.starts_with(b"  File \"") {
            Some(Self::Frames)
        } else {
            None
        }
    }

    pub(super) fn next(self, line: &[u8]) -> Option<(Verdict, Self)> {
        let is_chain = || CHAINS.iter().any(|words| line == words.as_bytes());
        match self {
            Self::Frames if is_indented(line) => Some((Verdict::Joins, Self::Frames)),
            Self::Frames if !line.is_empty() && !contains(line, TRACEBACK) => {
                Some((Verdict::Joins, Self::Exception))
            }
            Self::Exception | Self::Tree if line.is_empty() => Some((Verdict::MayJoin, Self::AfterException)),
            Self::AfterException if is_chain() => Some((Verdict::Joins, Self::Chain)),
            Self::Chain if line.is_empty() => Some((Verdict::MayJoin, Self::AfterChain)),
            Self::Chain | Self::AfterChain => Self::begin(line).map(|at| (Verdict::Joins, at)),
            Self::Tree if is_of_tree(line) => Some((Verdict::Joins, Self::Tree)),
            Self::Frames | Self::Exception | Self::AfterException | Self::Tree => None,
        }
    }
}

fn is_of_tree(line: &[u8]) -> bool {
    let text = line.trim_ascii_start();
    is_indented(line) && (text.starts_with(b"|") || text.starts_with(b"+"))
}
