//! Which lines are wanted, as flags say it.

use std::collections::BTreeMap;

use crate::proto::{self, matcher::Op};

/// Which lines are printed: those for which all of it holds. The relay leaves out the others.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Lines with this text; without it: `!TEXT`; a regular expression: `/REGEX/`, `!/REGEX/`; either case:
    /// `/REGEX/i`. Several: all must hold
    #[arg(long, value_name = "EXPRESSION", help_heading = "Filter", value_parser = matcher)]
    filter: Vec<proto::Matcher>,
    /// Lines of hosts with this name or glob; several: any of them
    #[arg(long = "filter-host", value_name = "GLOB", help_heading = "Filter")]
    hosts: Vec<String>,
    /// Lines of files with this path or glob, `*` matches slashes too; several: any of them
    #[arg(long = "filter-path", value_name = "GLOB", help_heading = "Filter")]
    paths: Vec<String>,
    /// Lines with this label; several: all of them
    #[arg(long = "filter-label", value_name = "NAME=VALUE", help_heading = "Filter", value_parser = label)]
    labels: Vec<(String, String)>,
}

impl Arguments {
    /// The filter; none where all lines are wanted.
    pub(super) fn into_filter(self) -> Option<proto::Filter> {
        let labels: BTreeMap<_, _> = self.labels.into_iter().collect();
        let filter = proto::Filter { matchers: self.filter, hosts: self.hosts, paths: self.paths, labels };
        (filter != proto::Filter::default()).then_some(filter)
    }
}

/// Reads one expression.
fn matcher(text: &str) -> Result<proto::Matcher, String> {
    let (is_wanted, rest) = match text.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, text),
    };
    let (regex, ignore_case) = match rest.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
        Some((regex, "")) => (Some(regex), false),
        Some((regex, "i")) => (Some(regex), true),
        // A path such as /var/log is a text.
        _ => (None, false),
    };
    let value = regex.unwrap_or(rest);
    if value.is_empty() {
        return Err("it is empty: give a text, !TEXT, /REGEX/ or !/REGEX/".to_owned());
    }
    let op = match (regex.is_some(), is_wanted) {
        (false, true) => Op::Contains,
        (false, false) => Op::NotContains,
        (true, true) => Op::Matches,
        (true, false) => Op::NotMatches,
    };
    Ok(proto::Matcher { op: op.into(), value: value.to_owned(), ignore_case })
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected is NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_a_text_or_stands_between_slashes() {
        let read = |text| {
            let matcher = matcher(text).unwrap();
            (matcher.op(), matcher.value, matcher.ignore_case)
        };
        assert_eq!(read("error"), (Op::Contains, "error".to_owned(), false));
        assert_eq!(read("!error"), (Op::NotContains, "error".to_owned(), false));
        assert_eq!(read("/5\\d\\d /"), (Op::Matches, "5\\d\\d ".to_owned(), false));
        assert_eq!(read("!/a/b/i"), (Op::NotMatches, "a/b".to_owned(), true));
        assert_eq!(read("/var/log"), (Op::Contains, "/var/log".to_owned(), false));
        assert_eq!(read("/"), (Op::Contains, "/".to_owned(), false));
        for wrong in ["", "!", "//", "!//i"] {
            assert!(matcher(wrong).unwrap_err().contains("empty"), "{wrong}");
        }
        assert!(label("app").is_err() && label("=x").is_err());
        assert_eq!(label("app=a=b"), Ok(("app".to_owned(), "a=b".to_owned())));
    }
}
