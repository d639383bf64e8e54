//! Texts that are made of a file's path: `web-{file_stem}`. Which topic they name is
//! decided in `topic_rule`.

use std::{path::Path, sync::Arc};

use regex::Regex;

/// The names that every path has a text for.
const NAMES: &[(&str, Part)] =
    &[("file_stem", Part::FileStem), ("file_name", Part::FileName), ("dir", Part::Dir)];

/// A text with names in braces, which stand for parts of a file's path: `{file_name}`,
/// `{file_stem}` (the name without its extension), `{dir}` (the name of its folder), and
/// the named groups of a pattern. `{{` and `}}` are braces.
#[derive(Debug, Clone)]
pub struct Template {
    text: Arc<str>,
    parts: Vec<Part>,
    pattern: Option<Arc<Regex>>,
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TemplateError {
    /// Byte of the text at which it is wrong.
    pub at: usize,
    /// What is wrong there, and what would be right.
    pub what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text { at: usize, text: String },
    FileStem,
    FileName,
    Dir,
    Group(String),
}

impl Template {
    /// Reads a template; `pattern` is matched with whole paths, and its named groups may
    /// be used.
    ///
    /// # Errors
    /// [`TemplateError`]; one for an unknown name lists the known ones.
    pub fn parse(text: &str, pattern: Option<&Arc<Regex>>) -> Result<Self, TemplateError> {
        let error = |at: usize, what: &str| Err(TemplateError { at, what: what.to_owned() });
        let mut parts = Vec::new();
        let mut literal = (0, String::new());
        let mut rest = text.char_indices().peekable();
        while let Some((at, character)) = rest.next() {
            let doubled = rest.next_if(|&(_, next)| next == character && matches!(next, '{' | '}')).is_some();
            match character {
                '{' if !doubled => {
                    let name: Option<String> = name_of(&mut rest);
                    let Some(name) = name else {
                        return error(at, "the brace is not closed: expected is {name}, or {{ for a brace");
                    };
                    if !literal.1.is_empty() {
                        parts.push(Part::Text { at: literal.0, text: std::mem::take(&mut literal.1) });
                    }
                    parts.push(named(&name, pattern).map_err(|what| TemplateError { at, what })?);
                }
                '}' if !doubled => return error(at, "no brace was opened here: expected is }} for a brace"),
                _ => {
                    if literal.1.is_empty() {
                        literal.0 = at;
                    }
                    literal.1.push(character);
                }
            }
        }
        if !literal.1.is_empty() {
            parts.push(Part::Text { at: literal.0, text: literal.1 });
        }
        Ok(Self { text: text.into(), parts, pattern: pattern.cloned() })
    }

    /// The text for the file at a path; none where the pattern does not match it, or a
    /// group that is used did not take part.
    pub fn text_for(&self, path: &Path) -> Option<String> {
        let whole = path.to_string_lossy();
        let groups = match &self.pattern {
            Some(pattern) if self.uses_groups() => Some(pattern.captures(&whole)?),
            _ => None,
        };
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text { text: literal, .. } => text.push_str(literal),
                Part::FileStem => text.push_str(&path.file_stem()?.to_string_lossy()),
                Part::FileName => text.push_str(&path.file_name()?.to_string_lossy()),
                Part::Dir => text.push_str(&path.parent()?.file_name()?.to_string_lossy()),
                Part::Group(name) => text.push_str(groups.as_ref()?.name(name)?.as_str()),
            }
        }
        Some(text)
    }

    /// Whether it has a group of the pattern in it.
    pub fn uses_groups(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Group(_)))
    }

    /// The text, where it is the same for every path.
    pub(super) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text { text, .. }] => Some(text),
            _ => None,
        }
    }

    /// What stands between the names, with where it begins.
    pub(super) fn literals(&self) -> impl Iterator<Item = (usize, &str)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text { at, text } => Some((*at, text.as_str())),
            _ => None,
        })
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        let pattern = |template: &Self| template.pattern.as_ref().map(|regex| regex.as_str().to_owned());
        self.text == other.text && pattern(self) == pattern(other)
    }
}

impl Eq for Template {}

impl std::fmt::Display for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The name up to the closing brace.
fn name_of(rest: &mut impl Iterator<Item = (usize, char)>) -> Option<String> {
    let mut name = String::new();
    loop {
        match rest.next()?.1 {
            '}' => return Some(name),
            character => name.push(character),
        }
    }
}

fn named(name: &str, pattern: Option<&Arc<Regex>>) -> Result<Part, String> {
    if let Some((_, part)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(part.clone());
    }
    let groups: Vec<_> = pattern.iter().flat_map(|regex| regex.capture_names().flatten()).collect();
    if groups.contains(&name) {
        return Ok(Part::Group(name.to_owned()));
    }
    let known = NAMES.iter().map(|(known, _)| *known).chain(groups);
    let known: Vec<_> = known.map(|known| format!("{{{known}}}")).collect();
    let groups = if pattern.is_some() { "" } else { ", and the named groups of topic_pattern" };
    Err(format!("{{{name}}} is not known; known are {}{groups}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(template: &str, pattern: Option<&str>, path: &str) -> Option<String> {
        let pattern = pattern.map(|pattern| Arc::new(Regex::new(pattern).unwrap()));
        Template::parse(template, pattern.as_ref()).unwrap().text_for(Path::new(path))
    }

    #[test]
    fn names_stand_for_the_parts_of_the_path() {
        let path = "/srv/shop/web.1.log";
        assert_eq!(text("{dir}-{file_stem}", None, path).as_deref(), Some("shop-web.1"));
        assert_eq!(text("{file_name}", None, path).as_deref(), Some("web.1.log"));
        assert_eq!(text("a{{b}}", None, path).as_deref(), Some("a{b}"));
        assert_eq!(text("{dir}", None, "/app.log"), None);
    }

    #[test]
    fn groups_of_the_pattern_are_names() {
        let pattern = Some("/srv/(?P<app>[^/]+)/(?P<kind>err)?");
        assert_eq!(text("x-{app}", pattern, "/srv/shop/a.log").as_deref(), Some("x-shop"));
        assert_eq!(text("{kind}", pattern, "/srv/shop/a.log"), None, "it took no part");
        assert_eq!(text("{app}", pattern, "/var/a.log"), None, "it does not match");
        assert_eq!(text("{file_stem}", pattern, "/var/a.log").as_deref(), Some("a"), "it is not needed");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones_and_its_place() {
        let pattern = Arc::new(Regex::new("(?P<app>x)").unwrap());
        let error = Template::parse("web-{ap}", Some(&pattern)).unwrap_err();
        assert_eq!(error.at, 4);
        assert_eq!(error.what, "{ap} is not known; known are {file_stem}, {file_name}, {dir}, {app}");
        assert!(Template::parse("{app}", None).unwrap_err().what.contains("topic_pattern"));
        assert_eq!(Template::parse("ab{dir", None).unwrap_err().at, 2);
        assert_eq!(Template::parse("ab}", None).unwrap_err().at, 2);
        assert!(Template::parse("{}", None).is_err());
    }
}
