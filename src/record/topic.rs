//! The name of a topic.

use std::{fmt, str::FromStr, sync::Arc};

/// A named, ordered log: `[A-Za-z0-9._-]`, 1 to 200 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

/// Why a text is no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// The text has no characters.
    #[error("topic is empty: a topic has 1 to {} characters", Topic::MAX_LEN)]
    Empty,
    /// The text has more than [`Topic::MAX_LEN`] characters.
    #[error("topic has {0} characters: a topic has 1 to {max}", max = Topic::MAX_LEN)]
    TooLong(usize),
    /// The text has a character outside of the alphabet.
    #[error("topic {text:?} has {bad:?} in it: a topic is made of A-Z, a-z, 0-9, '.', '_' and '-'")]
    BadCharacter {
        /// The text as it was given.
        text: String,
        /// The first character that may not be there.
        bad: char,
    },
}

impl Topic {
    /// Greatest length in characters.
    pub const MAX_LEN: usize = 200;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The topic of a name in which every character outside of the alphabet
    /// becomes `_` and the rest past [`Topic::MAX_LEN`] is left out.
    ///
    /// # Errors
    /// [`TopicError::Empty`].
    pub fn from_lossy(name: &str) -> Result<Self, TopicError> {
        let clean: String =
            name.chars().take(Self::MAX_LEN).map(|c| if is_allowed(c) { c } else { '_' }).collect();
        clean.parse()
    }
}

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        let characters = text.chars().count();
        if characters > Self::MAX_LEN {
            return Err(TopicError::TooLong(characters));
        }
        match text.chars().find(|&c| !is_allowed(c)) {
            Some(bad) => Err(TopicError::BadCharacter { text: text.to_owned(), bad }),
            None => Ok(Self(text.into())),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_of_the_length_are_kept() {
        assert_eq!("".parse::<Topic>(), Err(TopicError::Empty));
        assert!("a".repeat(200).parse::<Topic>().is_ok());
        assert_eq!("a".repeat(201).parse::<Topic>(), Err(TopicError::TooLong(201)));
    }

    #[test]
    fn a_character_outside_the_alphabet_is_named() {
        let error = "web/1".parse::<Topic>().unwrap_err();
        assert!(error.to_string().contains("'/'"), "{error}");
    }

    #[test]
    fn a_lossy_name_keeps_what_is_legal() {
        assert_eq!(Topic::from_lossy("my app (1)").unwrap().as_str(), "my_app__1_");
        assert_eq!(Topic::from_lossy(""), Err(TopicError::Empty));
    }
}
