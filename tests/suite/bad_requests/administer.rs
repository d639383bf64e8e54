//! The fields of `DeleteTopic`, `TrimTopic` and `SetRetention`.

use logrelay::{
    proto::{
        DeleteTopicRequest, Retention, SetRetentionRequest, TrimTopicRequest, trim_topic_request::Before,
    },
    record::MAX_OFFSET,
};
use prost_types::Timestamp;
use tonic::Code;

use super::row::Row;

const DELETE: &str = "DeleteTopic";
const TRIM: &str = "TrimTopic";
const SET: &str = "SetRetention";

/// All rows; `cursor` is the one of the tail of `app`, which has ten lines and an active source.
pub(super) fn rows(cursor: &str) -> Vec<Row> {
    [deletions(), trims(cursor), retentions()].into_iter().flatten().collect()
}

fn deletions() -> Vec<Row> {
    let delete = |topic: &str, on_active_sources| {
        let topic = topic.to_owned();
        DeleteTopicRequest { topic, on_active_sources }
    };
    let bad = |topic: &str| Row::wrong(DELETE, "a bad topic", &delete(topic, 0), "BAD_TOPIC", "topic");
    let policy = |policy| {
        let request = delete("app", policy);
        Row::wrong(DELETE, format!("{policy}"), &request, "BAD_ON_ACTIVE_SOURCES", "on_active_sources")
    };
    vec![
        bad(""),
        bad("a*"),
        bad(&"x/".repeat(1_000_000)),
        policy(4),
        policy(-1),
        Row::served(DELETE, "no such topic", &delete("none", 3)).refused(Code::NotFound, "TOPIC_NOT_FOUND"),
        Row::served(DELETE, "in use", &delete("app", 0)).refused(Code::FailedPrecondition, "TOPIC_IN_USE"),
        Row::served(DELETE, "in use", &delete("app", 1)).refused(Code::FailedPrecondition, "TOPIC_IN_USE"),
        Row::no_message(DELETE, &delete("app", 1), b"\x0a\x01\xff", "topic"),
    ]
}

fn trims(cursor: &str) -> Vec<Row> {
    let trim = |topic: &str, before| {
        let topic = topic.to_owned();
        TrimTopicRequest { topic, before }
    };
    let wrong = |before, reason, field| {
        Row::wrong(TRIM, format!("{before:.80?}"), &trim("app", before), reason, field)
    };
    let refused = |before, code, reason| {
        Row::served(TRIM, format!("{before:?}"), &trim("app", before)).refused(code, reason)
    };
    let at = |text: String| Some(Before::Cursor(text));
    let time = |seconds, nanos| Some(Before::Time(Timestamp { seconds, nanos }));
    vec![
        Row::wrong(TRIM, "a bad topic", &trim("a/b", Some(Before::Offset(0))), "BAD_TOPIC", "topic"),
        Row::served(TRIM, "no such topic", &trim("none", Some(Before::Offset(0))))
            .refused(Code::NotFound, "TOPIC_NOT_FOUND"),
        wrong(None, "BAD_BEFORE", "before"),
        wrong(Some(Before::Offset(MAX_OFFSET + 1)), "BAD_BEFORE", "offset"),
        wrong(at(String::new()), "BAD_CURSOR", "cursor"),
        wrong(at("x@".repeat(1_000_000)), "BAD_CURSOR", "cursor"),
        wrong(at(cursor.replace("app@", "web@")), "BAD_CURSOR", "cursor"),
        wrong(time(0, 1_000_000_000), "BAD_BEFORE", "time"),
        wrong(time(i64::MAX, 0), "BAD_BEFORE", "time"),
        refused(Some(Before::Offset(11)), Code::InvalidArgument, "CURSOR_AHEAD"),
        refused(Some(Before::Offset(MAX_OFFSET)), Code::InvalidArgument, "CURSOR_AHEAD"),
        refused(at(cursor.replace(":10", ":11")), Code::InvalidArgument, "CURSOR_AHEAD"),
        refused(at("app@0000000000000001:5".to_owned()), Code::FailedPrecondition, "RESET"),
        Row::served(TRIM, "nothing", &trim("app", Some(Before::Offset(0)))),
        Row::served(TRIM, "long ago", &trim("app", time(-5, 0))),
        Row::no_message(TRIM, &trim("app", None), b"\x1a\x01\xff", "before"),
    ]
}

fn retentions() -> Vec<Row> {
    let set = |topic: &str, max_age_ms, max_bytes| SetRetentionRequest {
        topic: topic.to_owned(),
        retention: Some(Retention { max_age_ms, max_bytes }),
    };
    let (age, bytes) = (set("app", Some(u64::MAX), None), set("app", None, Some(MAX_OFFSET + 1)));
    vec![
        Row::wrong(SET, "a bad topic", &set("", None, None), "BAD_TOPIC", "topic"),
        Row::wrong(SET, "an age", &age, "BAD_RETENTION", "retention.max_age_ms"),
        Row::wrong(SET, "a size", &bytes, "BAD_RETENTION", "retention.max_bytes"),
        Row::served(SET, "no such topic", &set("none", None, None))
            .refused(Code::NotFound, "TOPIC_NOT_FOUND"),
        Row::served(SET, "the most", &set("app", Some(MAX_OFFSET), Some(MAX_OFFSET))),
        Row::served(SET, "no bounds", &set("app", Some(0), Some(0))),
        Row::served(SET, "nothing", &SetRetentionRequest { topic: "app".to_owned(), retention: None }),
        Row::no_message(SET, &set("app", None, None), b"\x12\x02\x08", "retention"),
    ]
}
