//! What a wrong request is told, field by field.

use tonic::Code;
use tonic_types::StatusExt as _;

use super::{super::metrics::Metrics, *};
use crate::record::{Epoch, Offset};

const CURSOR: &str = "app@018f0000000abcde:42";

fn request(change: impl FnOnce(&mut proto::SubscribeRequest)) -> Result<Request, Status> {
    let mut request = proto::SubscribeRequest { topics: vec!["app".to_owned()], ..Default::default() };
    change(&mut request);
    let options = Options::new("127.0.0.1:0".parse().unwrap());
    let max_topics = TopicBound::new(options.max_topics, Metrics::default());
    parse(&request, &options, &max_topics, &Filters::default())
}

#[track_caller]
fn refused(reason: &str, field: &str, why: &str, change: impl FnOnce(&mut proto::SubscribeRequest)) {
    let status = request(change).unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "logrelay.v1"));
    let violation = &details.bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, field);
    assert!(violation.description.contains(why), "{}", violation.description);
    assert!(status.message().contains(why), "{}", status.message());
}

fn start(position: proto::start::Position) -> Option<proto::Start> {
    proto::Start { position: Some(position) }.into()
}

#[test]
fn what_is_not_said_has_its_default() {
    let request = request(|_| ()).unwrap();
    assert_eq!(request.topics, [("app".parse().unwrap(), Start::Latest)]);
    assert!(request.globs.is_empty());
    assert_eq!(request.heartbeat, Duration::from_secs(10));
    assert_eq!(request.bounds.lines, 8192);
    assert!(!request.stop_at_tail && !request.fail_on_gap);
}

#[test]
fn a_cursor_wins_over_the_start_of_its_topic() {
    let request = request(|request| {
        request.topics.push("web".to_owned());
        request.cursors = vec![CURSOR.to_owned()];
        request.start = start(proto::start::Position::LastLines(5));
        request.on_gap = proto::OnGap::Fail.into();
    });
    let request = request.unwrap();
    let cursor = Start::Cursor(Epoch::new(0x018f_0000_000a_bcde), Offset::new(42).unwrap());
    assert_eq!(request.topics[0].1, cursor);
    assert_eq!(request.topics[1].1, Start::LastLines(5));
    assert!(request.fail_on_gap);
}

#[test]
fn a_cursor_names_a_topic_that_a_pattern_matches() {
    let request = request(|request| {
        request.topics = ["web.*", "app", "*"].map(str::to_owned).into();
        request.cursors = vec![CURSOR.replace("app", "web.1"), CURSOR.to_owned()];
    });
    let request = request.unwrap();
    let cursor = Start::Cursor(Epoch::new(0x018f_0000_000a_bcde), Offset::new(42).unwrap());
    assert_eq!(request.topics, [("app".parse().unwrap(), cursor), ("web.1".parse().unwrap(), cursor)]);
    assert_eq!(request.globs, ["web.*".parse().unwrap(), "*".parse().unwrap()]);
    assert_eq!(request.start, Start::Latest);
}

#[test]
fn topics_that_are_none_are_named() {
    refused("BAD_TOPIC", "topics", "at least one", |r| r.topics.clear());
    refused("BAD_TOPIC", "topics[1]", "empty", |r| r.topics.push(String::new()));
    refused("BAD_TOPIC", "topics[1]", "'/'", |r| r.topics.push("a/b".to_owned()));
    refused("BAD_TOPIC", "topics[1]", "201 characters", |r| r.topics.push("a".repeat(201)));
    refused("BAD_TOPIC", "topics[1]", "twice", |r| r.topics.push("app".to_owned()));
    refused("BAD_TOPIC", "topics[1]", "'/'", |r| r.topics.push("web/*".to_owned()));
    refused("BAD_TOPIC", "topics[1]", "only wildcard", |r| r.topics.push("web.[12]".to_owned()));
    refused("BAD_TOPIC", "topics[2]", "twice", |r| {
        r.topics.extend(["web.*".to_owned(), "web.*".to_owned()]);
    });
}

#[test]
fn more_topics_than_the_bound_are_refused_with_it() {
    let names = |range: std::ops::Range<u32>| range.map(|n| format!("t{n}")).collect::<Vec<_>>();
    let cursors = |count| names(0..count).iter().map(|name| CURSOR.replace("app", name)).collect();
    let status = |topics, cursors| request(|r| (r.topics, r.cursors) = (topics, cursors)).err();
    assert!(status(names(0..100), Vec::new()).is_none());
    assert!(status(vec!["*".to_owned()], cursors(100)).is_none());
    let exhausted = [
        (names(0..101), Vec::new()),
        (vec!["*".to_owned()], cursors(101)),
        ([vec!["*".to_owned()], names(50..101)].concat(), cursors(52)),
    ];
    for (topics, cursors) in exhausted {
        let status = status(topics, cursors).unwrap();
        assert_eq!(status.code(), Code::ResourceExhausted);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.metadata["max_topics"].as_str()), ("TOO_MANY_TOPICS", "100"));
        assert!(status.message().starts_with("101 topics"), "{status}");
    }
}

#[test]
fn cursors_that_are_none_or_of_other_topics_are_named() {
    refused("BAD_CURSOR", "cursors[0]", "<topic>@<epoch>:<offset>", |r| r.cursors = vec!["42".to_owned()]);
    refused("BAD_CURSOR", "cursors[0]", "not in topics", |r| r.cursors = vec![CURSOR.replace("app", "web")]);
    refused("BAD_CURSOR", "cursors[0]", "not in topics", |r| {
        (r.topics, r.cursors) = (vec!["web.*".to_owned()], vec![CURSOR.to_owned()]);
    });
    refused("BAD_CURSOR", "cursors[1]", "two cursors", |r| {
        r.topics.push("web".to_owned());
        r.cursors = vec![CURSOR.to_owned(), CURSOR.to_owned()];
    });
    refused("BAD_CURSOR", "cursors[0]", "too large", |r| {
        r.cursors = vec![format!("app@018f0000000abcde:{}", u64::MAX)];
    });
}

#[test]
fn starts_that_say_nothing_are_refused() {
    use proto::start::Position;
    refused("BAD_START", "start.earliest", "true", |r| r.start = start(Position::Earliest(false)));
    refused("BAD_START", "start.latest", "true", |r| r.start = start(Position::Latest(false)));
    let time = |seconds, nanos| Position::Time(prost_types::Timestamp { seconds, nanos });
    refused("BAD_START", "start.time", "no time", |r| r.start = start(time(0, -1)));
    refused("BAD_START", "start.time", "no time", |r| r.start = start(time(i64::MAX, 0)));
    let at = |seconds, nanos| request(|r| r.start = start(time(seconds, nanos))).unwrap().topics[0].1;
    assert_eq!(at(-5, 0), Start::Time(0));
    assert_eq!(at(7, 1), Start::Time(7001));
}

#[test]
fn numbers_out_of_bounds_are_refused_with_the_bound() {
    refused("BAD_LIMIT", "max_batch_lines", "at most 8192", |r| r.max_batch_lines = u32::MAX);
    refused("BAD_LIMIT", "max_batch_bytes", "at most", |r| r.max_batch_bytes = u32::MAX);
    refused("BAD_ON_GAP", "on_gap", "ON_GAP_FAIL", |r| r.on_gap = 9);
    for (seconds, nanos) in [(0, 999_999_999), (300, 1), (-1, 0), (i64::MAX, 0), (0, 0)] {
        refused("BAD_HEARTBEAT", "heartbeat_interval", "not between 1s and 300s", |r| {
            r.heartbeat_interval = Some(prost_types::Duration { seconds, nanos });
        });
    }
    let all = request(|r| (r.on_gap, r.max_batch_lines) = (9, u32::MAX)).unwrap_err();
    assert!(all.message().contains("1 more"), "{}", all.message());
    assert_eq!(all.get_error_details().bad_request().unwrap().field_violations.len(), 2);
}
