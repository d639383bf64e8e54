//! The fields of `CommitCursor` and `GetCursor`.

use logrelay::proto::{CommitCursorRequest, GetCursorRequest};
use tonic::Code;

use super::row::Row;

const COMMIT: &str = "CommitCursor";
const GET: &str = "GetCursor";
const TOKEN: &str = "00000000000000aa";

/// All rows; `cursor` is the one of the tail of `app`, which has ten lines.
pub(super) fn rows(cursor: &str) -> Vec<Row> {
    [commits(cursor), questions()].into_iter().flatten().collect()
}

fn commits(cursor: &str) -> Vec<Row> {
    let good = || CommitCursorRequest {
        subscription: "s".to_owned(),
        cursors: vec![cursor.to_owned()],
        ..CommitCursorRequest::default()
    };
    let name = |name: &str| {
        let request = CommitCursorRequest { subscription: name.to_owned(), ..good() };
        Row::wrong(COMMIT, format!("{name:.60?}"), &request, "BAD_SUBSCRIPTION", "subscription")
    };
    let cursors = |field, cursors: &[&str]| {
        let cursors = cursors.iter().map(|&cursor| cursor.to_owned()).collect();
        let request = CommitCursorRequest { cursors, ..good() };
        Row::wrong(COMMIT, format!("{field} of cursors"), &request, "BAD_CURSOR", field)
    };
    let token = |token: &str, seek| {
        let request = CommitCursorRequest { commit_token: token.to_owned(), seek, ..good() };
        Row::wrong(COMMIT, format!("token {token:.60?}"), &request, "BAD_COMMIT_TOKEN", "commit_token")
    };
    let refused = |code, reason, request: CommitCursorRequest| {
        Row::served(COMMIT, reason, &request).refused(code, reason)
    };
    let many = (0..101).map(|number| format!("t{number}@00000000000000aa:1")).collect();
    let ahead = cursor.replace(":10", ":11");
    let (elsewhere, epoch) = (cursor.replace("app@", "none@"), "app@0000000000000001:5".to_owned());
    vec![
        name(""),
        name("a/b"),
        name("ä"),
        name(&"a".repeat(201)),
        name(&"😀".repeat(200)),
        name(&"x/".repeat(1_000_000)),
        cursors("cursors", &[]),
        cursors("cursors[0]", &[""]),
        cursors("cursors[0]", &["app"]),
        cursors("cursors[0]", &["app@12:5"]),
        cursors("cursors[0]", &["app@00000000000000aa:-1"]),
        cursors("cursors[0]", &["app@00000000000000aa:18446744073709551615"]),
        cursors("cursors[1]", &[cursor, "a/b@00000000000000aa:1"]),
        cursors("cursors[1]", &[cursor, cursor]),
        cursors("cursors[0]", &["\u{e000}".repeat(200).as_str(); 90]),
        cursors("cursors[0]", &[&"x@".repeat(1_000_000)]),
        token("secret", false),
        token("00000000000000AA", false),
        token(&"0".repeat(1_000_000), false),
        token(TOKEN, true),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", CommitCursorRequest { cursors: many, ..good() }),
        refused(
            Code::InvalidArgument,
            "CURSOR_AHEAD",
            CommitCursorRequest { cursors: vec![ahead], ..good() },
        ),
        refused(
            Code::NotFound,
            "TOPIC_NOT_FOUND",
            CommitCursorRequest { cursors: vec![elsewhere], ..good() },
        ),
        Row::served(COMMIT, "a lost timeline", &CommitCursorRequest { cursors: vec![epoch], ..good() }),
        Row::served(COMMIT, "what is right", &good()),
        refused(
            Code::FailedPrecondition,
            "SUBSCRIPTION_TAKEN",
            CommitCursorRequest { commit_token: TOKEN.to_owned(), ..good() },
        ),
        Row::served(COMMIT, "a seek", &CommitCursorRequest { seek: true, ..good() }),
        Row::no_message(COMMIT, &good(), b"\x0a\x01\xff", "subscription"),
    ]
}

fn questions() -> Vec<Row> {
    let get = |name: &str, topics: &[&str]| GetCursorRequest {
        subscription: name.to_owned(),
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
    };
    let topics = |field, topics: &[&str]| {
        Row::wrong(GET, format!("{field} of topics"), &get("s", topics), "BAD_TOPIC", field)
    };
    let many: Vec<_> = (0..101).map(|number| format!("t{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    vec![
        Row::wrong(GET, "no name", &get("", &["app"]), "BAD_SUBSCRIPTION", "subscription"),
        Row::wrong(GET, "a wrong name", &get("a b", &["app"]), "BAD_SUBSCRIPTION", "subscription"),
        topics("topics", &[]),
        topics("topics[0]", &[""]),
        topics("topics[1]", &["app", "web.*"]),
        topics("topics[1]", &["app", "app"]),
        topics("topics[0]", &[&"a".repeat(201)]),
        Row::served(GET, "too many", &get("s", &many)).refused(Code::ResourceExhausted, "TOO_MANY_TOPICS"),
        Row::served(GET, "what is not there", &get("nobody", &["app", "none"])),
        Row::no_message(GET, &get("s", &["app"]), b"\x12\x01\xff", "topics"),
    ]
}
