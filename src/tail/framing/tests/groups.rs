//! Lines that are joined.

use super::*;

fn joined(rule: JoinRule) -> LineOptions {
    LineOptions { multiline: Some(Multiline::new(rule)), ..options() }
}

fn pattern(pattern: &str) -> regex::bytes::Regex {
    regex::bytes::Regex::new(pattern).unwrap()
}

#[test]
fn a_group_begins_where_its_first_line_matches() {
    let options = joined(JoinRule::StartsWith(pattern(r"^\d")));
    assert_eq!(contents(&options, b"x\n1 a\nb\r\n\nc\n2 d\n3 e\nf"), ["x", "1 a\nb\n\nc", "2 d", "3 e\nf"]);
}

#[test]
fn a_group_goes_on_while_its_lines_match() {
    let options = joined(JoinRule::ContinuesWith(pattern(r"^\+")));
    assert_eq!(contents(&options, b"+x\n1\n+a\n+b\n2\n3\n+c\n"), ["+x", "1\n+a\n+b", "2", "3\n+c"]);
}

#[test]
fn indented_lines_go_on_with_what_is_before() {
    assert_eq!(contents(&joined(JoinRule::Indented), b"1\n a\n\tb\n2\n\n c\n"), ["1\n a\n\tb", "2", "\n c"]);
}

#[test]
fn a_group_is_bounded_in_lines_and_in_bytes() {
    let bounded = |max_lines, max_bytes| LineOptions {
        multiline: Some(Multiline { max_lines, max_bytes, ..Multiline::new(JoinRule::Indented) }),
        ..options()
    };
    assert_eq!(contents(&bounded(2, 100), b"1\n a\n b\n c\n2\n"), ["1\n a", " b\n c", "2"]);
    assert_eq!(contents(&bounded(100, 4), b"1\n a\n b\n c\n12345678\n"), ["1\n a", " b", " c", "12345678"]);
}

#[test]
fn a_group_waits_for_more_lines_and_not_for_ever() {
    let mut file = File::new(&joined(JoinRule::Indented), b"1\n a\n");
    assert_eq!(file.read_all(usize::MAX), []);
    assert_eq!(file.framer.position(), 0);
    let due = file.now + Duration::from_millis(Multiline::TIMEOUT_MS);
    assert_eq!(file.framer.deadline(), Some(due));
    file.framer.expire(file.now + Duration::from_millis(Multiline::TIMEOUT_MS - 1));
    assert_eq!(take(&mut file.framer), []);
    file.framer.expire(due);
    assert_eq!(take(&mut file.framer)[0].0[0].0, "1\n a");
    file.bytes.extend(b" b\n2\n");
    assert_eq!(file.read_all(usize::MAX)[0].0[0].0, " b");
}

#[test]
fn what_a_line_lost_the_group_has_lost() {
    let options = LineOptions { max_line_bytes: 3, ..joined(JoinRule::Indented) };
    let mut file = File::new(&options, b"12345\n abcd\n");
    file.read_all(usize::MAX);
    let (content, truncated, ..) = file.finish()[0].0[0].clone();
    assert_eq!((content.as_str(), truncated), ("123\n ab", 4));
}

#[test]
fn only_ends_that_tore_something_apart_are_remembered() {
    let mut file = File::new(&joined(JoinRule::Indented), &b"1\n".repeat(10_000));
    while file.read(2).is_some() {
        file.wait();
    }
    assert_eq!(format!("{:?}", file.framer.ends).matches("cuts").count(), 1);
}
