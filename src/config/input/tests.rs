//! What inputs mean, and what is said of those that make no sense.

use std::path::Path;

use super::*;
use crate::config::{File, FileError};

const README: &str = include_str!("../../../README.md");

fn parse(text: &str) -> Result<File, FileError> {
    File::parse(Path::new("in.toml"), text, Whose::Others)
}

fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Err(FileError::Wrong(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

/// Says exactly these things of an input with paths and these keys, which begin on line 3.
#[track_caller]
fn assert_said(keys: &str, expected: &[&[&str]]) {
    let found = problems(&format!("[[inputs]]\npaths = ['/a']\n{keys}"));
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, words) in found.iter().zip(expected) {
        words.iter().for_each(|word| assert!(found.contains(word), "no {word:?} in {found}"));
    }
}

#[test]
fn every_key_of_an_input_gets_where_it_belongs() {
    let text = "[[inputs]]\nname = 'web'\npaths = ['/srv/*/a.log']\nexclude = ['/srv/old/']\nrotated = ['/arc/*.log']\ntopic = 'x-{app}'\n\
                topic_pattern = '/srv/(?P<app>[^/]+)/'\nlabels = { env = 'prod', file = '{file_name}' }\n\
                start = 'end'\nencoding = 'utf-16le'\nmax_line_bytes = 1000\npublish_partial_ms = 5_000\n\
                lines_per_second = 10\nbytes_per_second = 20\n\
                [inputs.multiline]\nstarts_with = '^\\d'\nmax_lines = 7\ntimeout_ms = 50\n";
    let input = parse(text).unwrap().inputs[0].clone();
    let tailer = input.for_tailer(77);
    let path = Path::new("/srv/shop/a.log");
    assert!(tailer.patterns.matches(path) && !tailer.patterns.matches(Path::new("/srv/old/a.log")));
    assert!(tailer.rotated.unwrap().matches(Path::new("/arc/a.log")));
    assert_eq!(tailer.topic.topic_of(path).unwrap().as_str(), "x-shop");
    assert_eq!(tailer.labels["file"].text_for(path).as_deref(), Some("a.log"));
    assert_eq!(tailer.lines.max_line_bytes, 1000);
    let multiline = tailer.lines.multiline.unwrap();
    assert_eq!((multiline.max_lines, multiline.max_bytes, multiline.timeout_ms), (7, 1000, 50));
    assert!(matches!(multiline.rule, JoinRule::StartsWith(_)));
    assert_eq!(tailer.limits.bytes_per_second.unwrap().get(), 20);
    assert_eq!((tailer.lines.encoding, tailer.start), (Encoding::Utf16Le, Some(tail::StartAt::End)));
    // It is the same input when it is written and read again.
    let again = parse(&input.toml()).unwrap().inputs[0].clone();
    assert_eq!((&again, again.toml()), (&input, input.toml()));
}

#[test]
fn what_an_input_does_not_say_is_the_default() {
    let input = parse("[[inputs]]\npaths = ['/a.log']\n").unwrap().inputs[0].for_tailer(77);
    assert_eq!(input.topic, TopicRule::FileStem);
    assert_eq!((input.lines.max_line_bytes, input.lines.encoding), (77, Encoding::Raw));
    assert!(input.lines.multiline.is_none() && input.limits == Limits::default());
}

#[test]
fn a_template_with_an_unknown_name_lists_the_known_ones_where_it_stands() {
    assert_said(
        "topic = 'web-{name}'\n",
        &[&["in.toml:3:14: ", "{name}", "{file_stem}, {file_name}, {dir}"]],
    );
    assert_said("labels = { a = \"x\", b = \"{y}\" }\n", &[&["in.toml:3:26: ", "inputs.labels = \"{y}\""]]);
    assert_said("topic = 'a b'\n", &[&["in.toml:3:10: ", "' '"]]);
}

#[test]
fn a_broken_pattern_is_pointed_at() {
    assert_said("topic_pattern = '/a/(b'\n", &[&["in.toml:3:21: ", "unclosed group"]]);
    assert_said("topic_pattern = \"\\\\d(\"\n", &[&["in.toml:3:17: ", "unclosed group", "at byte 2"]]);
    assert_said("topic_pattern = '/a/b'\n", &[&["in.toml:3:17: ", "nothing uses it"]]);
    assert_said("[inputs.multiline]\nstarts_with = '*'\n", &[&["in.toml:4:16: ", "repetition"]]);
}

#[test]
fn keys_that_exclude_each_other_are_named() {
    assert_said(
        "[inputs.multiline]\nstarts_with = 'a'\npreset = 'java'\n",
        &[&["in.toml:5:10: ", "inputs.multiline.preset", "starts_with", "only one"]],
    );
    assert_said(
        "[inputs.multiline]\nmax_lines = 5\n",
        &[&["in.toml:3:9: ", "expected is one of starts_with"]],
    );
    assert_said("format = 'cri'\nencoding = 'utf-16'\n", &[&["in.toml:4:12: ", "UTF-8"]]);
    let twice = problems("[[inputs]]\nname = 'a'\npaths = ['/a']\n[[inputs]]\nname = 'a'\npaths = ['/b']\n");
    assert!(twice[0].starts_with("in.toml:5:8: ") && twice[0].contains("line 1"), "{twice:?}");
}

#[test]
fn bounds_and_words_are_said_with_what_is_right() {
    assert_said(
        "max_line_bytes = 0\nlines_per_second = 0\nformat = 'xml'\nname = 'a b'\nstart = 7\n\
         [inputs.multiline]\nindented = 'yes'\nmax_lines = 1\npreset = 'perl'\ntimeout_ms = 1\n",
        &[
            &["in.toml:3:18", "from 1 to 3145728"],
            &["in.toml:4:20", "from 1 to 4294967295"],
            &["in.toml:5:10", "'xml'", "plain, docker, cri"],
            &["in.toml:6:8", "1 to 200 characters"],
            &["in.toml:7:9", "a text in quotes"],
            &["in.toml:9:12", "true or false"],
            &["in.toml:10:13", "from 2 to 100000"],
            &["in.toml:11:10", "java, python, go, rust"],
            &["in.toml:12:14", "from 10 to 3600000"],
        ],
    );
}

#[test]
fn mistakes_of_keys_and_between_keys_are_said_at_once() {
    assert_said(
        "topic = '{x}'\nmax_line_bytes = 0\npats = 1\n[inputs.multiline]\npreset = 'go'\nindented = true\n",
        &[&[":3:10: "], &[":4:18: "], &[":5:1: ", "inputs.paths"], &[":7:10: "]],
    );
    // The name may be a group of the pattern that cannot be read.
    assert_said("topic = '{x}'\ntopic_pattern = '('\n", &[&[":4:18: "]]);
}

#[test]
fn a_key_of_another_section_is_sent_there() {
    assert_said("preset = 'java'\n", &[&["belongs to [inputs.multiline]"]]);
    assert_said("[inputs.multiline]\ntopic = 'x'\n", &[&["belongs to [[inputs]]"]]);
    assert_said(
        "[inputs.multiline]\npreste = 'java'\n",
        &[&["nearest known one is inputs.multiline.preset"]],
    );
}

#[test]
fn relative_paths_are_refused_for_other_machines() {
    let found = problems("[[inputs]]\npaths = ['/a', 'b.log']\n");
    assert!(found[0].starts_with("in.toml:2:16: ") && found[0].contains("from / on"), "{found:?}");
    assert_said("exclude = ['/a', 'b']\n", &[&["in.toml:3:18: ", "inputs.exclude = 'b'", "from / on"]]);
}

#[test]
fn standard_input_is_no_path_of_a_file() {
    let found = problems("[[inputs]]\npaths = ['/a', '-']\n");
    assert!(found[0].starts_with("in.toml:2:16: ") && found[0].contains("standard input"), "{found:?}");
}

#[test]
fn the_readme_has_every_key_and_an_example_that_is_read() {
    let row =
        |section: &str, key: &Key| format!("| `{section}{}` | {} | {} |\n", key.name, key.default, key.what);
    let rows = InputKeys::KEYS.iter().map(|key| row("", key));
    let table: String = rows.chain(MultilineKeys::KEYS.iter().map(|key| row("multiline.", key))).collect();
    let (_, written) =
        README.split_once("| key of an input | default | what it is |\n| --- | --- | --- |\n").unwrap();
    assert!(written.starts_with(&(table.clone() + "\n")), "it should be\n{table}");
    let (_, section) = README.split_once("## Inputs\n").unwrap();
    let (_, example) = section.split_once("```toml\n").unwrap();
    let file = parse(example.split_once("```").unwrap().0).unwrap();
    let topics = [("/var/log/nginx/error.log", "nginx-error"), ("/srv/shop/logs/a.log", "app-shop")];
    for (input, (path, topic)) in file.inputs.iter().zip(topics) {
        let rule = input.for_tailer(1).topic;
        assert_eq!(rule.topic_of(Path::new(path)).unwrap().as_str(), topic);
    }
}
