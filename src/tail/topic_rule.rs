//! Which topic the lines of a file go to.

use std::{path::Path, sync::Arc};

use regex::Regex;

use super::template::{Template, TemplateError};
use crate::record::{Topic, TopicError};

/// How the topic of a file is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRule {
    /// All files go to one topic.
    Fixed(Topic),
    /// The file's name without its extension; characters that no topic has become `_`.
    FileStem,
    /// Made of the file's path; characters that no topic has become `_`.
    Made(Template),
}

impl TopicRule {
    /// Reads a topic, or a template of one; `pattern` is matched with whole paths, and its
    /// named groups may be used.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str, pattern: Option<&Arc<Regex>>) -> Result<Self, TemplateError> {
        let template = Template::parse(text, pattern)?;
        let wrong = |at: usize, error: TopicError| TemplateError { at, what: error.to_string() };
        if let Some(fixed) = template.fixed() {
            return fixed.parse().map(Self::Fixed).map_err(|error| wrong(0, error));
        }
        for (at, literal) in template.literals() {
            literal.parse::<Topic>().map_err(|error| wrong(at, error))?;
        }
        Ok(Self::Made(template))
    }

    /// The topic of the file at a path; none where none can be made of it.
    pub fn topic_of(&self, path: &Path) -> Option<Topic> {
        match self {
            Self::Fixed(topic) => Some(topic.clone()),
            Self::FileStem => Topic::from_lossy(&path.file_stem()?.to_string_lossy()).ok(),
            Self::Made(template) => Topic::from_lossy(&template.text_for(path)?).ok(),
        }
    }

    /// Whether it has a group of the pattern in it.
    pub fn uses_groups(&self) -> bool {
        matches!(self, Self::Made(template) if template.uses_groups())
    }
}

impl std::fmt::Display for TopicRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(topic) => topic.fmt(f),
            Self::FileStem => f.write_str("{file_stem}"),
            Self::Made(template) => template.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(rule: &str, path: &str) -> Option<String> {
        let rule = TopicRule::parse(rule, None).unwrap();
        rule.topic_of(Path::new(path)).map(|topic| topic.to_string())
    }

    #[test]
    fn a_text_without_names_is_one_topic_and_one_with_names_many() {
        assert_eq!(TopicRule::parse("web", None), Ok(TopicRule::Fixed("web".parse().unwrap())));
        assert_eq!(topic("web-{file_stem}", "/a/my app.log").as_deref(), Some("web-my_app"));
        assert_eq!(topic("{dir}.x", "/a.log"), None);
    }

    #[test]
    fn characters_that_no_topic_has_are_refused_where_they_were_written() {
        let error = TopicRule::parse("{dir}/b", None).unwrap_err();
        assert!(error.at == 5 && error.what.contains("'/'"), "{error:?}");
        assert!(TopicRule::parse("", None).is_err());
    }
}
