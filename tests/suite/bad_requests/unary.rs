//! The fields of the requests with one answer.

use logrelay::{
    proto::{
        CommitCursorRequest, DeleteTopicRequest, FetchRequest, GetCursorRequest, GetTopicRequest,
        ListTopicsRequest, Retention, SetRetentionRequest, Start, TrimTopicRequest, start::Position,
        trim_topic_request::Before,
    },
    record::MAX_OFFSET,
};
use prost::Message;
use tonic::Code;

use super::row::Row;

const FAR_CURSOR: &str = "app@ffffffffffffffff:3";

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let retention = |topic| SetRetentionRequest { topic, ..SetRetentionRequest::default() };
    [
        topic_of("GetTopic", |topic| GetTopicRequest { topic, max_sources: 0 }),
        topic_of("Fetch", |topic| FetchRequest { topic, ..FetchRequest::default() }),
        topic_of("DeleteTopic", |topic| DeleteTopicRequest { topic, ..DeleteTopicRequest::default() }),
        topic_of("TrimTopic", |topic| TrimTopicRequest { topic, before: Some(Before::Offset(0)) }),
        topic_of("SetRetention", retention),
        others(),
        fetches(),
        cursors(),
        trims(),
    ]
    .concat()
}

/// The field `topic`, which is the first of each of these requests.
fn topic_of<R: Message>(rpc: &'static str, request: impl Fn(String) -> R) -> Vec<Row> {
    let bad = |topic: &str| {
        Row::wrong(rpc, format!("topic {topic:.60?}"), &request(topic.to_owned()), "BAD_TOPIC", "topic")
    };
    let longest = request("a".repeat(200));
    vec![
        bad(""),
        bad("a/b"),
        bad("a*"),
        bad(&"a".repeat(201)),
        bad(&"x/".repeat(1_000_000)),
        Row::served(rpc, "the longest name", &longest).refused(Code::NotFound, "TOPIC_NOT_FOUND"),
        Row::no_message(rpc, &request("app".to_owned()), b"\x0a\x01\xff", "topic"),
        Row::no_message(rpc, &request("app".to_owned()), b"\x08\x01", "topic"),
        Row::no_message(rpc, &request("app".to_owned()), b"\xff", "request"),
    ]
}

fn others() -> Vec<Row> {
    let topic = || "app".to_owned();
    let get = |max_sources| GetTopicRequest { topic: topic(), max_sources };
    let retention = |max_age_ms, max_bytes| SetRetentionRequest {
        topic: topic(),
        retention: Some(Retention { max_age_ms, max_bytes }),
    };
    let delete = DeleteTopicRequest { topic: topic(), on_active_sources: 4 };
    let (age, bytes) = ("retention.max_age_ms", "retention.max_bytes");
    vec![
        Row::served("GetTopic", "the most sources", &get(10_000)),
        Row::wrong("GetTopic", "one source more", &get(10_001), "BAD_LIMIT", "max_sources"),
        Row::no_message("GetTopic", &get(0), b"\x12\x00", "max_sources"),
        Row::no_message("ListTopics", &ListTopicsRequest {}, b"\x07", "request"),
        Row::wrong("DeleteTopic", "none of them", &delete, "BAD_ON_ACTIVE_SOURCES", "on_active_sources"),
        Row::served("SetRetention", "the most", &retention(Some(MAX_OFFSET), Some(MAX_OFFSET))),
        Row::wrong("SetRetention", "too old", &retention(Some(u64::MAX), None), "BAD_RETENTION", age),
        Row::wrong("SetRetention", "too much", &retention(None, Some(u64::MAX)), "BAD_RETENTION", bytes),
        Row::no_message("SetRetention", &retention(None, None), b"\x12\x02\x0a\x00", "retention.max_age_ms"),
    ]
}

fn fetches() -> Vec<Row> {
    let good = FetchRequest { topic: "app".to_owned(), ..FetchRequest::default() };
    let wrong = |reason, field, what: &str, change: fn(&mut FetchRequest)| {
        let mut request = good.clone();
        change(&mut request);
        Row::wrong("Fetch", what, &request, reason, field)
    };
    let ahead = FetchRequest { cursor: FAR_CURSOR.to_owned(), ..good.clone() };
    vec![
        Row::served("Fetch", "what is right", &good),
        wrong("BAD_DIRECTION", "direction", "none of them", |r| r.direction = 3),
        wrong("BAD_LIMIT", "max_lines", "a great many lines", |r| r.max_lines = u32::MAX),
        wrong("BAD_LIMIT", "max_bytes", "a great many bytes", |r| r.max_bytes = u32::MAX),
        wrong("BAD_CURSOR", "cursor", "no cursor", |r| r.cursor = "42".into()),
        wrong("BAD_CURSOR", "cursor", "of another topic", |r| r.cursor = "web@018f0000000abcde:0".into()),
        wrong("BAD_START", "start.latest", "a start that is none", |r| {
            r.start = Some(Start { position: Some(Position::Latest(false)) });
        }),
        Row::served("Fetch", "a cursor of the future", &ahead).refused(Code::InvalidArgument, "CURSOR_AHEAD"),
        Row::no_message("Fetch", &good, b"\x12\x01\xff", "cursor"),
        Row::no_message("Fetch", &good, b"\x3a\x03\x12\x01\xff", "filter.hosts"),
    ]
}

fn cursors() -> Vec<Row> {
    let commit = |subscription: &str, cursor: &str, commit_token: &str| CommitCursorRequest {
        subscription: subscription.to_owned(),
        cursors: vec![cursor.to_owned()],
        commit_token: commit_token.to_owned(),
        seek: false,
    };
    let get = |subscription: &str, topic: &str| GetCursorRequest {
        subscription: subscription.to_owned(),
        topics: vec![topic.to_owned()],
    };
    let bad = |reason, field, request: &CommitCursorRequest| {
        Row::wrong("CommitCursor", format!("{request:.200?}"), request, reason, field)
    };
    let ahead = Row::served("CommitCursor", "the future", &commit("s", FAR_CURSOR, ""));
    vec![
        bad("BAD_SUBSCRIPTION", "subscription", &commit("", FAR_CURSOR, "")),
        bad("BAD_SUBSCRIPTION", "subscription", &commit("a b", FAR_CURSOR, "")),
        bad("BAD_SUBSCRIPTION", "subscription", &commit(&"s".repeat(1000), FAR_CURSOR, "")),
        bad("BAD_CURSOR", "cursors[0]", &commit("s", "42", "")),
        bad("BAD_COMMIT_TOKEN", "commit_token", &commit("s", FAR_CURSOR, "forged")),
        ahead.refused(Code::InvalidArgument, "CURSOR_AHEAD"),
        Row::no_message("CommitCursor", &commit("s", FAR_CURSOR, ""), b"\x0a\x01\xff", "subscription"),
        Row::no_message("CommitCursor", &commit("s", FAR_CURSOR, ""), b"\x12\x01\xff", "cursors"),
        Row::wrong("GetCursor", "no subscription", &get("", "app"), "BAD_SUBSCRIPTION", "subscription"),
        Row::wrong("GetCursor", "no topic", &get("s", "a*"), "BAD_TOPIC", "topics[0]"),
        Row::served("GetCursor", "what is right", &get("s", "app")),
        Row::no_message("GetCursor", &get("s", "app"), b"\x12\x01\xff", "topics"),
    ]
}

fn trims() -> Vec<Row> {
    let trim = |before| TrimTopicRequest { topic: "app".to_owned(), before };
    let bad =
        |reason, field, before| Row::wrong("TrimTopic", format!("{before:?}"), &trim(before), reason, field);
    let time = |seconds| Some(Before::Time(prost_types::Timestamp { seconds, nanos: 0 }));
    vec![
        Row::served("TrimTopic", "nothing", &trim(Some(Before::Offset(0)))),
        bad("BAD_BEFORE", "before", None),
        bad("BAD_BEFORE", "offset", Some(Before::Offset(u64::MAX))),
        bad("BAD_CURSOR", "cursor", Some(Before::Cursor("42".to_owned()))),
        bad("BAD_CURSOR", "cursor", Some(Before::Cursor("web@018f0000000abcde:0".to_owned()))),
        bad("BAD_BEFORE", "time", time(i64::MAX)),
        Row::no_message("TrimTopic", &trim(Some(Before::Offset(0))), b"\x1a\x01\xff", "before"),
    ]
}
