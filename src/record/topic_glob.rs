//! A pattern of topics.

use std::{fmt, str::FromStr, sync::Arc};

use super::{Topic, TopicError};

/// A pattern of topics: a name in which each `*` stands for any characters, dots and none
/// too. Without a `*` it is the name of one topic. At most [`TopicGlob::MAX_LEN`] characters.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicGlob(Arc<str>);

impl TopicGlob {
    /// Greatest length in characters: that of a topic.
    pub const MAX_LEN: usize = Topic::MAX_LEN;
    const ANY: char = '*';

    /// The pattern of every topic.
    pub fn all() -> Self {
        Self("*".into())
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one topic that it names; none where it has a `*`.
    pub fn as_topic(&self) -> Option<Topic> {
        self.0.parse().ok()
    }

    /// Whether a topic is of this pattern. Takes time linear in the length of the name for each
    /// `*`, whatever the pattern is.
    pub fn matches(&self, topic: &Topic) -> bool {
        let name = topic.as_str();
        let mut parts = self.0.split(Self::ANY);
        let first = parts.next().unwrap_or_default();
        let Some(last) = parts.next_back() else { return name == first };
        let Some(rest) = name.strip_prefix(first) else { return false };
        let Some(mut rest) = rest.strip_suffix(last) else { return false };
        // The leftmost place of each part leaves the most for those after it.
        for part in parts {
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
        true
    }
}

impl From<Topic> for TopicGlob {
    fn from(topic: Topic) -> Self {
        Self(topic.as_str().into())
    }
}

impl FromStr for TopicGlob {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let as_name = text.replace(Self::ANY, "_");
        match as_name.parse::<Topic>() {
            Ok(_) => Ok(Self(text.into())),
            Err(TopicError::BadCharacter { bad, .. }) => {
                Err(TopicError::BadCharacter { text: text.to_owned(), bad })
            }
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for TopicGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TopicGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, topic: &str) -> bool {
        glob.parse::<TopicGlob>().unwrap().matches(&topic.parse().unwrap())
    }

    #[test]
    fn a_star_stands_for_anything_dots_and_nothing_too() {
        assert!(matches("web.*", "web.eu.1"));
        assert!(matches("web.*", "web."));
        assert!(!matches("web.*", "web"));
        assert!(matches("*.access", "web.eu.access"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(!matches("a*bc*bc", "abc"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("**", "anything"));
    }

    #[test]
    fn without_a_star_it_is_one_topic() {
        let glob: TopicGlob = "web".parse().unwrap();
        assert_eq!(glob.as_topic(), Some("web".parse().unwrap()));
        assert!(matches("web", "web") && !matches("web", "web2"));
        assert_eq!(TopicGlob::all().as_topic(), None);
    }

    #[test]
    fn what_no_topic_can_have_is_refused() {
        let error = "web/*".parse::<TopicGlob>().unwrap_err();
        assert!(error.to_string().contains("\"web/*\" has '/'"), "{error}");
        assert_eq!("".parse::<TopicGlob>(), Err(TopicError::Empty));
        assert_eq!("*".repeat(201).parse::<TopicGlob>(), Err(TopicError::TooLong(201)));
    }

    proptest! {
        #[test]
        fn it_matches_as_a_regular_expression_does(glob in "[ab*]{1,8}", topic in "[ab]{1,10}") {
            let pattern = regex::Regex::new(&format!("^{}$", glob.replace('*', ".*"))).unwrap();
            prop_assert_eq!(matches(&glob, &topic), pattern.is_match(&topic));
        }
    }
}
