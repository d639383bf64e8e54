//! How the bytes of files become lines, through a tailer in process and a real Redis.

use std::{fs, path::PathBuf, time::Duration};

use logrelay::tail::{
    LineOptions, Options,
    input::{Encoding, Format, JoinRule, Multiline, Preset},
    publish_stdin,
};
use tokio_util::sync::CancellationToken;

use crate::{
    support::TestRedis,
    tailing::{Tailing, append},
};

/// A tailer whose files have these lines.
fn prepare(redis: &TestRedis, lines: &LineOptions) -> (Tailing, PathBuf) {
    let tailing = Tailing::prepare(redis, "app.log", |mut options: Options| {
        options.inputs[0].lines = lines.clone();
        options
    });
    let log = tailing.path("app.log");
    (tailing, log)
}

fn follow(redis: &TestRedis, lines: &LineOptions) -> (Tailing, PathBuf) {
    let (mut tailing, log) = prepare(redis, lines);
    tailing.resume();
    (tailing, log)
}

fn encoding(encoding: Encoding) -> LineOptions {
    LineOptions { encoding, ..LineOptions::default() }
}

fn format(format: Format) -> LineOptions {
    LineOptions { format, ..LineOptions::default() }
}

/// Joined by a rule; a group waits for so long.
fn joined(rule: JoinRule, timeout_ms: u64) -> LineOptions {
    LineOptions {
        multiline: Some(Multiline { timeout_ms, ..Multiline::new(rule) }),
        ..LineOptions::default()
    }
}

/// Longer than a test.
const NEVER_MS: u64 = 600_000;

fn append_bytes(path: &PathBuf, bytes: &[u8]) {
    let before = fs::read(path).unwrap_or_default();
    append(path, "");
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, before.len() as u64).unwrap();
}

/// Writes a file in two halves that are cut within a character, with a kill between them.
async fn is_read_over_a_kill(options: LineOptions, to_bytes: fn(u16) -> [u8; 2], mark: &str) {
    let redis = TestRedis::start().await;
    let (mut tailing, log) = follow(&redis, &options);
    let text = format!("{mark}one\r\nzwei ä \u{1f600}\n\u{a0a}\n");
    let bytes: Vec<u8> = text.encode_utf16().flat_map(to_bytes).collect();
    // Between the two bytes of the second line's last code unit, the newline.
    let half = bytes.len() - 5;
    append_bytes(&log, &bytes[..half]);
    tailing.until_lines(1).await;
    tailing.kill().await;
    append_bytes(&log, &bytes[half..]);
    tailing.resume();
    tailing.until_lines(3).await;
    assert_eq!(tailing.contents().await, ["one", "zwei ä \u{1f600}", "\u{a0a}"]);
}

#[tokio::test]
async fn utf_16_little_endian_is_read_over_a_kill_between_two_bytes() {
    is_read_over_a_kill(encoding(Encoding::Utf16Le), u16::to_le_bytes, "").await;
    is_read_over_a_kill(encoding(Encoding::Utf16), u16::to_le_bytes, "").await;
}

#[tokio::test]
async fn utf_16_big_endian_is_read_over_a_kill_between_two_bytes() {
    is_read_over_a_kill(encoding(Encoding::Utf16Be), u16::to_be_bytes, "").await;
}

#[tokio::test]
async fn a_byte_order_mark_still_decides_when_reading_goes_on_behind_it() {
    is_read_over_a_kill(encoding(Encoding::Utf16), u16::to_be_bytes, "\u{feff}").await;
    is_read_over_a_kill(encoding(Encoding::Utf16Be), u16::to_le_bytes, "\u{feff}").await;
}

#[tokio::test]
async fn zero_bytes_at_the_beginning_of_a_file_are_no_line() {
    let redis = TestRedis::start().await;
    let (mut tailing, log) = prepare(&redis, &LineOptions::default());
    append_bytes(&log, &vec![0; 300_000]);
    append(&log, "one\ntwo\n");
    tailing.resume();
    tailing.until_lines(2).await;
    assert_eq!(tailing.contents().await, ["one", "two"]);
}

fn docker(stream: &str, log: &str) -> String {
    format!(
        r#"{{"log":"{log}","stream":"{stream}","attrs":{{"tag":"web"}},"time":"2016-10-06T00:17:09.5Z"}}"#
    ) + "\n"
}

fn cri(stream: &str, tag: &str, content: &str) -> String {
    format!("2016-10-06T00:17:09.5Z {stream} {tag} {content}\n")
}

#[tokio::test]
async fn docker_lines_are_unwrapped_with_stream_attributes_and_time() {
    let redis = TestRedis::start().await;
    let (tailing, log) = follow(&redis, &format(Format::Docker));
    append(&log, &docker("stdout", r"one \u00e4\n"));
    append(&log, &docker("stderr", "tw"));
    append(&log, &docker("stderr", r"o\n"));
    append(&log, "not of the format\n");
    tailing.until_lines(3).await;
    assert_eq!(tailing.contents().await, ["one ä", "two", "not of the format"]);
    let stored = tailing.stored().await;
    assert_eq!(stored[0].1.time_unix_nano, 1_475_713_029_500_000_000);
    let labels =
        [("stream", "stderr"), ("tag", "web")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(stored[1].1.labels, labels.into());
    assert!(stored[2].1.labels.is_empty());
}

#[tokio::test]
async fn cri_parts_are_put_together_over_a_kill_between_them() {
    let redis = TestRedis::start().await;
    let (mut tailing, log) = follow(&redis, &format(Format::Cri));
    append(&log, &cri("stdout", "F", "one"));
    append(&log, &cri("stdout", "P", "t"));
    tailing.until_lines(1).await;
    tailing.kill().await;
    append(&log, &cri("stdout", "P", "w"));
    append(&log, &cri("stdout", "F", "o"));
    tailing.resume();
    tailing.until_lines(2).await;
    assert_eq!(tailing.contents().await, ["one", "two"]);
    assert_eq!(tailing.stored().await[1].1.labels["stream"], "stdout");
}

/// At whatever line it is killed: lines of two streams that are entangled come once.
#[tokio::test]
async fn streams_that_alternate_are_read_once_over_kills_everywhere() {
    let redis = TestRedis::start().await;
    let (mut tailing, log) = follow(&redis, &format(Format::Cri));
    let mut expected = Vec::new();
    for round in 0..20 {
        append(&log, &cri("stdout", "P", &format!("out {round},")));
        append(&log, &cri("stderr", "F", &format!("between {round}")));
        append(&log, &cri("stderr", "P", &format!("err {round},")));
        tailing.kill().await;
        append(&log, &cri("stdout", "F", " all"));
        tailing.resume();
        append(&log, &cri("stderr", "F", " all"));
        expected.extend([
            format!("out {round}, all"),
            format!("between {round}"),
            format!("err {round}, all"),
        ]);
        if round % 2 == 0 {
            tailing.until_lines(expected.len() as u64).await;
        }
    }
    tailing.until_lines(expected.len() as u64).await;
    assert_eq!(tailing.contents().await, expected);
}

async fn finds_the_groups(preset: Preset, text: &str) {
    let redis = TestRedis::start().await;
    let (tailing, log) = follow(&redis, &joined(JoinRule::Preset(preset), 300));
    let groups: Vec<_> = text.split("%%%%\n").collect();
    append(&log, &groups.concat());
    tailing.until_lines(groups.len() as u64).await;
    let found = tailing.contents().await;
    assert_eq!(found.iter().map(|line| line.clone() + "\n").collect::<Vec<_>>(), groups);
}

#[tokio::test]
async fn stack_traces_of_java_are_lines() {
    finds_the_groups(Preset::Java, include_str!("../../src/tail/framing/traces/tests/java.txt")).await;
}

#[tokio::test]
async fn stack_traces_of_python_are_lines() {
    finds_the_groups(Preset::Python, include_str!("../../src/tail/framing/traces/tests/python.txt")).await;
}

#[tokio::test]
async fn stack_traces_of_go_are_lines() {
    finds_the_groups(Preset::Go, include_str!("../../src/tail/framing/traces/tests/go.txt")).await;
}

#[tokio::test]
async fn stack_traces_of_rust_are_lines() {
    finds_the_groups(Preset::Rust, include_str!("../../src/tail/framing/traces/tests/rust.txt")).await;
}

#[tokio::test]
async fn a_kill_or_a_stop_in_the_middle_of_a_group_neither_splits_nor_repeats_it() {
    let redis = TestRedis::start().await;
    let (mut tailing, log) = follow(&redis, &joined(JoinRule::Indented, NEVER_MS));
    let mut expected = Vec::new();
    for round in 0..10 {
        append(&log, &format!("{round}\n a\n"));
        tailing.until_lines(round).await;
        if round % 2 == 0 {
            tailing.kill().await;
        } else {
            tailing.stop().await;
        }
        append(&log, " b\n");
        tailing.resume();
        append(&log, " c\n");
        expected.push(format!("{round}\n a\n b\n c"));
    }
    append(&log, "end\n");
    tailing.until_lines(10).await;
    assert_eq!(tailing.contents().await, expected);
    fs::remove_file(&log).unwrap();
    tailing.until_gone(1).await;
    assert_eq!(tailing.contents().await.last().unwrap(), "end", "what is gone ends its last group");
}

#[tokio::test]
async fn a_group_ends_when_no_more_lines_come_and_the_next_file_waits_for_that() {
    let redis = TestRedis::start().await;
    let (tailing, log) = follow(&redis, &joined(JoinRule::Indented, 500));
    append(&log, "one\n a\n");
    tailing.until_lines(1).await;
    append(&log, "two\n");
    fs::rename(&log, tailing.path("app.log.1")).unwrap();
    append(&log, "three\n b\n");
    append(&tailing.path("app.log.1"), " late\n");
    tailing.until_lines(3).await;
    assert_eq!(tailing.contents().await, ["one\n a", "two\n late", "three\n b"]);
}

#[tokio::test]
async fn a_group_of_a_truncated_file_is_not_lost() {
    let redis = TestRedis::start().await;
    let (tailing, log) = follow(&redis, &joined(JoinRule::Indented, NEVER_MS));
    append(&log, "one\ntwo\n a\n");
    tailing.until_lines(1).await;
    fs::File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    tailing.until_lines(2).await;
    assert_eq!(tailing.contents().await, ["one", "two\n a"]);
}

#[tokio::test]
async fn a_partial_line_is_published_only_if_asked() {
    let redis = TestRedis::start().await;
    let partial = LineOptions { publish_partial_ms: Some(300), ..LineOptions::default() };
    let (mut asked, log) = follow(&redis, &partial);
    let (not_asked, other) = follow(&redis, &LineOptions::default());
    append(&log, "one\ntw");
    append(&other, "one\ntw");
    asked.until_lines(2).await;
    asked.restart().await;
    append(&log, "o\nthree\n");
    append(&other, "o\nthree\n");
    asked.until_lines(4).await;
    not_asked.until_lines(3).await;
    assert_eq!(asked.contents().await, ["one", "tw", "o", "three"]);
    assert_eq!(not_asked.contents().await, ["one", "two", "three"]);
}

/// What comes in time and what comes too late: sent again it comes all at once.
#[tokio::test]
async fn what_redis_forgot_is_cut_at_the_same_places_again() {
    let mut redis = TestRedis::start().await;
    let options = LineOptions { publish_partial_ms: Some(200), ..joined(JoinRule::Indented, 200) };
    let (tailing, log) = follow(&redis, &options);
    append(&log, "0\n");
    tailing.until_lines(1).await;
    let copy = redis.copy();
    for (part, count) in
        [("1\n", 2), (" late\n b\n", 3), ("2\n c\n", 4), ("unfin", 5), ("ished\n", 6), (" x\n3\n", 8)]
    {
        append(&log, part);
        tailing.until_lines(count).await;
    }
    let before = tailing.stored().await;
    redis.replace_with(&copy).await;
    tailing.until_lines(8).await;
    assert_eq!(tailing.stored().await, before);
    redis.control().await.run::<()>("FLUSHALL").await;
    tailing.until_lines(8).await;
    assert_eq!(tailing.stored().await, before);
    let contents = ["0", "1", " late\n b", "2\n c", "unfin", "ished", " x", "3"];
    assert_eq!(tailing.contents().await, contents);
}

#[tokio::test]
async fn standard_input_is_framed_and_its_end_ends_the_last_group() {
    let redis = TestRedis::start().await;
    let tailing = Tailing::prepare(&redis, "none", |options| options);
    let input = "2026-11-21T06:00:00Z stdout F one\n2026-11-21T06:00:00Z stdout F  a\n2026-11-21T06:00:00Z stdout P two";
    let lines = LineOptions { format: Format::Cri, ..joined(JoinRule::Indented, NEVER_MS) };
    let (host, shutdown) = ("host".parse().unwrap(), CancellationToken::new());
    let publisher = tailing.publisher();
    let reading = publish_stdin(&publisher, tailing.topic(), &host, &lines, input.as_bytes(), shutdown);
    tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap();
    assert_eq!(tailing.contents().await, ["one\n a", "two"]);
    // No more can come of it, so that its record may expire.
    tailing.until_gone(1).await;
}
