//! The fields of a `FetchRequest`.

use logrelay::{
    proto::{FetchRequest, Start, start::Position},
    record::MAX_OFFSET,
};
use tonic::Code;

use super::{filter, row::Row, start, subscribe::MAX_BATCH_BYTES};

const FETCH: &str = "Fetch";

pub(super) fn good() -> FetchRequest {
    FetchRequest { topic: "app".to_owned(), ..FetchRequest::default() }
}

fn served(what: &str, change: impl FnOnce(&mut FetchRequest)) -> Row {
    let mut request = good();
    change(&mut request);
    Row::served(FETCH, what, &request)
}

fn wrong(
    reason: &'static str,
    field: &'static str,
    what: &str,
    change: impl FnOnce(&mut FetchRequest),
) -> Row {
    let mut request = good();
    change(&mut request);
    Row::wrong(FETCH, what, &request, reason, field)
}

/// All rows; `cursor` is the one of the tail of `app`, which has ten lines.
pub(super) fn rows(cursor: &str) -> Vec<Row> {
    let with_start = |what: &str, start| served(what, |r| r.start = start);
    let wrong_start = |field, what: &str, start| wrong("BAD_START", field, what, |r| r.start = start);
    let with_filter = |what: &str, filter| served(what, |r| r.filter = Some(filter));
    let wrong_filter =
        |field, what: &str, filter| wrong("BAD_FILTER", field, what, |r| r.filter = Some(filter));
    let starts = start::rows(&with_start, &wrong_start);
    let filters = filter::rows(&with_filter, &wrong_filter);
    [cursors(cursor), starts, filters, limits()].concat()
}

fn cursors(cursor: &str) -> Vec<Row> {
    let bad = |text: &str| wrong("BAD_CURSOR", "cursor", &format!("{text:.60?}"), |r| r.cursor = text.into());
    let long = "a".repeat(200);
    vec![
        served("no cursor", |r| r.cursor = String::new()).nothing("cursor"),
        bad("app").says(&["\"app\"", "<topic>@<epoch>:<offset>"]),
        bad("app@00000000000000aa:01").says(&["\"01\"", "whole number"]),
        bad(&format!("app@00000000000000aa:{}", u64::MAX)).says(&[&format!("0 to {MAX_OFFSET}")]),
        bad(&format!("{long}a@00000000000000aa:1")).past("cursor", &["201", "1 to 200"]),
        bad(&cursor.replace("app@", "web@")).says(&["not of the topic app"]),
        bad(&"@".repeat(1_000_000)),
        served("the longest cursor", |r| {
            (r.cursor, r.topic) = (format!("{long}@ffffffffffffffff:{MAX_OFFSET}"), long.clone());
        })
        .refused(Code::NotFound, "TOPIC_NOT_FOUND")
        .longest("cursor"),
        served("a cursor of a lost timeline", |r| r.cursor = "app@0000000000000001:5".into()),
        served("a cursor ahead", |r| r.cursor = cursor.replace(":10", ":11"))
            .refused(Code::InvalidArgument, "CURSOR_AHEAD")
            .says(&[":11", ":10"]),
        served("an epoch of the future", |r| r.cursor = "app@ffffffffffffffff:3".into())
            .refused(Code::InvalidArgument, "CURSOR_AHEAD"),
        wrong("BAD_START", "start", "a cursor and a start", |r| {
            let start = Start { position: Some(Position::Earliest(true)) };
            (r.cursor, r.start) = (cursor.to_owned(), Some(start));
        })
        .says(&["leave one of them out"]),
    ]
}

fn limits() -> Vec<Row> {
    let directions = "none of DIRECTION_FORWARDS (1) and DIRECTION_BACKWARDS (2)";
    let direction = |direction| move |r: &mut FetchRequest| r.direction = direction;
    let lines = |lines| move |r: &mut FetchRequest| r.max_lines = lines;
    let bytes = |bytes| move |r: &mut FetchRequest| r.max_bytes = bytes;
    vec![
        served("no direction", direction(0)).nothing("direction"),
        served("backwards", direction(2)).longest("direction"),
        wrong("BAD_DIRECTION", "direction", "none of them", direction(3))
            .past("direction", &["3 is", directions]),
        wrong("BAD_DIRECTION", "direction", "a negative one", direction(-1)).says(&["-1 is", directions]),
        served("no bounds", |r| (r.max_lines, r.max_bytes) = (0, 0))
            .nothing("max_lines")
            .nothing("max_bytes"),
        served("the least", |r| (r.max_lines, r.max_bytes) = (1, 1)),
        served("the most lines", lines(8192)).longest("max_lines"),
        wrong("BAD_LIMIT", "max_lines", "one line more", lines(8193))
            .past("max_lines", &["8193", "at most 8192"]),
        wrong("BAD_LIMIT", "max_lines", "a great many lines", lines(u32::MAX)),
        served("the most bytes", bytes(MAX_BATCH_BYTES)).longest("max_bytes"),
        wrong("BAD_LIMIT", "max_bytes", "one byte more", bytes(MAX_BATCH_BYTES + 1))
            .past("max_bytes", &["4128769", "at most 4128768"]),
        wrong("BAD_LIMIT", "max_bytes", "a great many bytes", bytes(u32::MAX)),
    ]
}
