//! The fields of a `SubscribeRequest`.

use logrelay::{
    proto::{Filter, Matcher, SubscribeRequest, matcher::Op, start::Position},
    record::MAX_OFFSET,
};
use tonic::Code;

use super::row::Row;
use crate::support::relay::from_earliest;

pub(super) const SUBSCRIBE: &str = "Subscribe";

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
    [topics(), cursors(cursor), starts(), filters(), numbers()].into_iter().flatten().collect()
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
        bad("topics", &[]),
        bad("topics[0]", &[""]),
        bad("topics[1]", &["app", "a/b"]),
        bad("topics[0]", &["a b"]),
        bad("topics[0]", &["app\0"]),
        bad("topics[0]", &["äpp"]),
        bad("topics[0]", &["web.[12]"]),
        bad("topics[0]", &["app@018f0000000abcde:0"]),
        bad("topics[1]", &["app", "app"]),
        bad("topics[1]", &["a*", "a*"]),
        bad("topics[0]", &[&long("a")]),
        bad("topics[0]", &[&long("*")]),
        bad("topics[0]", &["\u{e000}".repeat(200).as_str(); 90]),
        bad("topics[0]", &["😀".repeat(200).as_str(); 90]),
        bad("topics[0]", &[&"x/".repeat(1_000_000)]),
        served("the longest name", |r| r.topics = vec!["a".repeat(200)]),
        served("the longest pattern", |r| r.topics = vec!["*".repeat(200)]),
        served("a pattern that would explode", |r| r.topics = vec!["a*".repeat(100)]),
        served("as many as there may be", |r| r.topics = names(100)),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", "one more", |r| r.topics = names(101)),
        Row::no_message(SUBSCRIBE, &good(), b"\x0a\x02\xff\xfe", "topics"),
        Row::no_message(SUBSCRIBE, &good(), b"\x08\x01", "topics"),
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
        bad("cursors[0]", &[""]),
        bad("cursors[0]", &["42"]),
        bad("cursors[0]", &["app@:"]),
        bad("cursors[0]", &["@018f0000000abcde:0"]),
        bad("cursors[0]", &["app@018F0000000ABCDE:0"]),
        bad("cursors[0]", &["app@018f0000000abcd:0"]),
        bad("cursors[0]", &["app@018f0000000abcde:"]),
        bad("cursors[0]", &["app@018f0000000abcde:-1"]),
        bad("cursors[0]", &["app@018f0000000abcde:01"]),
        bad("cursors[0]", &[&format!("app@018f0000000abcde:{}", MAX_OFFSET + 1)]),
        bad("cursors[0]", &[&format!("app@018f0000000abcde:{}0", u64::MAX)]),
        bad("cursors[0]", &["web@018f0000000abcde:0"]),
        bad("cursors[0]", &["app*@018f0000000abcde:0"]),
        bad("cursors[0]", &[&"x".repeat(1_000_000)]),
        bad("cursors[0]", &[&format!("app@{}:0", "x".repeat(1_000_000))]),
        bad("cursors[1]", &[cursor, cursor]),
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
        }),
        ahead("the line after the next", at(offset + 1)),
        ahead("the last offset", at(MAX_OFFSET)),
        ahead("an epoch of the future", of("app", "ffffffffffffffff")),
        refused(Code::FailedPrecondition, "RESET", "an epoch that never was, to fail", |r| {
            (r.cursors, r.on_gap) = (of("app", "0000000000000001"), 2);
        }),
        refused(Code::ResourceExhausted, "TOO_MANY_TOPICS", "more than topics may be", |r| {
            r.topics = vec!["*".to_owned()];
            r.cursors = names(101).iter().flat_map(|name| of(name, "018f0000000abcde")).collect();
        }),
        Row::no_message(SUBSCRIBE, &good(), b"\x12\x01\xff", "cursors"),
        Row::no_message(SUBSCRIBE, &good(), b"\x10\x01", "cursors"),
    ]
}

fn starts() -> Vec<Row> {
    let start = |position| Some(logrelay::proto::Start { position: Some(position) });
    let bad =
        |field, position| wrong("BAD_START", field, format!("{position:?}"), |r| r.start = start(position));
    let fine = |position| served(format!("{position:?}"), |r| r.start = start(position));
    let time = |seconds, nanos| Position::Time(prost_types::Timestamp { seconds, nanos });
    vec![
        served("no start", |r| r.start = None),
        served("a start without a position", |r| r.start = Some(logrelay::proto::Start { position: None })),
        fine(Position::Latest(true)),
        fine(Position::LastLines(0)),
        fine(Position::LastLines(u64::MAX)),
        fine(time(-62_135_596_800, 0)),
        fine(time(253_402_300_799, 999_999_999)),
        bad("start.earliest", Position::Earliest(false)),
        bad("start.latest", Position::Latest(false)),
        bad("start.time", time(0, -1)),
        bad("start.time", time(0, 1_000_000_000)),
        bad("start.time", time(-62_135_596_801, 0)),
        bad("start.time", time(253_402_300_800, 0)),
        bad("start.time", time(i64::MIN, i32::MIN)),
        Row::no_message(SUBSCRIBE, &good(), b"\x1a\x02\x0a\x00", "start.position"),
        Row::no_message(SUBSCRIBE, &good(), b"\x18\x01", "start"),
    ]
}

fn filters() -> Vec<Row> {
    let bad = |field, what: &str, filter: Filter| {
        wrong("BAD_FILTER", field, format!("filter, {what}"), |r| r.filter = Some(filter))
    };
    let fine = |what: &str, filter: Filter| served(format!("filter, {what}"), |r| r.filter = Some(filter));
    let one = |op: Op, value: &str| Matcher { op: op.into(), value: value.to_owned(), ignore_case: true };
    let matchers = |matchers: Vec<Matcher>| Filter { matchers, ..Filter::default() };
    let regex = |value: &str| matchers(vec![one(Op::Matches, value)]);
    let hosts = |hosts: Vec<String>| Filter { hosts, ..Filter::default() };
    let paths = |paths: Vec<String>| Filter { paths, ..Filter::default() };
    let label =
        |name: String, value: &str| Filter { labels: [(name, value.to_owned())].into(), ..Filter::default() };
    let op = |op| matchers(vec![Matcher { op, ..one(Op::Contains, "x") }]);
    let value = "filter.matchers[0].value";
    let many_labels = names(17).into_iter().map(|name| (name.clone(), name)).collect();
    vec![
        fine("nothing", Filter::default()),
        bad("filter.matchers[0].op", "no op", op(0)),
        bad("filter.matchers[0].op", "an op that is none", op(5)),
        bad("filter.matchers[0].op", "a negative op", op(-1)),
        bad(value, "an empty value", matchers(vec![one(Op::Contains, "")])),
        bad(value, "a value too long", matchers(vec![one(Op::Contains, &"a".repeat(4097))])),
        bad(value, "no expression", regex("(")),
        bad(value, "look-around", regex("(?=a)")),
        bad(value, "nested too deep", regex(&format!("{}a{}", "(".repeat(2000), ")".repeat(2000)))),
        bad(value, "repeats that explode", regex("((a{1000}){1000}){1000}")),
        bad("filter.matchers", "one matcher too many", matchers(vec![one(Op::Contains, "x"); 17])),
        fine("the longest text", matchers(vec![one(Op::Contains, &"a".repeat(4096))])),
        fine("backtracking that would explode", regex("(a*)*(a*)*(a|aa)+$")),
        fine("as many matchers as may be", matchers(vec![one(Op::NotContains, "x"); 16])),
        bad("filter.hosts[0]", "no glob", hosts(vec!["[".to_owned()])),
        bad("filter.hosts[0]", "an empty host", hosts(vec![String::new()])),
        bad("filter.hosts", "one host too many", hosts(names(17))),
        bad("filter.hosts[0]", "a host too long", hosts(vec!["a".repeat(4097)])),
        bad("filter.paths[1]", "no glob", paths(vec!["/a".to_owned(), "{a".to_owned()])),
        bad("filter.paths", "one path too many", paths(names(17))),
        fine("stars that would explode", paths(vec!["*a".repeat(1000)])),
        bad("filter.labels", "one label too many", Filter { labels: many_labels, ..Filter::default() }),
        bad("filter.labels", "a name too long", label("a".repeat(4097), "x")),
        bad("filter.labels", "no name", label(String::new(), "x")),
        Row::no_message(SUBSCRIBE, &good(), b"\x22\x05\x0a\x03\x12\x01\xff", "filter.matchers.value"),
        Row::no_message(SUBSCRIBE, &good(), b"\x22\x03\x12\x01\xff", "filter.hosts"),
        Row::no_message(SUBSCRIBE, &good(), b"\x22\x03\x1a\x01\xff", "filter.paths"),
        Row::no_message(SUBSCRIBE, &good(), b"\x22\x05\x22\x03\x0a\x01\xff", "filter.labels"),
        Row::no_message(SUBSCRIBE, &good(), b"\x20\x01", "filter"),
    ]
}

fn numbers() -> Vec<Row> {
    let heartbeat = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let beats = |seconds, nanos| {
        let what = format!("a heartbeat of {seconds} s and {nanos} ns");
        (what, move |r: &mut SubscribeRequest| r.heartbeat_interval = heartbeat(seconds, nanos))
    };
    let slow = |seconds, nanos| {
        let (what, change) = beats(seconds, nanos);
        wrong("BAD_HEARTBEAT", "heartbeat_interval", what, change)
    };
    let fine = |seconds, nanos| {
        let (what, change) = beats(seconds, nanos);
        served(what, change)
    };
    let lines = |lines| move |r: &mut SubscribeRequest| r.max_batch_lines = lines;
    let bytes = |bytes| move |r: &mut SubscribeRequest| r.max_batch_bytes = bytes;
    vec![
        wrong("BAD_ON_GAP", "on_gap", "none of them", |r| r.on_gap = 3),
        wrong("BAD_ON_GAP", "on_gap", "a negative one", |r| r.on_gap = i32::MIN),
        served("the most lines", lines(8192)),
        served("one line", lines(1)),
        wrong("BAD_LIMIT", "max_batch_lines", "one line more", lines(8193)),
        wrong("BAD_LIMIT", "max_batch_lines", "a great many lines", lines(u32::MAX)),
        served("one byte", bytes(1)),
        wrong("BAD_LIMIT", "max_batch_bytes", "a great many bytes", bytes(u32::MAX)),
        fine(1, 0),
        fine(300, 0),
        slow(0, 0),
        slow(0, 999_999_999),
        slow(300, 1),
        slow(-1, 0),
        slow(1, -1),
        slow(i64::MAX, i32::MAX),
        wrong("BAD_SUBSCRIPTION", "subscription", "a bad name", |r| r.subscription = "a/b".into()),
        wrong("BAD_SUBSCRIPTION", "subscription", "a long name", |r| r.subscription = "x".repeat(1_000_000)),
        served("a durable one", |r| r.subscription = "a".repeat(200)),
        Row::no_message(SUBSCRIBE, &good(), b"\x52\x01\xff", "subscription"),
        Row::no_message(SUBSCRIBE, &good(), b"\x2a\x00", "stop_at_tail"),
        Row::no_message(SUBSCRIBE, &good(), b"\x32\x00", "on_gap"),
        Row::no_message(SUBSCRIBE, &good(), b"\x38", "max_batch_lines"),
        Row::no_message(SUBSCRIBE, &good(), b"\x45\x00", "max_batch_bytes"),
        Row::no_message(SUBSCRIBE, &good(), b"\x4a\x02\x08", "heartbeat_interval"),
        Row::no_message(SUBSCRIBE, &good(), b"\xff", "request"),
        Row::no_message(SUBSCRIBE, &good(), b"\x00", "request"),
    ]
}
