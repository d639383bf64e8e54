//! Cursors of a topic that was deleted: each call says what has become of their lines.

use logrelay::proto::{
    CommitCursorRequest, DeleteTopicRequest, FetchRequest, GetCursorRequest, GetTopicRequest,
    OnActiveSources, SubscribeRequest, TrimTopicRequest, trim_topic_request::Before,
};
use tonic::Code;

use super::row::Row;
use crate::support::{
    TestRedis,
    relay::{TestRelay, from_cursor},
    writer::Writer,
};

/// Makes a topic with ten lines and deletes it; the cursor that was at its tail.
pub(super) async fn prepare(redis: &TestRedis, relay: &TestRelay) -> String {
    Writer::new(redis, "gone").await.append_numbered(2, 5).await;
    let mut lines = relay.subscribe(crate::support::relay::topic("gone")).await;
    let cursor = lines.opened().await.topics.remove(0).cursor;
    let on_active_sources = OnActiveSources::Forget.into();
    let delete = DeleteTopicRequest { topic: "gone".to_owned(), on_active_sources };
    relay.client().await.delete_topic(delete).await.unwrap();
    cursor
}

/// All rows; `cursor` is the one of the tail when the topic was deleted.
pub(super) fn rows(cursor: &str) -> Vec<Row> {
    let at = |offset: u64| cursor.replace(":10", &format!(":{offset}"));
    let subscribe =
        |offset, on_gap| SubscribeRequest { stop_at_tail: true, on_gap, ..from_cursor(&at(offset)) };
    let fetch = |offset| FetchRequest { topic: "gone".to_owned(), cursor: at(offset), ..Default::default() };
    let commit = |offset| CommitCursorRequest {
        subscription: "s".to_owned(),
        cursors: vec![at(offset)],
        ..Default::default()
    };
    let trim = TrimTopicRequest { topic: "gone".to_owned(), before: Some(Before::Cursor(at(3))) };
    let held = GetCursorRequest { subscription: "s".to_owned(), topics: vec!["gone".to_owned()] };
    let described = GetTopicRequest { topic: "gone".to_owned(), max_sources: 0 };
    vec![
        Row::served("Subscribe", "deleted lines, reported", &subscribe(3, 1)),
        Row::served("Subscribe", "deleted lines, to fail", &subscribe(3, 2))
            .refused(Code::OutOfRange, "CURSOR_TRIMMED"),
        Row::served("Subscribe", "the tail of what was deleted", &subscribe(10, 2)),
        Row::served("Subscribe", "beyond what was deleted, reported", &subscribe(11, 1)),
        Row::served("Subscribe", "beyond what was deleted, to fail", &subscribe(11, 2))
            .refused(Code::FailedPrecondition, "REWOUND"),
        Row::served("Fetch", "deleted lines", &fetch(3)).refused(Code::OutOfRange, "CURSOR_TRIMMED"),
        Row::served("Fetch", "the tail of what was deleted", &fetch(10)),
        Row::served("CommitCursor", "deleted lines", &commit(3)),
        Row::served("CommitCursor", "beyond what was deleted", &commit(11)),
        Row::served("GetCursor", "of a deleted topic", &held),
        Row::served("TrimTopic", "deleted lines", &trim),
        Row::served("GetTopic", "a deleted topic", &described),
    ]
}
