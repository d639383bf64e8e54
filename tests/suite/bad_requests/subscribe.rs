//! The fields of a `SubscribeRequest`.

use logrelay::{proto::SubscribeRequest, record::MAX_OFFSET};
use tonic::Code;

use super::{filter, row::Row, start};
use crate::support::relay::from_earliest;

pub(super) const SUBSCRIBE: &str = "Subscribe";
/// The relay's bound of a batch and of a page.
pub(super) const MAX_BATCH_BYTES: u32 = 4_128_768;

pub(super) fn good() -> SubscribeRequest {
    SubscribeRequest { stop_at_tail: true, ..from_earliest("app") }
}

pub(super) fn served(what: impl Into<String>, change: impl FnOnce(&mut SubscribeRequest)) -> Row {
    let mut request = good();
    change(&mut request);
    Row::served(SUBSCRIBE, what, &request)
}

pub(super) fn wrong(
    reason: &'static str,
    field: &'static str,
    what: impl Into<String>,
    change: impl FnOnce(&mut SubscribeRequest),
) -> Row {
    let mut request = good();
    change(&mut request);
    Row::wrong(SUBSCRIBE, what, &request, reason, field)
}

fn refused(
    code: Code,
    reason: &'static str,
    what: impl Into<String>,
    change: impl FnOnce(&mut SubscribeRequest),
) -> Row {
    served(what, change).refused(code, reason)
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
    [topics(), cursors(cursor), starts, filters, limits(), heartbeats(), names_of_durable_ones()].concat()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("t{number}")).collect()
}

fn topics() -> Vec<Row> {
    let bad = |field, topics: &[&str]| {
        let topics: Vec<_> = topics.iter().map(|&topic| topic.to_owned()).collect();
        wrong("BAD_TOPIC", field, format!("topics {topics:.60?}"), |r| r.topics = topics)
    };
    let long = |text: &str| text.repeat(201);
    vec![
        bad("topics", &[]).nothing("topics").says(&["at least one"]),
        bad("topics[0]", &[""]).nothing("topics[]").says(&["empty", "1 to 200"]),
        bad("topics[1]", &["app", "a/b"]).says(&["\"a/b\"", "'/'", "A-Z, a-z, 0-9"]),
        bad("topics[0]", &["a b"]),
        bad("topics[0]", &["app\0"]),
        bad("topics[0]", &["äpp"]),
        bad("topics[0]", &["web.[12]"]).says(&["`*` is the only wildcard"]),
        bad("topics[0]", &["app@018f0000000abcde:0"]),
        bad("topics[1]", &["app", "app"]).says(&["app is named twice"]),
        bad("topics[1]", &["a*", "a*"]),
        bad("topics[0]", &[&long("a")]).past("topics[]", &["201", "1 to 200"]),
        bad("topics[0]", &[&long("*")]),
        bad("topics[0]", &["\u{e000}".repeat(200).as_str(); 90]),
        bad("topics[0]", &["😀".repeat(200).as_str(); 90]),
        bad("topics[0]", &[&"x/".repeat(1_000_000)]),
        served("the longest name", |r| r.topics = vec!["a".repeat(200)]).longest("topics[]"),
        served("the longest pattern", |r| r.topics = vec!["*".repeat(200)]),
        served("a pattern that would explode", |r| r.topics = vec!["a*".repeat(100)]),
        served("as many as there may be", |r| r.topics = names(100)).longest("topics"),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", "one more", |r| r.topics = names(101))
            .past("topics", &["101", "max_topics is 100"]),
    ]
}

fn cursors(cursor: &str) -> Vec<Row> {
    let bad = |field, cursors: &[&str]| {
        let cursors: Vec<_> = cursors.iter().map(|&cursor| cursor.to_owned()).collect();
        wrong("BAD_CURSOR", field, format!("cursors {cursors:.60?}"), |r| r.cursors = cursors)
    };
    let (before, offset) = cursor.rsplit_once(':').unwrap();
    let offset: u64 = offset.parse().unwrap();
    let at = |offset: u64| vec![format!("{before}:{offset}")];
    let of = |topic: &str, epoch: &str| vec![format!("{topic}@{epoch}:3")];
    let ahead = |what, cursors| refused(Code::InvalidArgument, "CURSOR_AHEAD", what, |r| r.cursors = cursors);
    let long = "a".repeat(200);
    vec![
        served("no cursors", |r| r.cursors = Vec::new()).nothing("cursors"),
        bad("cursors[0]", &[""]).nothing("cursors[]").says(&["\"\"", "<topic>@<epoch>:<offset>"]),
        bad("cursors[0]", &["42"]).says(&["\"42\"", "<topic>@<epoch>:<offset>"]),
        bad("cursors[0]", &["app@:"]),
        bad("cursors[0]", &["@018f0000000abcde:0"]),
        bad("cursors[0]", &["app@018F0000000ABCDE:0"]).says(&["018F0000000ABCDE", "16 hex digits"]),
        bad("cursors[0]", &["app@018f0000000abcd:0"]),
        bad("cursors[0]", &["app@018f0000000abcde:"]),
        bad("cursors[0]", &["app@018f0000000abcde:-1"]).says(&["\"-1\"", "whole number"]),
        bad("cursors[0]", &["app@018f0000000abcde:01"]),
        bad("cursors[0]", &[&format!("app@018f0000000abcde:{}", MAX_OFFSET + 1)])
            .says(&[&(MAX_OFFSET + 1).to_string(), &format!("0 to {MAX_OFFSET}")]),
        bad("cursors[0]", &[&format!("{}@018f0000000abcde:0", "a".repeat(201))])
            .past("cursors[]", &["201", "1 to 200"]),
        bad("cursors[0]", &[&format!("app@018f0000000abcde:{}0", u64::MAX)]),
        bad("cursors[0]", &["web@018f0000000abcde:0"]).says(&["web@", "not in topics"]),
        bad("cursors[0]", &["app*@018f0000000abcde:0"]),
        bad("cursors[0]", &[&"x".repeat(1_000_000)]),
        bad("cursors[0]", &[&format!("app@{}:0", "x".repeat(1_000_000))]),
        bad("cursors[1]", &[cursor, cursor]).says(&["app has two cursors"]),
        served("as many as there may be", |r| {
            r.topics = names(100);
            r.cursors = r.topics.iter().flat_map(|name| of(name, "018f0000000abcde")).collect();
        })
        .longest("cursors"),
        served("its own", |r| r.cursors = vec![cursor.to_owned()]),
        served("an epoch that never was", |r| r.cursors = of("app", "0000000000000001")),
        served("of a topic that was deleted", |r| {
            (r.topics, r.cursors) = (vec!["gone".to_owned()], of("gone", "018f0000000abcde"));
        }),
        served("of a deleted topic of a pattern", |r| {
            (r.topics, r.cursors) = (vec!["g*".to_owned()], of("gone", "018f0000000abcde"));
        }),
        served("the longest", |r| {
            r.cursors = vec![format!("{long}@ffffffffffffffff:{MAX_OFFSET}")];
            r.topics = vec![long];
        })
        .longest("cursors[]"),
        ahead("the line after the next", at(offset + 1)).says(&[":11", ":10"]),
        ahead("the last offset", at(MAX_OFFSET)),
        ahead("an epoch of the future", of("app", "ffffffffffffffff")),
        refused(Code::FailedPrecondition, "RESET", "an epoch that never was, to fail", |r| {
            (r.cursors, r.on_gap) = (of("app", "0000000000000001"), 2);
        }),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", "more than topics may be", |r| {
            r.topics = vec!["*".to_owned()];
            r.cursors = names(101).iter().flat_map(|name| of(name, "018f0000000abcde")).collect();
        })
        .past("cursors", &["101", "max_topics is 100"]),
    ]
}

fn limits() -> Vec<Row> {
    let lines = |lines| move |r: &mut SubscribeRequest| r.max_batch_lines = lines;
    let bytes = |bytes| move |r: &mut SubscribeRequest| r.max_batch_bytes = bytes;
    let gap = |gap| move |r: &mut SubscribeRequest| r.on_gap = gap;
    let gaps = "none of ON_GAP_REPORT (1) and ON_GAP_FAIL (2)";
    vec![
        served("nothing about gaps", gap(0)).nothing("on_gap"),
        served("to fail", gap(2)).longest("on_gap"),
        wrong("BAD_ON_GAP", "on_gap", "none of them", gap(3)).past("on_gap", &["3 is", gaps]),
        wrong("BAD_ON_GAP", "on_gap", "a negative one", gap(i32::MIN)).says(&["-2147483648 is", gaps]),
        served("no bound of lines", lines(0)).nothing("max_batch_lines"),
        served("one line", lines(1)),
        served("the most lines", lines(8192)).longest("max_batch_lines"),
        wrong("BAD_LIMIT", "max_batch_lines", "one line more", lines(8193))
            .past("max_batch_lines", &["8193", "at most 8192"]),
        wrong("BAD_LIMIT", "max_batch_lines", "a great many lines", lines(u32::MAX)),
        served("no bound of bytes", bytes(0)).nothing("max_batch_bytes"),
        served("one byte", bytes(1)),
        served("the most bytes", bytes(MAX_BATCH_BYTES)).longest("max_batch_bytes"),
        wrong("BAD_LIMIT", "max_batch_bytes", "one byte more", bytes(MAX_BATCH_BYTES + 1))
            .past("max_batch_bytes", &["4128769", "at most 4128768"]),
        wrong("BAD_LIMIT", "max_batch_bytes", "a great many bytes", bytes(u32::MAX)),
    ]
}

fn heartbeats() -> Vec<Row> {
    let interval = |seconds, nanos| {
        let interval = Some(prost_types::Duration { seconds, nanos });
        move |r: &mut SubscribeRequest| r.heartbeat_interval = interval
    };
    let fine = |seconds, nanos| served(format!("{seconds} s and {nanos} ns"), interval(seconds, nanos));
    let bad = |seconds, nanos| {
        let what = format!("{seconds} s and {nanos} ns");
        let row = wrong("BAD_HEARTBEAT", "heartbeat_interval", &what, interval(seconds, nanos));
        row.says(&[&what, "1s and 300s"])
    };
    let (seconds, nanos) = ("heartbeat_interval.seconds", "heartbeat_interval.nanos");
    vec![
        served("no interval", |r| r.heartbeat_interval = None),
        fine(1, 0).nothing(nanos),
        fine(1, 999_999_999).longest(nanos),
        fine(300, 0).longest(seconds),
        bad(0, 0).nothing(seconds),
        bad(0, 999_999_999),
        bad(1, 1_000_000_000).past(nanos, &[]),
        bad(301, 0).past(seconds, &[]),
        bad(300, 1),
        bad(-1, 0),
        bad(1, -1),
        bad(2, -1),
        bad(i64::MAX, i32::MAX),
        bad(i64::MIN, i32::MIN),
    ]
}

fn names_of_durable_ones() -> Vec<Row> {
    let bad = |name: &str| {
        let what = format!("a durable one, {name:.60?}");
        wrong("BAD_SUBSCRIPTION", "subscription", what, |r| r.subscription = name.into())
            .says(&["1 to 200 characters"])
    };
    vec![
        served("no durable one", |r| r.subscription = String::new()).nothing("subscription"),
        served("the longest durable one", |r| r.subscription = "a".repeat(200)).longest("subscription"),
        bad(&"a".repeat(201)).past("subscription", &[]),
        bad("a/b").says(&["\"a/b\""]),
        bad("a*"),
        bad(&"x".repeat(1_000_000)),
        Row::of_bytes(SUBSCRIBE, "a key that is cut off", vec![0xff], "BAD_REQUEST", "request"),
        Row::of_bytes(SUBSCRIBE, "a field of no number", vec![0, 0], "BAD_REQUEST", "request"),
        Row::of_bytes(SUBSCRIBE, "the end of a group", vec![0xa4, 6], "BAD_REQUEST", "request"),
    ]
}
