//! Reads a filter: what is wrong in it is said field by field. Sizes have bounds, so that
//! no pattern can hurt; the expressions take linear time by themselves.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::{Filter, matcher::Matcher, recent::Recent};
use crate::{
    proto::{self, matcher::Op},
    serve::status::Violation,
};

/// Greatest number of matchers, hosts, paths and labels, each.
const MAX_PARTS: usize = 16;
/// Greatest length of a text, in bytes.
const MAX_VALUE_BYTES: usize = 4096;

fn wrong(field: &str, why: impl Into<String>) -> Violation {
    Violation { field: format!("filter.{field}"), reason: "BAD_FILTER", why: why.into() }
}

/// Looks at numbers and lengths alone.
pub(super) fn check_sizes(asked: &proto::Filter) -> Result<(), Vec<Violation>> {
    let parts = [
        ("matchers", asked.matchers.len()),
        ("hosts", asked.hosts.len()),
        ("paths", asked.paths.len()),
        ("labels", asked.labels.len()),
    ];
    let mut found: Vec<Violation> = parts
        .into_iter()
        .filter(|(_, count)| *count > MAX_PARTS)
        .map(|(name, count)| wrong(name, format!("{count} are too many: at most {MAX_PARTS}")))
        .collect();
    let globs = |name: &'static str, texts: &[String]| {
        let each = texts.iter().enumerate();
        each.map(|(at, text)| (format!("{name}[{at}]"), text.len())).collect::<Vec<_>>()
    };
    let matchers = asked.matchers.iter().enumerate();
    let mut texts: Vec<_> =
        matchers.map(|(at, matcher)| (format!("matchers[{at}].value"), matcher.value.len())).collect();
    texts.extend(globs("hosts", &asked.hosts));
    texts.extend(globs("paths", &asked.paths));
    for (name, value) in &asked.labels {
        texts.push(("labels".to_owned(), name.len()));
        texts.push((
            format!("labels[{}]", name.chars().take(40).collect::<String>()),
            name.len().max(value.len()),
        ));
    }
    for (field, len) in texts {
        if len > MAX_VALUE_BYTES {
            found.push(wrong(&field, format!("{len} bytes are too many: at most {MAX_VALUE_BYTES}")));
        } else if len == 0 {
            found.push(wrong(&field, format!("it is empty: give 1 to {MAX_VALUE_BYTES} bytes")));
        }
    }
    if found.is_empty() { Ok(()) } else { Err(found) }
}

/// Compiles a filter whose sizes were checked.
pub(super) fn compile(asked: &proto::Filter) -> Result<Filter, Vec<Violation>> {
    let mut found = Vec::new();
    let mut matchers = Vec::new();
    for (at, matcher) in asked.matchers.iter().enumerate() {
        match compile_matcher(matcher) {
            Ok(matcher) => matchers.push(matcher),
            Err((name, why)) => found.push(wrong(&format!("matchers[{at}].{name}"), why)),
        }
    }
    let mut globs = |name, texts| match compile_globs(texts) {
        Ok(globs) => globs,
        Err((at, why)) => {
            found.push(wrong(&format!("{name}[{at}]"), why));
            None
        }
    };
    let (hosts, paths) = (globs("hosts", &asked.hosts), globs("paths", &asked.paths));
    if !found.is_empty() {
        return Err(found);
    }
    let labels = asked.labels.clone().into_iter().collect();
    Ok(Filter { matchers, hosts, paths, labels, recent: Recent::default() })
}

fn compile_matcher(matcher: &proto::Matcher) -> Result<Matcher, (&'static str, String)> {
    let (is_text, wanted) = match Op::try_from(matcher.op) {
        Ok(Op::Contains) => (true, true),
        Ok(Op::NotContains) => (true, false),
        Ok(Op::Matches) => (false, true),
        Ok(Op::NotMatches) => (false, false),
        Ok(Op::Unspecified) | Err(_) => {
            let why = format!(
                "{} is none of CONTAINS (1), NOT_CONTAINS (2), MATCHES (3) and NOT_MATCHES (4)",
                matcher.op
            );
            return Err(("op", why));
        }
    };
    let escaped = regex::escape(&matcher.value);
    let pattern = if is_text { &escaped } else { &matcher.value };
    Matcher::new(pattern, matcher.ignore_case, wanted).map_err(|error| ("value", why_of(&error)))
}

/// The library shows the whole pattern; its last line says what is wrong.
fn why_of(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("the expression is too large: compiled it has more than {limit} bytes")
        }
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("it is no regular expression: {}", last.trim_start_matches("error: "))
        }
    }
}

fn compile_globs(texts: &[String]) -> Result<Option<GlobSet>, (usize, String)> {
    if texts.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for (at, text) in texts.iter().enumerate() {
        let glob = GlobBuilder::new(text).literal_separator(false).backslash_escape(true).build();
        set.add(glob.map_err(|error| (at, format!("it is no glob: {}", error.kind())))?);
    }
    set.build().map(Some).map_err(|error| (0, format!("the globs cannot be compiled: {}", error.kind())))
}
