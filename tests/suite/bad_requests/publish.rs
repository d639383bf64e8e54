//! The first request of a stream of `Publish`. What later ones may not have is in `suite::publish`.

use logrelay::{
    proto::{Line, PublishRequest},
    record::MAX_OFFSET,
};
use prost::Message as _;

use super::row::Row;

const PUBLISH: &str = "Publish";
const LABELS_BYTES: usize = 16 * 1024;
const LINE_BYTES: usize = 1024 * 1024;
const LINES: usize = 65_536;

/// A request that is right; each row's own producer, as a name is held for a while.
pub(super) fn good() -> PublishRequest {
    PublishRequest {
        topic: "published".to_owned(),
        producer: format!("job-{}", fastrand::u64(..)),
        instance: 1,
        lines: vec![Line { content: "a line".into(), ..Line::default() }],
        ..PublishRequest::default()
    }
}

fn served(what: &str, change: impl FnOnce(&mut PublishRequest)) -> Row {
    let mut request = good();
    change(&mut request);
    Row::served(PUBLISH, what, &request)
}

fn wrong(
    reason: &'static str,
    field: &'static str,
    what: &str,
    change: impl FnOnce(&mut PublishRequest),
) -> Row {
    let mut request = good();
    change(&mut request);
    Row::wrong(PUBLISH, what, &request, reason, field)
}

/// All rows.
pub(super) fn rows() -> Vec<Row> {
    [producers(), labels(), lines(), labels_of_lines()].concat()
}

fn producers() -> Vec<Row> {
    let bad = |name: &str| {
        wrong("BAD_PRODUCER", "producer", &format!("{name:.60?}"), |r| r.producer = name.into())
            .says(&["producer", "1 to 200 characters"])
    };
    vec![
        bad("").nothing("producer"),
        bad("a/b").says(&["\"a/b\""]),
        bad(&"p".repeat(201)).past("producer", &[]),
        served("the longest name", |r| r.producer = "p".repeat(200)).longest("producer"),
        wrong("BAD_INSTANCE", "instance", "no instance", |r| r.instance = 0)
            .nothing("instance")
            .says(&["0", "random number"]),
        served("the last instance", |r| r.instance = u64::MAX).longest("instance"),
        served("the first sequence", |r| r.sequence = 0).nothing("sequence"),
        served("the last sequence", |r| r.sequence = MAX_OFFSET - 1).longest("sequence"),
        wrong("BAD_SEQUENCE", "sequence", "its line is beyond the last one", |r| r.sequence = MAX_OFFSET)
            .past("sequence", &[&MAX_OFFSET.to_string(), "1 line"]),
        wrong("BAD_SEQUENCE", "sequence", "beyond all numbers", |r| r.sequence = u64::MAX),
    ]
}

fn labels() -> Vec<Row> {
    let of = |name: usize, value: usize| {
        move |r: &mut PublishRequest| r.labels = [("n".repeat(name), "v".repeat(value))].into()
    };
    let bad = |what: &str, name, value| {
        wrong("BAD_LABELS", "labels", what, of(name, value)).says(&["16385 bytes", "at most 16384"])
    };
    let (key, value) = ("labels.key", "labels.value");
    vec![
        served("no labels", |r| r.labels.clear()).nothing("labels"),
        served("an empty label", of(0, 0)).nothing(key).nothing(value),
        served("the longest name", of(LABELS_BYTES, 0)).longest(key),
        served("the longest value", of(0, LABELS_BYTES)).longest(value).longest("labels"),
        bad("a name too long", LABELS_BYTES + 1, 0).past(key, &[]),
        bad("a value too long", 1, LABELS_BYTES).past(value, &[]).past("labels", &[]),
    ]
}

fn lines() -> Vec<Row> {
    let content = "lines[].content";
    let of = |bytes: usize| Line { content: vec![b'x'; bytes].into(), ..Line::default() };
    vec![
        served("no lines", |r| r.lines.clear()).nothing("lines"),
        served("as many lines as may be", |r| r.lines = vec![Line::default(); LINES])
            .longest("lines")
            .nothing(content),
        wrong("TOO_MANY_LINES", "lines", "a line too many", |r| r.lines = vec![Line::default(); LINES + 1])
            .past("lines", &["more than 65536"]),
        served("the longest line", |r| r.lines = vec![of(LINE_BYTES)]).longest(content),
        wrong("LINE_TOO_LONG", "lines[1].content", "a line too long", |r| r.lines.push(of(LINE_BYTES + 1)))
            .past(content, &["1048577 bytes", "at most 1048576"]),
    ]
}

/// What a line has besides its content is bounded as it is encoded.
fn labels_of_lines() -> Vec<Row> {
    let line = |name: usize, value: usize| {
        let labels = [("n".repeat(name), "v".repeat(value))].into();
        Line { content: "x".into(), labels, ..Line::default() }
    };
    let most = LABELS_BYTES + 1;
    let room = most - (line(10_000, 0).encoded_len() - 10_000);
    assert_eq!(line(room, 0).encoded_len(), most);
    let fine = |what: &str, name, value| served(what, |r| r.lines = vec![line(name, value)]);
    let bad = |what: &str, name, value| {
        wrong("BAD_LABELS", "lines[0].labels", what, |r| r.lines = vec![line(name, value)])
            .says(&["16385 bytes", "at most 16384"])
    };
    let (labels, key, value) = ("lines[].labels", "lines[].labels.key", "lines[].labels.value");
    let (truncated, time) = ("lines[].truncated_bytes", "lines[].time_unix_nano");
    let numbers = |truncated_bytes, time_unix_nano| {
        move |r: &mut PublishRequest| {
            r.lines = vec![Line { truncated_bytes, time_unix_nano, ..Line::default() }];
        }
    };
    vec![
        served("no numbers", numbers(0, 0)).nothing(truncated).nothing(time),
        served("the greatest numbers", numbers(u64::MAX, u64::MAX)).longest(truncated).longest(time),
        served("no labels of a line", |r| r.lines[0].labels.clear()).nothing(labels),
        fine("an empty label of a line", 0, 0).nothing(key).nothing(value),
        fine("the longest name of a line's label", room, 0).longest(key),
        fine("the longest value of a line's label", 0, room).longest(value).longest(labels),
        bad("a name of a line's label too long", room + 1, 0).past(key, &[]),
        bad("a value of a line's label too long", 0, room + 1).past(value, &[]).past(labels, &[]),
    ]
}
