//! Filters against a naive reading of the same conditions.

use proptest::prelude::*;

use super::*;
use crate::{
    proto::{Matcher as Asked, matcher::Op},
    record::{BatchBuilder, Epoch, Offset},
};

fn entry(contents: &[&str]) -> Arc<Entry> {
    let source = proto::Source {
        key: "web-1/7".to_owned(),
        host: "web-1".to_owned(),
        path: "/var/log/app.log".to_owned(),
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
    };
    let mut builder = BatchBuilder::new(&source, 0, 0);
    for content in contents {
        builder.push(content.as_bytes(), 0);
    }
    let lines = u32::try_from(contents.len()).unwrap();
    let batch = StoredBatch::parse(builder.seal(900).unwrap().stored, lines).unwrap();
    Arc::new(Entry::new(Offset::ZERO, Epoch::new(3), 1, batch))
}

fn matcher(op: Op, value: &str, ignore_case: bool) -> Asked {
    Asked { op: op.into(), value: value.to_owned(), ignore_case }
}

fn places(filter: &proto::Filter, contents: &[&str]) -> Vec<u32> {
    let filter = Filters::default().get(filter).unwrap().unwrap();
    let entry = entry(contents);
    filter.select(&entry).map_or_else(|| (0..entry.batch.lines()).collect(), |it| it.places().to_vec())
}

#[test]
fn each_kind_of_condition_leaves_what_it_says() {
    let lines = ["GET /a 200", "POST /a 500", "get /b 503", "\u{fffd}"];
    let with = |matchers: &[Asked]| {
        places(&proto::Filter { matchers: matchers.to_vec(), ..Default::default() }, &lines)
    };
    assert_eq!(with(&[matcher(Op::Contains, "/a", false)]), [0, 1]);
    assert_eq!(with(&[matcher(Op::Contains, "GET", true)]), [0, 2]);
    assert_eq!(with(&[matcher(Op::NotContains, "get", true)]), [1, 3]);
    assert_eq!(with(&[matcher(Op::Contains, "a.2", false)]), [] as [u32; 0]);
    assert_eq!(with(&[matcher(Op::Matches, " 5\\d\\d$", false)]), [1, 2]);
    assert_eq!(with(&[matcher(Op::NotMatches, "^[A-Z]", false)]), [2, 3]);
    assert_eq!(with(&[matcher(Op::Matches, "5", false), matcher(Op::NotContains, "POST", false)]), [2]);
}

#[test]
fn a_source_is_wanted_by_host_path_and_labels_or_not_at_all() {
    let of = |change: fn(&mut proto::Filter)| {
        let mut filter = proto::Filter::default();
        change(&mut filter);
        !places(&filter, &["x"]).is_empty()
    };
    assert!(of(|f| f.hosts = vec!["db-*".to_owned(), "web-?".to_owned()]));
    assert!(!of(|f| f.hosts = vec!["db-*".to_owned()]));
    assert!(of(|f| f.paths = vec!["/var/*.log".to_owned()]));
    assert!(!of(|f| f.paths = vec!["*.txt".to_owned()]));
    assert!(of(|f| drop(f.labels.insert("env".to_owned(), "prod".to_owned()))));
    assert!(!of(|f| drop(f.labels.insert("env".to_owned(), "test".to_owned()))));
    assert!(!of(|f| drop(f.labels.insert("other".to_owned(), "prod".to_owned()))));
}

#[test]
fn what_is_wrong_is_said_by_field_and_never_quoted() {
    let wrong = |change: fn(&mut proto::Filter)| {
        let mut filter = proto::Filter::default();
        change(&mut filter);
        let found = Filters::default().get(&filter).unwrap_err();
        assert!(found.iter().all(|violation| violation.reason == "BAD_FILTER"));
        assert!(!format!("{found:?}").contains("secret"), "{found:?}");
        (found[0].field.clone(), found[0].why.clone())
    };
    let (field, why) = wrong(|f| f.matchers = vec![matcher(Op::Matches, "secret(", false)]);
    assert_eq!(field, "filter.matchers[0].value");
    assert!(why.contains("unclosed group"), "{why}");
    let (_, why) = wrong(|f| f.matchers = vec![matcher(Op::Matches, "(secret{1000}){1000}", false)]);
    assert!(why.contains("too large"), "{why}");
    let (field, _) = wrong(|f| f.matchers = vec![matcher(Op::Unspecified, "secret", false)]);
    assert_eq!(field, "filter.matchers[0].op");
    let (field, why) = wrong(|f| f.matchers = vec![matcher(Op::Contains, &"secret".repeat(1000), false)]);
    assert_eq!((field.as_str(), why.contains("4096")), ("filter.matchers[0].value", true));
    let (field, _) = wrong(|f| f.matchers = vec![matcher(Op::Contains, "", false)]);
    assert_eq!(field, "filter.matchers[0].value");
    let (field, why) = wrong(|f| f.hosts = vec!["a".to_owned(); 17]);
    assert_eq!((field.as_str(), why.contains("at most 16")), ("filter.hosts", true));
    let (field, _) = wrong(|f| f.paths = vec!["a".to_owned(), "secret[".to_owned()]);
    assert_eq!(field, "filter.paths[1]");
}

#[test]
fn equal_filters_are_one_and_are_forgotten_when_nobody_uses_them() {
    let filters = Filters::default();
    let asked =
        |text| proto::Filter { matchers: vec![matcher(Op::Contains, text, false)], ..Default::default() };
    let (one, same) =
        (filters.get(&asked("a")).unwrap().unwrap(), filters.get(&asked("a")).unwrap().unwrap());
    assert!(Arc::ptr_eq(&one, &same));
    let entry = entry(&["a", "b"]);
    assert!(Arc::ptr_eq(&one.select(&entry).unwrap(), &same.select(&entry).unwrap()));
    drop((one, same));
    let _other = filters.get(&asked("b")).unwrap();
    assert_eq!(filters.used.lock().unwrap().len(), 1);
    assert!(filters.get(&proto::Filter::default()).unwrap().is_none());
}

proptest! {
    #[test]
    fn a_search_of_all_lines_at_once_finds_what_each_line_has_by_itself(
        pattern in prop::sample::select(&[
            "a", "ab", "z", "\n", "b+z", "[^a]*b", "(a|b+)z?", "^a", "a$", r"\bab", "a*", "[^x]+b", "(?s)a.+b",
            "(?s).+", "z.?\n", "\u{0}|A", "(?-u)\\x0a.", "a{2,3}", "(?i)AB", "a[^b]*b", "(?m)^b", "[^\u{0}]{3}",
        ][..]),
        ignore_case: bool,
        contents in prop::collection::vec("[abzA \\x00\\x0a]{0,6}", 1..20),
    ) {
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        let alone = regex::bytes::RegexBuilder::new(pattern).case_insensitive(ignore_case).build().unwrap();
        let matchers = vec![matcher(Op::Matches, pattern, ignore_case)];
        let filter = proto::Filter { matchers, ..Default::default() };
        let matches = |(_, content): &(u32, &&str)| alone.is_match(content.as_bytes());
        let expected: Vec<u32> = (0..).zip(&contents).filter(matches).map(|(at, _)| at).collect();
        prop_assert_eq!(places(&filter, &contents), expected);
    }

    #[test]
    fn any_text_is_found_as_a_plain_search_finds_it(
        needle in "[ab.*(\\\\]{1,3}", contents in prop::collection::vec("[ab.*(\\\\]{0,8}", 1..20), not: bool,
    ) {
        let op = if not { Op::NotContains } else { Op::Contains };
        let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
        let filter = proto::Filter { matchers: vec![matcher(op, &needle, false)], ..Default::default() };
        let expected: Vec<u32> = (0..).zip(&contents)
            .filter(|(_, content)| content.contains(&needle) != not).map(|(at, _)| at).collect();
        prop_assert_eq!(places(&filter, &contents), expected);
    }
}
