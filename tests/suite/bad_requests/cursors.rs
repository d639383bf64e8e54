//! The fields of `CommitCursor` and `GetCursor`.

use logrelay::{
    proto::{CommitCursorRequest, GetCursorRequest},
    record::MAX_OFFSET,
};
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
            .says(&["1 to 200 characters"])
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
    let many = |count: u64| (0..count).map(|number| format!("t{number}@00000000000000aa:1")).collect();
    let (most, many) = (many(100), many(101));
    let longest = format!("{}@ffffffffffffffff:{MAX_OFFSET}", "a".repeat(200));
    let ahead = cursor.replace(":10", ":11");
    let (elsewhere, epoch) = (cursor.replace("app@", "none@"), "app@0000000000000001:5".to_owned());
    vec![
        name("").nothing("subscription"),
        name("a/b").says(&["\"a/b\""]),
        name("ä"),
        name(&"a".repeat(201)).past("subscription", &[]),
        name(&"😀".repeat(200)),
        name(&"x/".repeat(1_000_000)),
        cursors("cursors", &[]).nothing("cursors").says(&["at least one"]),
        cursors("cursors[0]", &[""]).nothing("cursors[]").says(&["<topic>@<epoch>:<offset>"]),
        cursors("cursors[0]", &[&format!("{}@00000000000000aa:1", "a".repeat(201))])
            .past("cursors[]", &["201", "1 to 200"]),
        cursors("cursors[0]", &["app"]),
        cursors("cursors[0]", &["app@12:5"]),
        cursors("cursors[0]", &["app@00000000000000aa:-1"]),
        cursors("cursors[0]", &["app@00000000000000aa:18446744073709551615"]),
        cursors("cursors[1]", &[cursor, "a/b@00000000000000aa:1"]),
        cursors("cursors[1]", &[cursor, cursor]).says(&["app is there twice"]),
        cursors("cursors[0]", &["\u{e000}".repeat(200).as_str(); 90]),
        cursors("cursors[0]", &[&"x@".repeat(1_000_000)]),
        token("secret", false).says(&["16 hex digits"]),
        token("00000000000000AA", false).says(&["16 hex digits"]),
        token("00000000000000aa0", false).past("commit_token", &["16 hex digits"]),
        token(&"0".repeat(1_000_000), false),
        token(TOKEN, true).says(&["leave it empty"]),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", CommitCursorRequest { cursors: many, ..good() })
            .past("cursors", &["101", "max_topics is 100"]),
        refused(Code::NotFound, "TOPIC_NOT_FOUND", CommitCursorRequest { cursors: most, ..good() })
            .longest("cursors"),
        refused(Code::NotFound, "TOPIC_NOT_FOUND", CommitCursorRequest { cursors: vec![longest], ..good() })
            .longest("cursors[]"),
        refused(
            Code::InvalidArgument,
            "CURSOR_AHEAD",
            CommitCursorRequest { cursors: vec![ahead], ..good() },
        )
        .says(&[":11", ":10"]),
        refused(
            Code::InvalidArgument,
            "CURSOR_AHEAD",
            CommitCursorRequest { cursors: vec!["app@ffffffffffffffff:3".to_owned()], ..good() },
        ),
        refused(
            Code::NotFound,
            "TOPIC_NOT_FOUND",
            CommitCursorRequest { cursors: vec![elsewhere], ..good() },
        ),
        Row::served(COMMIT, "a lost timeline", &CommitCursorRequest { cursors: vec![epoch], ..good() }),
        Row::served(COMMIT, "what is right", &good()).nothing("commit_token"),
        Row::served(
            COMMIT,
            "the longest name",
            &CommitCursorRequest { subscription: "s".repeat(200), ..good() },
        )
        .longest("subscription"),
        refused(
            Code::FailedPrecondition,
            "SUBSCRIPTION_TAKEN",
            CommitCursorRequest { commit_token: TOKEN.to_owned(), ..good() },
        )
        .longest("commit_token"),
        Row::served(COMMIT, "a seek", &CommitCursorRequest { seek: true, ..good() }),
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
    let name = |name: &str| {
        Row::wrong(GET, format!("{name:.60?}"), &get(name, &["app"]), "BAD_SUBSCRIPTION", "subscription")
            .says(&["1 to 200 characters"])
    };
    let many: Vec<_> = (0..101).map(|number| format!("t{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    vec![
        name("").nothing("subscription"),
        name("a b").says(&["\"a b\""]),
        name(&"a".repeat(201)).past("subscription", &[]),
        Row::served(GET, "the longest name", &get(&"s".repeat(200), &["app"])).longest("subscription"),
        topics("topics", &[]).nothing("topics").says(&["at least one"]),
        topics("topics[0]", &[""]).nothing("topics[]").says(&["empty", "1 to 200"]),
        topics("topics[1]", &["app", "web.*"]).says(&["\"web.*\"", "'*'"]),
        topics("topics[1]", &["app", "app"]).says(&["app is there twice"]),
        topics("topics[0]", &[&"a".repeat(201)]).past("topics[]", &["201", "1 to 200"]),
        Row::served(GET, "the longest topic", &get("s", &[&"a".repeat(200)])).longest("topics[]"),
        Row::served(GET, "as many as may be", &get("s", &many[..100])).longest("topics"),
        Row::served(GET, "too many", &get("s", &many))
            .refused(Code::ResourceExhausted, "TOO_MANY_TOPICS")
            .past("topics", &["101", "max_topics is 100"]),
        Row::served(GET, "what is not there", &get("nobody", &["app", "none"])),
    ]
}
