//! The fields of `DeleteTopic`, `TrimTopic` and `SetRetention`.

use logrelay::{
    proto::{
        DeleteTopicRequest, Retention, SetRetentionRequest, TrimTopicRequest, trim_topic_request::Before,
    },
    record::MAX_OFFSET,
};
use prost_types::Timestamp;
use tonic::Code;

use super::{
    row::Row,
    start::{FIRST_SECOND, LAST_SECOND},
};

const DELETE: &str = "DeleteTopic";
const TRIM: &str = "TrimTopic";
const SET: &str = "SetRetention";

/// All rows; `cursor` is the one of the tail of `app`, which has ten lines and an active source.
pub(super) fn rows(cursor: &str) -> Vec<Row> {
    [deletions(), places(), cursors(cursor), times(), retentions()].concat()
}

fn deletions() -> Vec<Row> {
    let delete = |topic: &str, on_active_sources| {
        let topic = topic.to_owned();
        DeleteTopicRequest { topic, on_active_sources }
    };
    let field = "on_active_sources";
    let policy = |policy| {
        let request = delete("app", policy);
        Row::wrong(DELETE, format!("{policy}"), &request, "BAD_ON_ACTIVE_SOURCES", field).says(&[
            &format!("{policy} is"),
            "REFUSE (1)",
            "KEEP (2)",
            "FORGET (3)",
        ])
    };
    let in_use = |policy| {
        Row::served(DELETE, "in use", &delete("app", policy))
            .refused(Code::FailedPrecondition, "TOPIC_IN_USE")
    };
    vec![
        policy(4).past(field, &[]),
        policy(-1),
        in_use(0).nothing(field).says(&["1 sources of app"]),
        in_use(1),
        Row::served(DELETE, "no such topic", &delete("none", 3))
            .refused(Code::NotFound, "TOPIC_NOT_FOUND")
            .longest(field),
    ]
}

fn trim(topic: &str, before: Option<Before>) -> TrimTopicRequest {
    let topic = topic.to_owned();
    TrimTopicRequest { topic, before }
}

fn bad_trim(before: Option<Before>, reason: &'static str, field: &'static str) -> Row {
    Row::wrong(TRIM, format!("{before:.80?}"), &trim("app", before), reason, field)
}

fn trimmed(before: Option<Before>) -> Row {
    Row::served(TRIM, format!("{before:?}"), &trim("app", before))
}

fn places() -> Vec<Row> {
    let at = |offset| Some(Before::Offset(offset));
    vec![
        bad_trim(None, "BAD_BEFORE", "before").says(&["an offset, a cursor or a time"]),
        trimmed(at(0)).nothing("offset"),
        trimmed(at(11)).refused(Code::InvalidArgument, "CURSOR_AHEAD").says(&["11", "10"]),
        trimmed(at(MAX_OFFSET)).refused(Code::InvalidArgument, "CURSOR_AHEAD").longest("offset"),
        bad_trim(at(MAX_OFFSET + 1), "BAD_BEFORE", "offset")
            .past("offset", &[&(MAX_OFFSET + 1).to_string(), &format!("0 to {MAX_OFFSET}")]),
        bad_trim(at(u64::MAX), "BAD_BEFORE", "offset"),
    ]
}

fn cursors(cursor: &str) -> Vec<Row> {
    let at = |text: &str| Some(Before::Cursor(text.to_owned()));
    let bad = |text: &str| bad_trim(at(text), "BAD_CURSOR", "cursor");
    let long = "a".repeat(200);
    let longest = trim(&long, at(&format!("{long}@ffffffffffffffff:{MAX_OFFSET}")));
    vec![
        bad("").nothing("cursor").says(&["<topic>@<epoch>:<offset>"]),
        bad("42").says(&["\"42\""]),
        Row::served(TRIM, "the longest cursor", &longest)
            .refused(Code::NotFound, "TOPIC_NOT_FOUND")
            .longest("cursor"),
        bad(&format!("{long}a@00000000000000aa:1")).past("cursor", &["201", "1 to 200"]),
        bad(&"x@".repeat(1_000_000)),
        bad(&cursor.replace("app@", "web@")).says(&["not of the topic app"]),
        trimmed(at(&cursor.replace(":10", ":11")))
            .refused(Code::InvalidArgument, "CURSOR_AHEAD")
            .says(&["11", "10"]),
        trimmed(at("app@0000000000000001:5")).refused(Code::FailedPrecondition, "RESET"),
        trimmed(at("app@ffffffffffffffff:5")).refused(Code::FailedPrecondition, "RESET"),
    ]
}

fn times() -> Vec<Row> {
    let time = |seconds, nanos| Some(Before::Time(Timestamp { seconds, nanos }));
    let bad = |seconds, nanos| {
        let words = [format!("{seconds} s and {nanos} ns"), format!("{FIRST_SECOND} to {LAST_SECOND}")];
        bad_trim(time(seconds, nanos), "BAD_BEFORE", "time").says(&words.each_ref().map(String::as_str))
    };
    let none = trim("none", time(LAST_SECOND, 999_999_999));
    vec![
        trimmed(time(0, 0)).nothing("time.seconds").nothing("time.nanos"),
        trimmed(time(FIRST_SECOND, 999_999_999)),
        Row::served(TRIM, "the last time, of no topic", &none)
            .refused(Code::NotFound, "TOPIC_NOT_FOUND")
            .longest("time.seconds")
            .longest("time.nanos"),
        bad(LAST_SECOND + 1, 0).past("time.seconds", &[]),
        bad(FIRST_SECOND - 1, 0),
        bad(0, 1_000_000_000).past("time.nanos", &["999999999"]),
        bad(0, -1),
        bad(i64::MAX, 0),
    ]
}

fn retentions() -> Vec<Row> {
    let set = |max_age_ms, max_bytes| SetRetentionRequest {
        topic: "app".to_owned(),
        retention: Some(Retention { max_age_ms, max_bytes }),
    };
    let (age, bytes) = ("retention.max_age_ms", "retention.max_bytes");
    let most = format!("at most {MAX_OFFSET}");
    let wrong = |request: &SetRetentionRequest, field| {
        Row::wrong(SET, "too much", request, "BAD_RETENTION", field).says(&[&most])
    };
    let past = (MAX_OFFSET + 1).to_string();
    vec![
        wrong(&set(Some(MAX_OFFSET + 1), None), age).past(age, &[&past]),
        wrong(&set(None, Some(MAX_OFFSET + 1)), bytes).past(bytes, &[&past]),
        wrong(&set(Some(u64::MAX), None), age),
        wrong(&set(None, Some(u64::MAX)), bytes),
        Row::served(SET, "the most", &set(Some(MAX_OFFSET), Some(MAX_OFFSET))).longest(age).longest(bytes),
        Row::served(SET, "no bounds", &set(Some(0), Some(0))).nothing(age).nothing(bytes),
        Row::served(SET, "those of the relay", &set(None, None)),
        Row::served(SET, "nothing", &SetRetentionRequest { topic: "app".to_owned(), retention: None }),
    ]
}
