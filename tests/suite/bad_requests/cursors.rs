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
    [names(cursor), texts(cursor), places(cursor), tokens(cursor), questions()].concat()
}

fn good(cursor: &str) -> CommitCursorRequest {
    let (subscription, cursors) = ("s".to_owned(), vec![cursor.to_owned()]);
    CommitCursorRequest { subscription, cursors, ..CommitCursorRequest::default() }
}

fn names(cursor: &str) -> Vec<Row> {
    let of = |name: &str| CommitCursorRequest { subscription: name.to_owned(), ..good(cursor) };
    let bad = |name: &str| {
        Row::wrong(COMMIT, format!("{name:.60?}"), &of(name), "BAD_SUBSCRIPTION", "subscription")
            .says(&["1 to 200 characters"])
    };
    vec![
        bad("").nothing("subscription"),
        bad("a/b").says(&["\"a/b\""]),
        bad("ä"),
        bad(&"a".repeat(201)).past("subscription", &[]),
        bad(&"😀".repeat(200)),
        bad(&"x/".repeat(1_000_000)),
        Row::served(COMMIT, "the longest name", &of(&"s".repeat(200))).longest("subscription"),
    ]
}

/// Texts that are no cursors.
fn texts(cursor: &str) -> Vec<Row> {
    let bad = |field, cursors: &[&str]| {
        let cursors = cursors.iter().map(|&cursor| cursor.to_owned()).collect();
        let request = CommitCursorRequest { cursors, ..good(cursor) };
        Row::wrong(COMMIT, format!("{field} of cursors"), &request, "BAD_CURSOR", field)
    };
    vec![
        bad("cursors", &[]).nothing("cursors").says(&["at least one"]),
        bad("cursors[0]", &[""]).nothing("cursors[]").says(&["<topic>@<epoch>:<offset>"]),
        bad("cursors[0]", &[&format!("{}@00000000000000aa:1", "a".repeat(201))])
            .past("cursors[]", &["201", "1 to 200"]),
        bad("cursors[0]", &["app"]),
        bad("cursors[0]", &["app@12:5"]),
        bad("cursors[0]", &["app@00000000000000aa:-1"]),
        bad("cursors[0]", &["app@00000000000000aa:18446744073709551615"]),
        bad("cursors[1]", &[cursor, "a/b@00000000000000aa:1"]),
        bad("cursors[1]", &[cursor, cursor]).says(&["app is there twice"]),
        bad("cursors[0]", &["\u{e000}".repeat(200).as_str(); 90]),
        bad("cursors[0]", &[&"x@".repeat(1_000_000)]),
    ]
}

/// Cursors of lines that there are, or are not.
fn places(cursor: &str) -> Vec<Row> {
    let of = |cursors: Vec<String>| CommitCursorRequest { cursors, ..good(cursor) };
    let refused = |code, reason, cursors| Row::served(COMMIT, reason, &of(cursors)).refused(code, reason);
    let absent = |cursors| refused(Code::NotFound, "TOPIC_NOT_FOUND", cursors);
    let ahead = |cursor: String| refused(Code::InvalidArgument, "CURSOR_AHEAD", vec![cursor]);
    let many = |count: u64| (0..count).map(|number| format!("t{number}@00000000000000aa:1")).collect();
    vec![
        absent(vec![cursor.replace("app@", "none@")]),
        absent(vec![format!("{}@ffffffffffffffff:{MAX_OFFSET}", "a".repeat(200))]).longest("cursors[]"),
        absent(many(100)).longest("cursors"),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", many(101))
            .past("cursors", &["101", "max_topics is 100"]),
        ahead(cursor.replace(":10", ":11")).says(&[":11", ":10"]),
        ahead("app@ffffffffffffffff:3".to_owned()),
        Row::served(COMMIT, "a lost timeline", &of(vec!["app@0000000000000001:5".to_owned()])),
    ]
}

fn tokens(cursor: &str) -> Vec<Row> {
    let of = |token: &str, seek| CommitCursorRequest { commit_token: token.to_owned(), seek, ..good(cursor) };
    let bad = |token: &str, seek| {
        let what = format!("token {token:.60?}");
        Row::wrong(COMMIT, what, &of(token, seek), "BAD_COMMIT_TOKEN", "commit_token")
    };
    vec![
        bad("secret", false).says(&["16 hex digits"]),
        bad("00000000000000AA", false).says(&["16 hex digits"]),
        bad("00000000000000aa0", false).past("commit_token", &["16 hex digits"]),
        bad(&"0".repeat(1_000_000), false),
        bad(TOKEN, true).says(&["leave it empty"]),
        Row::served(COMMIT, "no token", &of("", false)).nothing("commit_token"),
        Row::served(COMMIT, "a token that nobody has", &of(TOKEN, false))
            .refused(Code::FailedPrecondition, "SUBSCRIPTION_TAKEN")
            .longest("commit_token"),
        Row::served(COMMIT, "a seek", &of("", true)),
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
