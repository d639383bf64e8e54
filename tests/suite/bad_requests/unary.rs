//! The fields of the requests with one answer.

use logrelay::proto::{GetTopicRequest, ListTopicsRequest};
use tonic::Code;

use super::row::Row;

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let get = |topic: &str, max_sources| GetTopicRequest { topic: topic.to_owned(), max_sources };
    let bad = |topic: &str| {
        Row::wrong("GetTopic", format!("topic {topic:.60?}"), &get(topic, 0), "BAD_TOPIC", "topic")
    };
    vec![
        Row::served("GetTopic", "the most sources", &get("app", 10_000)),
        Row::wrong("GetTopic", "one source more", &get("app", 10_001), "BAD_LIMIT", "max_sources"),
        bad(""),
        bad("a/b"),
        bad("a*"),
        bad(&"a".repeat(201)),
        bad(&"x/".repeat(1_000_000)),
        Row::served("GetTopic", "the longest name", &get(&"a".repeat(200), 0))
            .refused(Code::NotFound, "TOPIC_NOT_FOUND"),
        Row::no_message("GetTopic", &get("app", 0), b"\x0a\x01\xff", "topic"),
        Row::no_message("GetTopic", &get("app", 0), b"\x12\x00", "max_sources"),
        Row::no_message("ListTopics", &ListTopicsRequest {}, b"\x07", "request"),
    ]
}
