//! Stack traces as the languages write them, between lines that are none.

use std::time::Instant;

use super::*;
use crate::tail::{
    framing::Framer,
    input::{JoinRule, LineOptions, Multiline},
};

/// Reads a text in which groups are divided by lines of `%%%%`.
fn finds_the_groups(preset: Preset, text: &str) {
    let groups: Vec<_> = text.split("%%%%\n").collect();
    let multiline = Some(Multiline::new(JoinRule::Preset(preset)));
    let mut framer = Framer::new(&LineOptions { multiline, ..LineOptions::default() }, 0, &[]);
    framer.extend(groups.concat().as_bytes(), Instant::now());
    framer.finish();
    let mut found = Vec::new();
    while let Some(line) = framer.next_line() {
        found.push(String::from_utf8(line.content.to_vec()).unwrap() + "\n");
    }
    assert_eq!(found, groups);
}

#[test]
fn java() {
    finds_the_groups(Preset::Java, include_str!("tests/java.txt"));
}

#[test]
fn python() {
    finds_the_groups(Preset::Python, include_str!("tests/python.txt"));
}

#[test]
fn go() {
    finds_the_groups(Preset::Go, include_str!("tests/go.txt"));
}

#[test]
fn rust() {
    finds_the_groups(Preset::Rust, include_str!("tests/rust.txt"));
}
