//! The field `topic` of every request that has one, and the others of `GetTopic`.

use logrelay::proto::{
    DeleteTopicRequest, FetchRequest, GetTopicRequest, PublishRequest, SetRetentionRequest, TrimTopicRequest,
    trim_topic_request::Before,
};
use prost::Message;
use tonic::Code;

use super::row::Row;

const GET: &str = "GetTopic";

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    let publish = |topic| PublishRequest { topic, producer: "job".into(), instance: 1, ..Default::default() };
    let longest = Row::served("Publish", "the longest topic", &publish("t".repeat(200))).longest("topic");
    [
        of(GET, |topic| GetTopicRequest { topic, max_sources: 0 }),
        of("Fetch", |topic| FetchRequest { topic, ..FetchRequest::default() }),
        of("DeleteTopic", |topic| DeleteTopicRequest { topic, ..DeleteTopicRequest::default() }),
        of("TrimTopic", |topic| TrimTopicRequest { topic, before: Some(Before::Offset(0)) }),
        of("SetRetention", |topic| SetRetentionRequest { topic, ..SetRetentionRequest::default() }),
        wrong("Publish", publish),
        vec![longest],
        sources(),
    ]
    .concat()
}

/// Those of a call that needs its topic.
fn of<R: Message>(rpc: &'static str, request: impl Fn(String) -> R) -> Vec<Row> {
    let longest = Row::served(rpc, "the longest topic", &request("a".repeat(200)));
    let longest = longest.refused(Code::NotFound, "TOPIC_NOT_FOUND").longest("topic");
    [wrong(rpc, request), vec![longest]].concat()
}

fn wrong<R: Message>(rpc: &'static str, request: impl Fn(String) -> R) -> Vec<Row> {
    let bad = |topic: &str| {
        Row::wrong(rpc, format!("topic {topic:.60?}"), &request(topic.to_owned()), "BAD_TOPIC", "topic")
    };
    vec![
        bad("").nothing("topic").says(&["empty", "1 to 200"]),
        bad("a/b").says(&["\"a/b\"", "'/'", "A-Z, a-z, 0-9"]),
        bad("a*").says(&["'*'"]),
        bad("ä").says(&["'ä'"]),
        bad(&"a".repeat(201)).past("topic", &["201", "1 to 200"]),
        bad(&"x/".repeat(20_000)),
    ]
}

fn sources() -> Vec<Row> {
    let get = |max_sources| GetTopicRequest { topic: "app".to_owned(), max_sources };
    vec![
        Row::served(GET, "no bound of sources", &get(0)).nothing("max_sources"),
        Row::served(GET, "the most sources", &get(10_000)).longest("max_sources"),
        Row::wrong(GET, "one source more", &get(10_001), "BAD_LIMIT", "max_sources")
            .past("max_sources", &["10001", "at most 10000"]),
        Row::wrong(GET, "a great many sources", &get(u32::MAX), "BAD_LIMIT", "max_sources"),
    ]
}
