//! Settings that are patterns: of paths (globs and regular expressions) and of lines.

use std::sync::Arc;

use super::{Kind, Value, Wrong};
use crate::tail::discover::{PatternError, Patterns};

/// A path or a glob of files to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob(String);

/// A path or a glob of files and folders to leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExcludeGlob(String);

macro_rules! glob {
    ($type:ty, $parse:expr) => {
        impl $type {
            /// As it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Value for $type {
            type One = Self;
            const KIND: Kind = Kind::Text;

            fn read(text: &str) -> Result<Self, Wrong> {
                let text = text.to_owned();
                match $parse(std::slice::from_ref(&text)) {
                    Ok(_) => Ok(Self(text)),
                    Err(error) => Err(error.to_string().into()),
                }
            }

            fn shown(&self) -> String {
                self.0.clone()
            }
        }
    };
}
glob!(PathGlob, Patterns::parse);
glob!(ExcludeGlob, excluding);

fn excluding(texts: &[String]) -> Result<Patterns, PatternError> {
    Patterns::parse(&[])?.excluding(texts)
}

/// A regular expression for whole paths.
#[derive(Debug, Clone)]
pub struct PathPattern(pub(in crate::config) Arc<regex::Regex>);

/// A regular expression for lines, which are any bytes.
#[derive(Debug, Clone)]
pub struct LinePattern(pub(in crate::config) regex::bytes::Regex);

macro_rules! pattern {
    ($type:ty, $utf8:literal, |$regex:ident| $made:expr) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.as_str() == other.0.as_str()
            }
        }

        impl Eq for $type {}

        impl Value for $type {
            type One = Self;
            const KIND: Kind = Kind::Text;

            fn read(text: &str) -> Result<Self, Wrong> {
                match text.parse() {
                    Ok($regex) => Ok($made),
                    Err(error) => Err(wrong_pattern(text, $utf8, &error)),
                }
            }

            fn shown(&self) -> String {
                self.0.as_str().to_owned()
            }
        }
    };
}
pattern!(PathPattern, true, |regex| Self(Arc::new(regex)));
pattern!(LinePattern, false, |regex| Self(regex));

/// What is wrong with a regular expression, and at which byte of it.
fn wrong_pattern(text: &str, utf8: bool, error: &regex::Error) -> Wrong {
    let parsed = regex_syntax::ParserBuilder::new().utf8(utf8).build().parse(text);
    let (what, at) = match parsed {
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), Some(error.span().start.offset)),
        Err(regex_syntax::Error::Translate(error)) => {
            (error.kind().to_string(), Some(error.span().start.offset))
        }
        // It is well formed and too large, for one.
        _ => (error.to_string(), None),
    };
    Wrong { what: format!("it is no regular expression: {what}"), offset: at, element: None }
}
