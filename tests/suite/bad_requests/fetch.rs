//! The fields of a `FetchRequest`.

use logrelay::proto::{FetchRequest, Filter, Matcher, Start, matcher::Op, start::Position};
use prost_types::Timestamp;
use tonic::Code;

use super::row::Row;

const FETCH: &str = "Fetch";

fn good() -> FetchRequest {
    FetchRequest { topic: "app".to_owned(), ..FetchRequest::default() }
}

fn served(what: &str, change: impl FnOnce(&mut FetchRequest)) -> Row {
    let mut request = good();
    change(&mut request);
    Row::served(FETCH, what, &request)
}

fn wrong(reason: &'static str, field: &'static str, change: impl FnOnce(&mut FetchRequest)) -> Row {
    let mut request = good();
    change(&mut request);
    Row::wrong(FETCH, format!("{field}, {reason}"), &request, reason, field)
}

fn start(position: Position) -> Option<Start> {
    Start { position: Some(position) }.into()
}

/// All rows; `cursor` is the one of the tail of `app`, which has ten lines.
pub(super) fn rows(cursor: &str) -> Vec<Row> {
    let bad_cursor = |text: String| wrong("BAD_CURSOR", "cursor", |r| r.cursor = text);
    let time = |seconds, nanos| start(Position::Time(Timestamp { seconds, nanos }));
    let bad = |value: &str| {
        let matcher = Matcher { op: Op::Matches.into(), value: value.to_owned(), ignore_case: false };
        Some(Filter { matchers: vec![matcher], ..Filter::default() })
    };
    vec![
        wrong("BAD_TOPIC", "topic", |r| r.topic = String::new()),
        wrong("BAD_TOPIC", "topic", |r| r.topic = "a*".into()),
        wrong("BAD_TOPIC", "topic", |r| r.topic = "x/".repeat(1_000_000)),
        served("no such topic", |r| r.topic = "none".into()).refused(Code::NotFound, "TOPIC_NOT_FOUND"),
        bad_cursor("app".to_owned()),
        bad_cursor("app@00000000000000aa:01".to_owned()),
        bad_cursor(format!("app@00000000000000aa:{}", u64::MAX)),
        bad_cursor(cursor.replace("app@", "web@")),
        bad_cursor("@".repeat(1_000_000)),
        served("a cursor of a lost timeline", |r| r.cursor = "app@0000000000000001:5".into()),
        served("a cursor ahead", |r| r.cursor = cursor.replace(":10", ":11"))
            .refused(Code::InvalidArgument, "CURSOR_AHEAD"),
        wrong("BAD_START", "start", |r| {
            (r.cursor, r.start) = (cursor.to_owned(), start(Position::Earliest(true)));
        }),
        wrong("BAD_START", "start.earliest", |r| r.start = start(Position::Earliest(false))),
        wrong("BAD_START", "start.latest", |r| r.start = start(Position::Latest(false))),
        wrong("BAD_START", "start.time", |r| r.start = time(0, -1)),
        wrong("BAD_START", "start.time", |r| r.start = time(i64::MIN, 0)),
        served("a start that says nothing", |r| r.start = Some(Start::default())),
        served("all lines there are", |r| r.start = start(Position::LastLines(u64::MAX))),
        wrong("BAD_DIRECTION", "direction", |r| r.direction = 3),
        wrong("BAD_DIRECTION", "direction", |r| r.direction = -1),
        wrong("BAD_LIMIT", "max_lines", |r| r.max_lines = 8193),
        wrong("BAD_LIMIT", "max_bytes", |r| r.max_bytes = u32::MAX),
        served("the least", |r| (r.max_lines, r.max_bytes) = (1, 1)),
        served("the most", |r| (r.max_lines, r.max_bytes) = (8192, 4_128_768)),
        wrong("BAD_FILTER", "filter.matchers[0].value", |r| r.filter = bad("(")),
        served("a filter", |r| r.filter = bad("line [0-3]")),
        Row::no_message(FETCH, &good(), b"\x12\x01\xff", "cursor"),
        Row::no_message(FETCH, &good(), b"\x3a\x05\x0a\x03\x12\x01\xff", "filter.matchers.value"),
    ]
}
