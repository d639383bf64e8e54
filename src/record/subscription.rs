//! What Redis keeps of readers that have no storage of their own.

use std::{fmt, str::FromStr, sync::Arc};

use super::{Cursor, CursorError, SourceNameError, source::name};

/// The name of a durable subscription: `[A-Za-z0-9._-]`, 1 to 200 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionName(Arc<str>);

impl SubscriptionName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SubscriptionName {
    type Err = SourceNameError;

    fn from_str(text: &str) -> Result<Self, SourceNameError> {
        name("subscription", text).map(Self)
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one stream of a durable subscription: who has it may commit, until another stream
/// takes the subscription over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommitToken(u64);

/// A text that is no commit token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("commit token {0:?} is not the one of `opened`, which has 16 hex digits (0-9, a-f)")]
pub struct CommitTokenError(String);

impl CommitToken {
    /// A token that nobody else has, but for a chance of one in 2^64.
    pub fn random() -> Self {
        Self(fastrand::u64(..))
    }
}

impl FromStr for CommitToken {
    type Err = CommitTokenError;

    fn from_str(text: &str) -> Result<Self, CommitTokenError> {
        let is_legal = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(number) if is_legal => Ok(Self(number)),
            _ => Err(CommitTokenError(text.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for CommitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Where a durable subscription goes on in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bookmark {
    /// The topic did not exist when it was first read: at its very first line.
    Birth,
    /// At this cursor.
    At(Cursor),
}

impl Bookmark {
    /// The cursor, where there is one.
    pub fn cursor(&self) -> Option<&Cursor> {
        match self {
            Self::Birth => None,
            Self::At(cursor) => Some(cursor),
        }
    }
}

impl From<Option<Cursor>> for Bookmark {
    fn from(cursor: Option<Cursor>) -> Self {
        cursor.map_or(Self::Birth, Self::At)
    }
}

impl FromStr for Bookmark {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        if text == "-" { Ok(Self::Birth) } else { text.parse().map(Self::At) }
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Birth => f.write_str("-"),
            Self::At(cursor) => cursor.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_and_bookmarks_are_read_back_as_they_were_written(number: u64, offset in 0..1_000_u64) {
            let token = CommitToken(number);
            prop_assert_eq!(token.to_string().parse(), Ok(token));
            for text in ["-".to_owned(), format!("app@00000000000000aa:{offset}")] {
                prop_assert_eq!(text.parse::<Bookmark>().unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_name_or_token_is_named() {
        assert!("orders-v2".parse::<SubscriptionName>().is_ok());
        for wrong in ["", "a b", "a/b", &"x".repeat(201)] {
            let error = wrong.parse::<SubscriptionName>().unwrap_err().to_string();
            assert!(error.starts_with("subscription \"") && error.contains("1 to 200"), "{error}");
        }
        for wrong in ["", "12", "00000000000000AA", "+000000000000001", "00000000000000aag"] {
            assert!(wrong.parse::<CommitToken>().unwrap_err().to_string().contains("16 hex digits"));
        }
    }
}
