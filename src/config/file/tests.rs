//! What is wrong with a file is said with its line and column.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<File, FileError> {
    File::parse(Path::new("relay.toml"), text, Whose::Ours)
}

fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Err(FileError::Wrong(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_file_is_read_with_the_line_of_every_setting() {
    let file = parse(
        "redis = \"redis://r:1\"\nlog_level = \"debug\"\n\n[tail]\nhost = \"web-1\"\nbuffer_bytes = 1_000_000\n\n\
         [[inputs]]\npaths = [\"/a/*.log\", \"/b\"]\ntopic = \"app\"\nlabels = { env = \"prod\" }\n\n\
         [[inputs]]\npaths = [\"/c\"]\n",
    )
    .unwrap();
    assert_eq!(file.tail.host.as_ref().unwrap().as_str(), "web-1");
    assert_eq!(file.tail.buffer_bytes, Some(1_000_000));
    assert_eq!(file.place_of("tail.buffer_bytes").as_deref(), Some("relay.toml:6"));
    assert_eq!(file.place_of("log_level").as_deref(), Some("relay.toml:2"));
    assert_eq!(file.inputs[0].keys.topic.as_deref(), Some("app"));
    let place = |key| file.place_of(key).unwrap();
    assert_eq!((place("inputs.0"), place("inputs.1")), ("relay.toml:8".into(), "relay.toml:13".into()));
    assert_eq!(place("inputs.0.labels"), "relay.toml:11");
    assert_eq!(file.inputs[1].keys.topic, None);
}

#[test]
fn broken_toml_names_its_line_and_column() {
    let found = problems("redis = \"x\"\n[tail]\nhost = = 1\n");
    assert!(found[0].starts_with("relay.toml:3:8: "), "{found:?}");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    let found = problems("[tail]\npol_interval_ms = 1\n");
    assert_eq!(
        found,
        ["relay.toml:2:1: tail.pol_interval_ms is not known; the nearest known one is tail.poll_interval_ms"]
    );
    assert!(problems("rediss = 1\n")[0].contains("nearest known one is redis"));
    assert!(problems("[[inputs]]\npath = \"/x\"\n")[0].contains("nearest known one is inputs.paths"));
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_its_own() {
    assert!(problems("poll_interval_ms = 1\n")[0].contains("belongs to [tail]"));
    assert!(problems("[tail]\nredis = \"x\"\n")[0].contains("top of the file"));
}

#[test]
fn a_wrong_value_is_named_with_what_is_expected() {
    let found = problems("[tail]\npoll_interval_ms = \"fast\"\nhost = \"a b\"\nbuffer_bytes = -1\n");
    assert!(found[0].starts_with("relay.toml:2:20: tail.poll_interval_ms = \"fast\": "), "{found:?}");
    assert!(found[0].contains("a whole number"), "{found:?}");
    assert!(found[1].starts_with("relay.toml:3:8: tail.host = \"a b\": "), "{found:?}");
    assert!(found[2].contains("from 0 to 4294967295"), "{found:?}");
    assert!(problems("tail = 3")[0].contains("[tail]"));
    assert!(problems("[[inputs]]\npaths = \"/x\"\n")[0].contains("list of texts"));
    assert!(problems("[[inputs]]\ntopic = \"a\"\n")[0].contains("no paths"));
    assert!(problems("[[inputs]]\npaths = []\n")[0].contains("at least one"));
}

#[test]
fn zero_and_huge_limits_are_refused_with_the_bounds() {
    let found = problems("[tail]\nmax_line_bytes = 0\nmax_open_files = 99_999_999\n[serve]\nblock_ms = 0\n");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("a number from 1 to 3145728"), "{found:?}");
    assert!(found[1].contains("from 1 to 1000000") && found[2].contains("from 10 to"), "{found:?}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_no_password_with_it() {
    let found = problems("redis = \"redis://:hunter2@h:port\"\nprefix = 1\nx = 2\n");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(\\PC|\n){0,80}") {
        let parsed = parse(&text);
        prop_assert!(parsed.is_ok() || parsed.is_err());
    }

    #[test]
    fn near_misses_never_panic(text in "(\\[|\\]|tail|inputs|paths|host|=|\"|1|\n| |é){0,20}") {
        let parsed = parse(&text);
        prop_assert!(parsed.is_ok() || parsed.is_err());
    }
}
